"""Kernels of every format, on every class of CPU, give what the reference gives."""

from __future__ import annotations

import numpy as np
import pytest

from mhagen import reference

from .calls import ROOM, Shape, assert_right, named
from .dtypes import EVERY_CASE, EVERY_LAYER
from .layers import rows, weights_of
from .specs import Case


def edges(case: Case) -> tuple[tuple[int, int], ...]:
    """Queries and keys on both sides of every edge: of vectors, tiles, blocks, chunks and few queries."""
    module = case.module
    group, tile, few = module.GROUP_QUERIES, module.TILE_QUERIES, module.DECODE_QUERIES
    rows, block, chunk = module.KEY_ROWS, module.BLOCK_KEYS, module.CHUNK_KEYS
    queries = (1, few, few + 1, group - 1, group, group + 1, tile - 1, tile, tile + 1)
    keys = (1, rows - 1, rows, rows + 1, block - 1, block, block + 1, 2 * block + 3)
    few_queries = ((1, 1), (1, 2), (few, rows + 1), (1, chunk - 1), (2, chunk), (few, chunk + 1))
    pairs = ((few + 1, 1), (few + 1, 2), (tile + 1, 1), (tile, block), (tile + 1, block + 1))
    return (*few_queries, *pairs, *zip(queries, keys, strict=False), (group + 1, 2 * block + rows + 1))


@EVERY_CASE
def test_every_edge_of_tiles_and_blocks_equals_the_reference(case: Case) -> None:
    for seed, (queries, keys) in enumerate(edges(case)):
        call = Shape(2, queries, keys, seed).random(case) | {"query_offset": None}
        assert_right(case.spec, case.module.attention(**call), call)


@EVERY_CASE
@pytest.mark.parametrize("scores", [0.05, 6.0, 40.0])
def test_flat_and_steep_scores_equal_the_reference(case: Case, scores: float) -> None:
    for queries, keys in ((1, 300), (70, 131), (40, 2 * case.module.BLOCK_KEYS + 1)):
        call = Shape(2, queries, keys, seed=3, scores=scores).random(case) | {"query_offset": 90}
        assert_right(case.spec, case.module.attention(**call), call)


@EVERY_LAYER
@pytest.mark.parametrize("length", [1, 9, 41])
def test_a_layer_equals_the_reference(case: Case, length: int) -> None:
    weights, inputs = weights_of(case.spec, seed=1), layer_inputs(case)
    x = rows(case.spec, 2, length, seed=length)
    for context in (None, rows(case.spec, 2, length + 8, seed=0)):
        gold = named(case.spec, reference(case.spec).layer(x, weights, context=context, **inputs))
        found = named(case.spec, case.module.layer(x, weights, context=context, **inputs))
        assert found["out"].dtype == x.dtype
        for name, array in found.items():
            assert_allowed(case, array.astype(np.float64), gold[name])


def layer_inputs(case: Case) -> dict[str, np.ndarray]:
    return {name: np.full(case.spec.heads.query, -0.25, np.float32) for name in case.spec.inputs}


def assert_allowed(case: Case, found: np.ndarray, gold: np.ndarray) -> None:
    """Four products one after the other, each rounded to the format."""
    assert found.shape == gold.shape
    allowed = 8 * ROOM[case.spec.dtype] * max(1.0, np.abs(gold[np.isfinite(gold)]).max(initial=0.0))
    np.testing.assert_allclose(found, gold, rtol=0, atol=allowed)
