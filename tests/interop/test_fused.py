"""What fused operators are told of a spec."""

from __future__ import annotations

import numpy as np
import pytest

from mhagen.backend.acceptance import Example
from mhagen.base.errors import UnsupportedError
from mhagen.interop.fused import added, fused
from mhagen.spec.load import load_spec
from mhagen.tuning.problem import Problem


def problem(
    keep: str | None = None, modify: str | None = None, queries: int = 7, keys: int = 7, **more: object
) -> Problem:
    spec = {"name": "tiny", "heads": {"query": 3, "dim": 8}, "constants": {"window": 3, "cap": 5.0}, **more}
    if keep is not None:
        spec["mask"] = {"keep": keep}
    if modify is not None:
        spec["scores"] = {"modify": modify}
    return Problem(load_spec(spec), Example(2, queries, keys, seed=0))


@pytest.mark.parametrize("keep", [None, "k >= 0"])
def test_a_mask_that_hides_nothing_is_none(keep: str | None) -> None:
    assert fused(problem(keep)).is_plain
    assert not fused(problem(keep)).is_causal


def test_a_causal_mask_is_known() -> None:
    attention = fused(problem("k <= q"))
    assert attention.is_causal
    assert attention.is_plain


@pytest.mark.parametrize("keep", ["k <= q and q - k < window", "k <= q and q - k < 3"])
def test_a_window_is_known(keep: str) -> None:
    assert fused(problem(keep)).window == 3


def test_queries_that_do_not_start_at_the_first_key_need_a_mask_of_their_own() -> None:
    attention = fused(problem("k <= q", queries=2))
    assert not attention.is_causal
    assert attention.keep is not None
    assert fused(problem("k <= q", queries=1)).is_plain


@pytest.mark.parametrize(
    ("modify", "softcap", "has_bias"),
    [
        ("score", None, False),
        ("score + 0.5 * (k - q)", None, True),
        ("cap * tanh(score / cap)", 5.0, False),
        ("2.0 * tanh(score / 2.0) + h * 0.1", 2.0, True),
    ],
)
def test_scores_are_taken_apart(modify: str, softcap: float | None, has_bias: bool) -> None:
    attention = fused(problem(modify=modify))
    assert (attention.softcap, attention.bias is not None) == (softcap, has_bias)


@pytest.mark.parametrize("modify", ["score * score", "2.0 * tanh(score / 3.0)", "score + 0.5 + score * 0.1"])
def test_scores_that_operators_cannot_change_are_refused(modify: str) -> None:
    with pytest.raises(UnsupportedError, match="formula"):
        fused(problem(modify=modify))


def test_an_operator_refuses_what_it_lacks() -> None:
    attention = fused(problem("k <= q", "cap * tanh(score / cap)"))
    attention.refuse("window", "bias", "keep")
    with pytest.raises(UnsupportedError, match="it has no soft cap"):
        attention.refuse("softcap")


def test_bias_and_mask_come_in_one_array_no_larger_than_needed() -> None:
    given = problem("k <= q", "score + 0.5 * (k - q)")
    array = added(given, fused(given), with_mask=True)
    q, k = np.arange(7)[:, np.newaxis], np.arange(7)
    assert array is not None
    np.testing.assert_array_equal(array, np.where(k <= q, 0.5 * (k - q), -np.inf)[np.newaxis, np.newaxis])


def test_an_array_of_heads_and_batch_entries_has_their_axes() -> None:
    given = problem("k < 1 + b + h")
    array = added(given, fused(given), with_mask=True)
    b, h, k = np.ogrid[:2, :3, :7]
    expected = np.where(k < 1 + b + h, 0, -np.inf)[:, :, np.newaxis]
    assert array is not None
    np.testing.assert_array_equal(array, np.broadcast_to(expected, (2, 3, 7, 7)))


def test_there_is_nothing_to_add_to_plain_scores() -> None:
    given = problem("k <= q")
    assert added(given, fused(given), with_mask=False) is None
