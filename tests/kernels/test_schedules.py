"""However a kernel is blocked, and whatever CPU it is made for, it gives what the reference gives."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
import pytest

from mhagen import reference
from mhagen.base.target import AVX2, AVX512, NEON, Target

from .calls import Shape, assert_right, named
from .dtypes import runs_here
from .layers import LAYERS, rows, weights_of
from .specs import BY_NAME, Case, scheduled

# Sizes that change against the default: the smallest legal tiles, tall ones, wide ones, blocks of odd counts.
CHANGES: dict[Target, dict[str, dict[str, int]]] = {
    AVX512: {
        "smallest": {
            "tile_queries": 16, "block_keys": 3, "key_rows": 1, "query_vectors": 1,
            "value_rows": 1, "value_vectors": 1,
        },
        "tall": {
            "tile_queries": 48, "block_keys": 56, "key_rows": 14, "query_vectors": 1,
            "value_rows": 16, "value_vectors": 1,
        },
        "wide": {
            "tile_queries": 192, "block_keys": 70, "key_rows": 5, "query_vectors": 4,
            "value_rows": 2, "value_vectors": 3,
        },
    },
    AVX2: {
        "default": {},
        "other": {
            "tile_queries": 48, "block_keys": 45, "key_rows": 5, "query_vectors": 2,
            "value_rows": 4, "value_vectors": 2,
        },
    },
    NEON: {"default": {}},
}  # fmt: skip
LINEAR_CHANGES: dict[Target, dict[str, dict[str, int]]] = {
    AVX512: {
        "smallest": {"linear_rows": 1, "linear_vectors": 1, "linear_block_rows": 1, "linear_depth": 1},
        "odd": {"linear_rows": 5, "linear_vectors": 3, "linear_block_rows": 10, "linear_depth": 37},
    },
    AVX2: {"default": {}},
    NEON: {"default": {}},
}
CASES = [BY_NAME[name] for name in ("plain", "narrow", "everything")]


def schedules(changes: dict[Target, dict[str, dict[str, int]]]) -> list[object]:
    unable = {target: pytest.mark.skipif(not runs_here(target), reason="another CPU") for target in changes}
    return [
        pytest.param(target, way, id=f"{target.name}-{way}", marks=unable[target])
        for target, ways in changes.items()
        for way in ways
    ]


@cache
def kernel(name: str, target: Target, way: str) -> ModuleType:
    return scheduled(BY_NAME[name], target, **CHANGES[target][way])


@pytest.mark.parametrize(("target", "way"), schedules(CHANGES))
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_every_schedule_equals_the_reference(case: Case, target: Target, way: str) -> None:
    module = kernel(case.spec.name, target, way)
    tile, block, key_rows = module.TILE_QUERIES, module.BLOCK_KEYS, module.KEY_ROWS
    sizes = [(1, 1), (7, key_rows), (tile - 1, block + 1), (tile, block), (tile + 1, 2 * block - 1)]
    for seed, (queries, keys) in enumerate([*sizes, (2 * tile + 5, 3 * block + key_rows + 1)]):
        for offset in (None, 11, -tile):
            call = Shape(2, queries, keys, seed).random(case) | {"query_offset": offset}
            assert_right(case.spec, module.attention(**call), call)


@pytest.mark.parametrize(("target", "way"), schedules(LINEAR_CHANGES))
def test_every_schedule_of_the_products_equals_the_reference(target: Target, way: str) -> None:
    case = LAYERS["full"]
    module = scheduled(case, target, **LINEAR_CHANGES[target][way])
    weights = weights_of(case.spec, seed=1)
    for length in (1, 4, 5, 6, 41):
        x = rows(case.spec, 2, length, seed=length)
        gold = named(case.spec, reference(case.spec).layer(x, weights))
        for name, found in named(case.spec, module.layer(x, weights)).items():
            np.testing.assert_allclose(found, gold[name], rtol=2e-5, atol=2e-5)
