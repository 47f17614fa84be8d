"""Whichever way a call goes through a kernel, threads and the rest of the batch change no bit of a result."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from mhagen.runtime.headers import headers_are_known
from mhagen.runtime.launch import Kernel
from mhagen.runtime.threads import threads

from .calls import Array, Call, Shape, bits_of, displaced, named, same_bits, with_gaps
from .dtypes import EVERY_LAYER, of
from .isolation import assert_alone_as_together, assert_same_on_any_number_of_threads, assert_undisturbed, on
from .layers import rows, weights_of
from .specs import Case

# Queries and keys of a call that goes each way.
WAYS: dict[str, Callable[[ModuleType], tuple[int, int]]] = {
    "tiles and blocks": lambda sizes: (2 * sizes.TILE_QUERIES + 3, 2 * sizes.BLOCK_KEYS + 5),
    "a single block": lambda sizes: (sizes.TILE_QUERIES + 3, sizes.BLOCK_KEYS - 1),
    "one key": lambda sizes: (sizes.TILE_QUERIES + 3, 1),
    "a narrow tile": lambda sizes: (sizes.DECODE_QUERIES + 1, sizes.BLOCK_KEYS + 1),
    "a narrow tile behind a wide one": lambda sizes: (sizes.GROUP_QUERIES + 1, sizes.BLOCK_KEYS + 1),
    "few queries": lambda sizes: (2, sizes.CHUNK_KEYS - 1),
    "few queries, keys in chunks": lambda sizes: (sizes.DECODE_QUERIES, 3 * sizes.CHUNK_KEYS + 1),
    "one query, keys in chunks": lambda sizes: (1, 2 * sizes.CHUNK_KEYS + 1),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS)
OFFSETS = np.array([4, -9, 40])


def call_of(case: Case, way: str) -> Call:
    return Shape(3, *WAYS[way](case.module), seed=len(way), scores=3.0).random(case)


@EVERY_WAY
@of("odd")
def test_threads_and_neighbours_change_no_bit(case: Case, way: str) -> None:
    call = call_of(case, way) | {"query_offset": OFFSETS}
    assert_same_on_any_number_of_threads(case, call)
    assert_alone_as_together(case, call)
    assert_undisturbed(case, call)


@EVERY_WAY
@of("dense")
def test_without_mask_and_statistics_they_change_no_bit(case: Case, way: str) -> None:
    call = call_of(case, way) | {"query_offset": OFFSETS}
    assert_same_on_any_number_of_threads(case, call)
    assert_alone_as_together(case, call)
    assert_undisturbed(case, call)


@EVERY_WAY
@of("dense")
def test_where_arrays_begin_changes_no_bit(case: Case, way: str) -> None:
    """Some targets copy values whose vectors lie across the ends of cache lines."""
    call = call_of(case, way) | {"query_offset": OFFSETS}
    results = [
        case.module.attention(
            **{name: displaced(call[name], by) for name in ("query", "key", "value")},
            **{name: array for name, array in call.items() if name not in ("query", "key", "value")},
        )
        for by in (0, call["value"].itemsize, 16)
    ]
    for each in results[1:]:
        same_bits(case.spec, each, results[0])


@pytest.mark.skipif(not headers_are_known(), reason="this Python's arrays have other headers")
@pytest.mark.parametrize(("queries", "keys"), [(9, 5), (17, 33), (33, 17)])
@of("dense")
def test_the_short_way_in_gives_the_bits_of_the_long_one(case: Case, queries: int, keys: int) -> None:
    call = Shape(2, queries, keys, seed=keys).random(case)
    with patch.object(Kernel, "run", side_effect=AssertionError("this is the long way")):
        short = case.module.attention(**call)
    out = with_gaps(np.zeros_like(short))
    for count in (1, 2, 3):
        with on(count):
            same_bits(case.spec, case.module.attention(**call, out=out), short)
    assert_alone_as_together(case, call)
    assert_undisturbed(case, call)


# Layers


def layer(case: Case, x: Array, weights: Any, context: Array | None) -> dict[str, Array]:
    inputs = {name: np.ones(case.spec.heads.query, np.float32) for name in case.spec.inputs}
    return named(case.spec, case.module.layer(x, weights, context=context, **inputs))


@EVERY_LAYER
@pytest.mark.parametrize("length", [1, 9, 150])
@pytest.mark.parametrize("is_cross", [False, True])
def test_threads_and_neighbours_change_no_bit_of_a_layer(case: Case, length: int, is_cross: bool) -> None:
    weights = case.module.prepare(weights_of(case.spec, seed=1))
    x = rows(case.spec, 3, length, seed=1)
    context = rows(case.spec, 3, 2 * length + 1, seed=2) if is_cross else None
    with threads(1):
        together = layer(case, x, weights, context)
    for count in (2, 3, 7):
        with on(count):
            assert_equal(layer(case, x, weights, context), together)
    for entry in range(3):
        part = slice(entry, entry + 1)
        alone = layer(case, x[part], weights, None if context is None else context[part])
        assert_equal(alone, {name: array[part] for name, array in together.items()})


def assert_equal(found: dict[str, Array], expected: dict[str, Array]) -> None:
    for name, array in expected.items():
        np.testing.assert_array_equal(bits_of(found[name]), bits_of(array), err_msg=name)
