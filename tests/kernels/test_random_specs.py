"""Whole specs drawn at random, the same in every run; `--hypothesis-profile=long` draws many more."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings

from .calls import Array, Shape
from .isolation import assert_same_on_any_number_of_threads, assert_undisturbed
from .random_specs import numbered
from .specs import Case
from .steadiness import assert_right_where_steady

SPECS = settings.default.max_examples // 4  # compiling one takes as long as hundreds of other examples
FAR = 2**29 - 500


def sizes(module: ModuleType) -> tuple[tuple[int, int], ...]:
    """Queries and keys for every way through a kernel: few queries, a vector of them, tiles, blocks."""
    few, rows, block = module.DECODE_QUERIES, module.KEY_ROWS, module.BLOCK_KEYS
    few_queries = ((1, 2 * module.CHUNK_KEYS + 1), (few - 1, 33), (few, 1))
    few_tiles = ((few + 1, rows - 1), (few + 3, block + 1), (module.GROUP_QUERIES + 1, block - 1))
    return (*few_queries, *few_tiles, (module.TILE_QUERIES + 1, rows + 1))


def offset_of(rng: np.random.Generator, batch: int, keys: int) -> int | Array | None:
    """None, a number, or numbers for each batch entry, some of them far away."""
    near = rng.integers(-keys - 9, keys + 9, batch)
    choices = (None, int(near[0]), near, np.where(near > 0, near, rng.choice([-FAR, FAR])))
    return choices[rng.integers(len(choices))]


@pytest.mark.parametrize("number", range(SPECS))
def test_a_spec_drawn_at_random_equals_the_reference(number: int) -> None:
    """And depends neither on the number of threads nor on what else is in the batch."""
    case, rng = numbered(number), np.random.default_rng(number)
    print(case, case.chosen, case.spec.model_dump_json(exclude_defaults=True), case.ranges)
    for queries, keys in sizes(case.module):
        shape = Shape(2, queries, keys, seed=queries, scores=rng.choice([0.2, 1.0, 8.0]))
        call = shape.random(case) | {"query_offset": offset_of(rng, 2, keys)}
        assert_right(case, call)
        assert_same_on_any_number_of_threads(case, call, (2,))
        assert_undisturbed(case, call)


def assert_right(case: Case, call: dict[str, Array]) -> None:
    steady = assert_right_where_steady(case.spec, case.module.attention(**call), call)
    assert steady == 1 or case.spec.scores.modify or case.spec.mask.keep
