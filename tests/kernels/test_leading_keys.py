"""argmax and top_N are the keys with the greatest scores; of two that score nearly alike, either is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen import reference
from mhagen.spec.model import Spec

from .calls import Array, Call, Shape, drafts, named
from .dtypes import LAYERS_ON_THE_WIDEST, MAIN, made, made_mainly
from .isolation import assert_alone_as_together, assert_same_on_any_number_of_threads, assert_undisturbed
from .layers import rows, weights_of
from .specs import Case

FEATURES = {
    "led": {
        "heads": "4/2 17/33",
        "keep": "k <= q and q - k < window and h != 2",
        "constants": {"window": 300},
        "statistics": ["argmax", "lse", "top_4"],
    },
}
ON_THE_WIDEST: dict[str, dict[str, Any]] = {
    "led_mixed": {
        "heads": "8/2 24/16",
        "keep": "k <= q and segment[b, q] == segment[b, k]",
        "segment": "int32 batch keys",
        "ranges": {"segment": (0, 2)},
        "layout": "bshd",
        "pruned": [2, 5],
        "statistics": ["top_16", "received"],
        "groups": [
            {"heads": [0, 7], "mask": {"keep": "True"}, "scores": {"scale": -0.1}},
            {"heads": [4], "scores": {"modify": "tanh(score) - h"}, "softmax": {"sink": "0.5"}},
        ],
    },
    "led_flat": {"heads": "2/2 16/16", "modify": "floor(score)", "statistics": ["top_8", "argmax"]},
}
ALONE: dict[str, dict[str, Any]] = {"led_alone": {"heads": "1/1 8/8", "statistics": ["argmax"]}}
LAYERS = {
    "led_layer": LAYERS_ON_THE_WIDEST["odd_layer"] | {"statistics": ["argmax", "top_2"], "keep": "k <= q"}
}
CASES = (
    *made_mainly(FEATURES),
    *made(ALONE, widest=True),
    *made(ON_THE_WIDEST, widest=True, dtypes=MAIN),
)
# Steps fall where rounding lets them, so most scores are equal, and where products are exact all are known.
FLAT = tuple(case for case in CASES if case.spec.scores.modify is not None)
SMOOTH = tuple(case for case in CASES if case.spec.scores.modify is None)
EVERY_FLAT = pytest.mark.parametrize("case", FLAT, ids=repr)
EVERY_SMOOTH = pytest.mark.parametrize("case", SMOOTH, ids=repr)
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=repr)
EVERY_LAYER = pytest.mark.parametrize("case", made(LAYERS, widest=True, dtypes=MAIN), ids=repr)
QUERIES = pytest.mark.parametrize("queries", [1, 3, 70], ids="{} queries".format)


def ranked(spec: Spec, found: dict[str, Array]) -> dict[str, Array]:
    """The statistics that are keys, each with an axis of ranks."""
    names = [each.value for each in spec.outputs.statistics if each.value.startswith(("argmax", "top_"))]
    return {name: found[name].reshape(*found[name].shape[:3], -1) for name in names}


def assert_leading(spec: Spec, result: Any, call: Call) -> None:
    """Keys are apart, seen, and weigh what those of the reference weigh, in the same order."""
    found, gold = (named(spec, each) for each in (result, reference(spec).attention(**call)))
    weights, _ = reference(spec).weights(**call)
    room = 0.02 if spec.dtype.bytes == 2 else 1e-4
    for name, keys in ranked(spec, found).items():
        right = ranked(spec, gold)[name]
        assert found[name].dtype == np.int64 and found[name].shape == gold[name].shape
        np.testing.assert_array_equal(keys < 0, right < 0, err_msg=name)
        in_order = np.sort(np.where(keys < 0, -1 - np.arange(keys.shape[3]), keys), axis=3)
        assert (np.diff(in_order, axis=3) != 0).all(), f"{name} has a key twice"
        here, there = (np.take_along_axis(weights, np.maximum(each, 0), axis=3) for each in (keys, right))
        np.testing.assert_allclose(here, there, rtol=room, atol=1e-30, err_msg=name)


@EVERY_SMOOTH
@given(data=st.data())
@settings(max_examples=8)
def test_keys_with_the_greatest_scores_are_those_of_the_reference(case: Case, data: st.DataObject) -> None:
    call = data.draw(drafts(case)).call(case)
    assert_leading(case.spec, case.module.attention(**call), call)


@EVERY_FLAT
@QUERIES
def test_of_equal_scores_the_lowest_keys_come_first(case: Case, queries: int) -> None:
    call = Shape(2, queries, 300, seed=1).random(case) | {"query_offset": 250}
    for name in ("query", "key"):
        call[name][...] = np.round(2 * call[name].astype(np.float32)) / 2
        call[name][..., 2:] = 0  # sums of two products of few digits are exact: most scores are equal
    call["query"][..., :2] *= 8
    found, gold = (
        named(case.spec, each)
        for each in (case.module.attention(**call), reference(case.spec).attention(**call))
    )
    for name, keys in ranked(case.spec, found).items():
        np.testing.assert_array_equal(keys, ranked(case.spec, gold)[name], err_msg=name)


@EVERY_CASE
@QUERIES
def test_keys_do_not_depend_on_threads_or_neighbours(case: Case, queries: int) -> None:
    keys = 2 * int(case.module.SECOND_KEYS) + 5
    call = Shape(3, queries, keys, seed=queries, scores=3.0).random(case)
    call |= {"query_offset": np.array([keys - queries, 100, -9])}
    assert_same_on_any_number_of_threads(case, call)
    assert_alone_as_together(case, call)
    assert_undisturbed(case, call)


@EVERY_CASE
@QUERIES
def test_a_nan_is_never_the_greatest(case: Case, queries: int) -> None:
    call = Shape(2, queries, 40, seed=3).random(case) | {"query_offset": 20}
    rows_first = case.spec.layout.value == "bshd"
    call["key"][(slice(None), slice(3, 9)) if rows_first else (slice(None), slice(None), slice(3, 9))] = (
        np.nan
    )
    found = named(case.spec, case.module.attention(**call))
    for keys in ranked(case.spec, found).values():
        assert not ((keys >= 3) & (keys < 9)).any()
        assert (keys[:, 0] >= 0).any()


@EVERY_CASE
@pytest.mark.parametrize(("batch", "queries", "keys"), [(2, 0, 5), (2, 5, 0), (0, 5, 5)])
def test_without_keys_there_is_none(case: Case, batch: int, queries: int, keys: int) -> None:
    found = named(case.spec, case.module.attention(**Shape(batch, queries, keys).random(case)))
    for array in ranked(case.spec, found | {}).values() if batch and queries else ():
        np.testing.assert_array_equal(array, -1)
    assert all(each.shape[:1] == (batch,) for each in found.values())


@EVERY_LAYER
@pytest.mark.parametrize("is_cross", [False, True])
def test_keys_of_a_layer_are_those_of_the_reference(case: Case, is_cross: bool) -> None:
    spec = case.spec
    x, weights = rows(spec, 2, 37, seed=1), weights_of(spec, seed=2)
    context = rows(spec, 2, 61, seed=3) if is_cross else None
    slope = np.array([0.5, -1.0, 0.25], np.float32)
    found = named(spec, case.module.layer(x, weights, context=context, slope=slope))
    gold = named(spec, reference(spec).layer(x, weights, context=context, slope=slope))
    least = 0.9 if spec.dtype.bytes == 2 else 0.999
    for name in ("argmax", "top_2"):
        assert (found[name] == gold[name]).mean() >= least
