"""Which heads go, and how many."""

from __future__ import annotations

import pytest

from mhagen.base.errors import InputError
from mhagen.pruning.methods import Method, method_named
from mhagen.pruning.selection import Amount, least_important

MEASURES = ((0.5, 0.1, 0.3), (0.2, None, 0.05))


def test_the_least_important_of_all_layers_go_first():
    assert least_important(MEASURES, Method.MICHEL, 2) == ((1,), (2,))


def test_the_greatest_entropy_goes_first():
    assert least_important(MEASURES, Method.ENTROPY, 2) == ((0, 2), ())


def test_a_layer_keeps_its_last_head():
    assert least_important(MEASURES, Method.MICHEL, 3) == ((1, 2), (2,))
    assert least_important(((0.1, 0.2), (0.5, 0.6)), Method.MICHEL, 2) == ((0,), (0,))


def test_of_equals_the_first_goes():
    assert least_important(((1.0, 1.0), (1.0, 1.0)), Method.ABLATION, 1) == ((0,), ())


@pytest.mark.parametrize(
    ("amount", "count"),
    [
        (Amount(keep=8), 4),
        (Amount(prune=4), 4),
        (Amount(share=0.33), 4),
        (Amount(), None),
        (Amount(prune=0), 0),
    ],
)
def test_an_amount_is_a_number_of_heads(amount, count):
    assert amount.count(12, 1) == count


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (
            Amount(keep=0),
            "keep = 0 prunes 12 of 12 heads, and one head in each of 3 layers has to stay: 0 to 9",
        ),
        (Amount(prune=10), "one head in each of 3 layers has to stay"),
        (Amount(keep=13), "keep = 13 prunes -1 of 12 heads"),
        (Amount(share=1.0), "share is 1.0 and needs a part"),
        (Amount(share=float("nan")), "share is nan"),
        (Amount(prune=True), "prune is True and needs a number of heads"),
        (Amount(keep=2.5), "keep is 2.5 and needs a number of heads"),
        (Amount(keep=2, share=0.5), "keep and share both say how many heads go"),
    ],
)
def test_what_cannot_be_is_refused(amount, said):
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        amount.count(12, 3)


def test_an_unknown_method_is_refused_with_a_guess():
    with pytest.raises(InputError, match=r"by is 'entropi' and needs michel, .*did you mean `entropy`"):
        method_named("entropi")
