"""What keys receive is what the reference adds up, whoever computes it; nothing comes from behind a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen import reference

from .calls import Array, Call, Shape, assert_right, drafts, named
from .dtypes import LAYERS_ON_THE_WIDEST, MAIN, made, made_mainly
from .isolation import assert_alone_as_together, assert_same_on_any_number_of_threads, assert_undisturbed
from .layers import rows, weights_of
from .specs import Case

FEATURES = {
    "received_masked": {
        "heads": "4/2 17/33",
        "keep": "k <= q and q - k < window and h != 2",
        "constants": {"window": 300},
        "statistics": ["received"],
    },
}
ON_THE_WIDEST: dict[str, dict[str, Any]] = {
    "received_sunk": {
        "heads": "4/2 32/16",
        "modify": "score + slope[h] * (k - q)",
        "sink": "slope[h] * 8 - 2",
        "slope": "float32 query_heads",
        "layout": "bshd",
        "statistics": ["max", "received", "lse"],
    },
    "received_mixed": {
        "heads": "8/2 24/16",
        "keep": "k <= q and segment[b, q] == segment[b, k]",
        "segment": "int32 batch keys",
        "ranges": {"segment": (0, 2)},
        "layout": "bshd",
        "pruned": [2, 5],
        "statistics": ["received", "confidence"],
        "groups": [
            {"heads": [0, 7], "mask": {"keep": "True"}, "scores": {"scale": -0.1}},
            {"heads": [4], "scores": {"modify": "tanh(score) - h"}, "softmax": {"sink": "0.5"}},
        ],
    },
}
ALONE: dict[str, dict[str, Any]] = {"received_alone": {"heads": "1/1 8/8", "statistics": ["received"]}}
LAYERS = {
    "received_layer": LAYERS_ON_THE_WIDEST["odd_layer"] | {"statistics": ["received"], "keep": "k <= q"}
}
# Formats differ in what every case does; what more there is, is tried with plain numbers and with pairs.
CASES = (
    *made_mainly(FEATURES),
    *made(ALONE, widest=True),
    *made(ON_THE_WIDEST, widest=True, dtypes=MAIN),
)
WITHOUT_SINK = tuple(case for case in CASES if all(way.spec.softmax.sink is None for way in case.spec.alike))
MASKED = tuple(case for case in CASES if case.spec.mask.keep is not None)
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=repr)
EVERY_MASK = pytest.mark.parametrize("case", MASKED, ids=repr)
EVERY_LAYER = pytest.mark.parametrize("case", made(LAYERS, widest=True, dtypes=MAIN), ids=repr)
QUERIES = pytest.mark.parametrize("queries", [1, 3, 70], ids="{} queries".format)


def received(case: Case, call: Call) -> Array:
    return named(case.spec, case.module.attention(**call))["received"]


@EVERY_CASE
@given(data=st.data())
@settings(max_examples=8)
def test_what_keys_receive_is_what_the_reference_adds_up(case: Case, data: st.DataObject) -> None:
    call = data.draw(drafts(case)).call(case)
    assert_right(case.spec, case.module.attention(**call), call)


@EVERY_CASE
@QUERIES
def test_it_does_not_depend_on_threads_or_neighbours(case: Case, queries: int) -> None:
    keys = 2 * int(case.module.SECOND_KEYS) + 5
    call = Shape(3, queries, keys, seed=queries, scores=3.0).random(case)
    call |= {"query_offset": np.array([keys - queries, 100, -9])}
    assert_same_on_any_number_of_threads(case, call)
    assert_alone_as_together(case, call)
    assert_undisturbed(case, call)
    assert_right(case.spec, case.module.attention(**call), call)


@pytest.mark.parametrize("case", WITHOUT_SINK, ids=repr)
@QUERIES
def test_keys_receive_all_that_queries_give(case: Case, queries: int) -> None:
    call = Shape(2, queries, 80, seed=1).random(case) | {"query_offset": 0}
    found = received(case, call).astype(np.float64).sum(axis=2)
    gold = named(case.spec, reference(case.spec).attention(**call))["received"].sum(axis=2)
    np.testing.assert_allclose(found, gold, rtol=1e-3)
    assert np.allclose(gold, np.round(gold))  # as many as the queries that see anything


@EVERY_MASK
@QUERIES
def test_what_nobody_sees_may_be_anything_and_receives_nothing(case: Case, queries: int) -> None:
    call = Shape(2, queries, 300, seed=2).random(case) | {"query_offset": 9}
    heads = [h for way in case.spec.alike if way.spec.mask.keep != "True" for h in way.heads]
    before = received(case, call)
    rows_first = case.spec.layout.value == "bshd"
    hidden = range(queries + 9, 300)
    call["key"][(slice(None), hidden) if rows_first else (slice(None), slice(None), hidden)] = np.nan
    after = received(case, call)
    np.testing.assert_array_equal(after[:, heads], before[:, heads])
    np.testing.assert_array_equal(after[:, heads][..., hidden], 0)


@EVERY_CASE
@QUERIES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_as_in_the_reference(case: Case, queries: int, bad: float) -> None:
    call = Shape(2, queries, 60, seed=3).random(case) | {"query_offset": 20}
    rows_first = case.spec.layout.value == "bshd"
    call["key"][
        (0, 27, 1 % case.spec.heads.key_value) if rows_first else (0, 1 % case.spec.heads.key_value, 27)
    ] = bad
    found, gold = received(case, call), named(case.spec, reference(case.spec).attention(**call))["received"]
    np.testing.assert_array_equal(np.isnan(found.astype(np.float64)), np.isnan(gold))


@EVERY_CASE
@pytest.mark.parametrize(("batch", "queries", "keys"), [(2, 0, 5), (2, 5, 0), (0, 5, 5), (1, 1, 1)])
def test_without_queries_keys_receive_nothing(case: Case, batch: int, queries: int, keys: int) -> None:
    call = Shape(batch, queries, keys).random(case)
    found = received(case, call)
    assert found.shape == (batch, case.spec.heads.query, keys)
    if queries == 0:
        np.testing.assert_array_equal(found, 0)


@EVERY_LAYER
@pytest.mark.parametrize("is_cross", [False, True])
def test_what_keys_of_a_layer_receive_equals_the_reference(case: Case, is_cross: bool) -> None:
    spec = case.spec
    x, weights = rows(spec, 2, 37, seed=1), weights_of(spec, seed=2)
    context = rows(spec, 2, 61, seed=3) if is_cross else None
    slope = np.array([0.5, -1.0, 0.25], np.float32)
    found = named(spec, case.module.layer(x, weights, context=context, slope=slope))["received"]
    gold = named(spec, reference(spec).layer(x, weights, context=context, slope=slope))["received"]
    room = 0.1 if spec.dtype.bytes == 2 else 1e-4
    np.testing.assert_allclose(found.astype(np.float64), gold, atol=room, rtol=room)
