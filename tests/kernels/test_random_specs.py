"""Whole specs drawn at random, and kept in a file; `--hypothesis-profile=long` draws many others."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings

from .calls import Array, Shape
from .drawn_specs import WANTED, kept, sort_of
from .dtypes import REALS
from .isolation import assert_same_on_any_number_of_threads, assert_undisturbed
from .random_specs import numbered
from .specs import Case, register
from .steadiness import assert_right_where_steady

# Compiling one takes as long as hundreds of other examples.
DRAWN_NOW = settings.default.max_examples // 4 if settings.default.max_examples > 100 else 0
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


@pytest.mark.parametrize("drawn", [*kept(), *range(DRAWN_NOW)], ids=repr)
def test_a_spec_drawn_at_random_equals_the_reference(drawn: Case | int) -> None:
    """And depends neither on the number of threads nor on what else is in the batch."""
    case = numbered(drawn) if isinstance(drawn, int) else register(drawn)
    print(case, case.spec.model_dump_json(exclude_defaults=True), case.ranges)
    rng = np.random.default_rng(0)
    for queries, keys in sizes(case.module):
        shape = Shape(2, queries, keys, seed=queries, scores=rng.choice([0.2, 1.0, 8.0]))
        call = shape.random(case) | {"query_offset": offset_of(rng, 2, keys)}
        assert_right(case, call)
        assert_same_on_any_number_of_threads(case, call, (2,))
        assert_undisturbed(case, call)


def test_specs_that_are_kept_have_heads_of_every_sort_and_numbers_of_every_dtype() -> None:
    cases = kept()
    assert Counter(map(sort_of, cases)) == WANTED
    assert {each.spec.dtype for each in cases} == {*REALS}


def assert_right(case: Case, call: dict[str, Array]) -> None:
    steady = assert_right_where_steady(case.spec, case.module.attention(**call), call)
    alike = [way.spec for way in case.spec.alike]
    assert steady == 1 or any(each.scores.modify or each.mask.keep for each in alike)
