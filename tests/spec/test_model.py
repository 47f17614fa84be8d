"""The spec as a value: defaults, derived values, equality; and that a wrong one cannot be made."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mhagen.base.errors import SpecError
from mhagen.expr.tree import Kind, arrays, to_text
from mhagen.spec.fields import Align, Heads, Layout, Mask
from mhagen.spec.model import Spec

HEADS = {"query": 12, "dim": 64}


def test_what_is_left_out_has_the_default_that_is_documented() -> None:
    spec = Spec(name="tiny", heads=HEADS)
    assert (spec.heads.key_value, spec.heads.value_dim, spec.heads.pruned) == (12, 64, ())
    assert (spec.layout, spec.mask.align) == (Layout.BHSD, Align.START)
    assert spec.scale == 0.125
    assert spec.score_expression is None
    assert spec.keep_expression is None
    assert spec.projections is None


def test_a_default_that_is_written_out_makes_no_difference() -> None:
    written = Spec(name="tiny", dtype="float32", heads={**HEADS, "key_value": 12, "value_dim": 64}, groups=[])
    assert written == Spec(name="tiny", heads=HEADS)


def test_tables_can_be_given_as_models() -> None:
    tables = Spec(name="tiny", heads=Heads(query=12, dim=64), mask=Mask(keep="k <= q"))
    assert tables == Spec(name="tiny", heads=HEADS, mask={"keep": "k <= q"})


def test_rules_hold_for_models_too() -> None:
    with pytest.raises(SpecError, match="heads-not-divisible"):
        Spec(name="tiny", heads=Heads(query=12, dim=64, key_value=5))


def test_expressions_know_constants_and_inputs() -> None:
    spec = Spec(
        name="tiny",
        heads=HEADS,
        scores={"modify": "score + slope[h] * (k - q)"},
        mask={"keep": "q - k < window"},
        constants={"window": 8},
        inputs={"slope": {"shape": ["query_heads"]}},
    )
    assert spec.score_expression is not None
    assert arrays(spec.score_expression) == ("slope",)
    assert spec.keep_expression is not None
    assert spec.keep_expression.kind is Kind.CONDITION
    assert to_text(spec.keep_expression) == "q - k < window"


def test_without_projections_only_attention_is_left() -> None:
    layer = Spec(name="tiny", heads=HEADS, projections={"model_dim": 768})
    assert layer.without_projections() == Spec(name="tiny", heads=HEADS)


def test_a_wrong_spec_cannot_be_made() -> None:
    with pytest.raises(SpecError) as caught:
        Spec(name="tiny", heads={**HEADS, "key_value": 5}, mask={"keep": "k <= qq"})
    assert [found.place for found in caught.value.diagnostics] == ["heads.key_value", "mask.keep"]


def test_a_spec_does_not_change() -> None:
    spec = Spec(name="tiny", heads=HEADS)
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["a", "causal_gqa", "x9_", "true_", "a" * 48])
def test_good_names_are_accepted(name: str) -> None:
    assert Spec(name=name, heads=HEADS).name == name


BAD_NAMES = """
A Aa _a 9a a-b a.b a/b ../a __init__ class None list print numpy numba mhagen os sys
json con prn nul com1 lpt9
"""
WORSE_NAMES = ["", " a", "a ", "a\n", "a" * 49, "\xe9", "\uff4eumpy", "a\u200b", "a\x00"]


@pytest.mark.parametrize("name", [*BAD_NAMES.split(), *WORSE_NAMES])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match="bad-name"):
        Spec(name=name, heads=HEADS)


TAKEN_NAMES = """
query key value out query_offset x weights context attention layer prepare lambda
b h q k score where abs min max exp log sqrt tanh sigmoid floor
"""


@pytest.mark.parametrize("name", TAKEN_NAMES.split())
def test_an_input_cannot_have_a_name_that_means_something_else(name: str) -> None:
    with pytest.raises(SpecError, match="bad-name"):
        Spec(name="tiny", heads=HEADS, inputs={name: {"shape": ["batch"]}})
