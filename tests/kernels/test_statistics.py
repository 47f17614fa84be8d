"""Statistics are those of the reference, on every dtype and class of CPU, with and without a sink."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen import reference

from .calls import Array, Call, Shape, assert_right, drafts, named
from .dtypes import LAYERS_ON_THE_WIDEST, MAIN, made, made_mainly
from .layers import rows, weights_of
from .specs import Case

FEATURES = {
    "all": {
        "heads": "4/2 17/33",
        "keep": "k <= q and h != 2",
        "statistics": ["max", "lse", "entropy", "confidence"],
    },
    "all_sunk": {
        "heads": "4/2 32/16",
        "modify": "score + slope[h] * (k - q)",
        "sink": "slope[h] * 8 - 2",
        "slope": "float32 query_heads",
        "layout": "bshd",
        "statistics": ["entropy", "max", "confidence", "lse"],
    },
}
ALONE = {
    "entropy_alone": {"heads": "2/2 16/16", "statistics": ["entropy"]},
    "confidence_alone": {"heads": "2/2 16/16", "statistics": ["confidence"], "keep": "k <= q"},
    "max_alone": {"heads": "2/1 16/16", "statistics": ["max"], "sink": "0.0"},
}
LAYERS = {
    "told_layer": LAYERS_ON_THE_WIDEST["odd_layer"] | {"statistics": ["max", "entropy", "confidence", "lse"]}
}
CASES = made_mainly(FEATURES)
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=repr)
EVERY_CASE_ALONE = pytest.mark.parametrize("case", made(ALONE, widest=True, dtypes=MAIN), ids=repr)
EVERY_LAYER = pytest.mark.parametrize("case", made(LAYERS, widest=True, dtypes=MAIN), ids=repr)
QUERIES = pytest.mark.parametrize("queries", [1, 3, 70], ids="{} queries".format)


def run(case: Case, call: Call) -> dict[str, Array]:
    return named(case.spec, case.module.attention(**call))


def rising(case: Case, queries: int, keys: int, by: float) -> Call:
    """A call whose scores rise by so much from key to key: maxima are raised again and again."""
    call = Shape(1, queries, keys, seed=3).random(case)
    for name in ("query", "key"):
        call[name][...] = 0
        call[name][..., 0] = 1
    dim = case.spec.heads.dim
    steps = (by * dim**0.5 * np.arange(keys)).astype(call["key"].dtype)
    call["key"][..., 0] = steps[:, np.newaxis] if case.spec.layout.value == "bshd" else steps
    return call | {"query_offset": keys}


@EVERY_CASE
@given(data=st.data())
@settings(max_examples=15)
def test_statistics_equal_those_of_the_reference(case: Case, data: st.DataObject) -> None:
    call = data.draw(drafts(case)).call(case)
    assert_right(case.spec, case.module.attention(**call), call)


@EVERY_CASE_ALONE
@QUERIES
def test_each_statistic_can_be_asked_for_alone(case: Case, queries: int) -> None:
    call = Shape(2, queries, 300, seed=1).random(case) | {"query_offset": 250}
    assert_right(case.spec, case.module.attention(**call), call)


@EVERY_CASE
@QUERIES
@pytest.mark.parametrize("by", [0.25, 3.0, -0.25, -3.0])
def test_a_maximum_that_is_raised_often_is_no_less_exact(case: Case, queries: int, by: float) -> None:
    call = rising(case, queries, 600, by)
    if "slope" in call:
        call["slope"][...] = 0
    assert_right(case.spec, case.module.attention(**call), call)


@EVERY_CASE
@QUERIES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_as_in_the_reference(case: Case, queries: int, bad: float) -> None:
    call = rising(case, queries, 40, 0.1)
    rows_first = case.spec.layout.value == "bshd"
    call["key"][(0, 7, 1, 0) if rows_first else (0, 1, 7, 0)] = bad
    found, gold = run(case, call), named(case.spec, reference(case.spec).attention(**call))
    for name, array in found.items():
        wide = array.astype(np.float64)
        np.testing.assert_array_equal(np.isnan(wide), np.isnan(gold[name]), err_msg=name)
        np.testing.assert_array_equal(np.isinf(wide), np.isinf(gold[name]), err_msg=name)


@EVERY_CASE
@QUERIES
@pytest.mark.parametrize("keys", [0, 5])
def test_a_query_that_sees_no_key_has_no_score_no_entropy_and_no_confidence(
    case: Case, queries: int, keys: int
) -> None:
    if case.spec.mask.keep is None and keys > 0:
        return
    found = run(case, Shape(2, queries, keys).random(case) | {"query_offset": -1000})
    for name, blind in {"out": 0, "max": -np.inf, "entropy": 0, "confidence": 0}.items():
        np.testing.assert_array_equal(found[name].astype(np.float32), blind, err_msg=name)


@EVERY_CASE
@QUERIES
def test_one_key_has_all_the_confidence_and_no_entropy(case: Case, queries: int) -> None:
    if case.spec.softmax.sink is not None:
        return
    found = run(case, Shape(2, queries, 1, scores=4.0).random(case) | {"query_offset": 5})
    np.testing.assert_array_equal(found["confidence"][:, [0, 1, 3]], 1)
    assert (found["entropy"] >= 0).all() and (found["entropy"] < 1e-5).all()


@EVERY_LAYER
def test_the_statistics_of_a_layer_equal_those_of_the_reference(case: Case) -> None:
    spec = case.spec
    x, weights = rows(spec, 2, 37, seed=1), weights_of(spec, seed=2)
    slope = np.array([0.5, -1.0, 0.25], np.float32)
    found = named(spec, case.module.layer(x, weights, slope=slope))
    gold = named(spec, reference(spec).layer(x, weights, slope=slope))
    for name, array in found.items():
        room = 0.05 if spec.dtype.bytes == 2 else 1e-4
        np.testing.assert_allclose(array.astype(np.float64), gold[name], atol=room, rtol=room, err_msg=name)
