"""The schedules that are worth trying for a graph on a target: a small grid around what is good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from ..base.target import AVX2, AVX512, AVX512_BF16, NEON, Target
from .legal import violations
from .numbers import Numbers, numbers_of
from .plan import Schedule
from .workload import Workload

Tile = tuple[int, int]  # rows down, vectors across


@dataclass(frozen=True)
class Grid:
    """What is combined with what. Sizes are rounded down to what the register tiles need."""

    tile_queries: tuple[int, ...]
    block_keys: tuple[int, ...]
    score_tiles: tuple[Tile, ...]
    value_tiles: tuple[Tile, ...]


# Below 64 queries a task packs too little for what it reads; above 256 there is little left to gain.
# Below 128 keys sums are loaded and stored too often; 1024 keys of 64 float32 are the whole second cache.
# Tiles: those that reach 97 % of the multiply-add peak by themselves, with all registers but a few.
# One vector across would load a number for every multiply-add, so there is none.
WIDE = Grid(
    tile_queries=(64, 128, 256),
    block_keys=(128, 256, 512, 1024),
    score_tiles=((8, 2), (4, 4)),
    value_tiles=((8, 2), (4, 4)),
)
GRIDS = {
    AVX512.name: WIDE,
    AVX512_BF16.name: WIDE,
    # 16 registers: 12 sums, 3 or 2 vectors, 1 number.
    AVX2.name: replace(WIDE, score_tiles=((4, 3), (6, 2)), value_tiles=((6, 2), (4, 3))),
    NEON.name: replace(WIDE, score_tiles=((6, 4), (8, 2)), value_tiles=((4, 4), (8, 2))),
}


def schedules(default: Schedule, work: Workload, target: Target) -> tuple[Schedule, ...]:
    """The default, then the legal schedules of the grid, each once; all have the default's products."""
    numbers = numbers_of(work.dtype, target, (work.dim,))
    found = (default, *combined(default, target.lanes, numbers.together, GRIDS[target.name]))
    fitted = dict.fromkeys(fit(schedule, work, numbers) for schedule in found)
    return tuple(schedule for schedule in fitted if not violations(schedule, target, work.dtype))


def combined(default: Schedule, lanes: int, together: int, grid: Grid) -> Iterator[Schedule]:
    sizes = product(grid.tile_queries, grid.block_keys, grid.score_tiles, grid.value_tiles)
    for tile_queries, block_keys, score_tile, value_tile in sizes:
        yield replace(
            default,
            tile_queries=whole(tile_queries, score_tile[1] * lanes),
            block_keys=whole(block_keys, score_tile[0] * together),
            key_rows=score_tile[0],
            query_vectors=score_tile[1],
            value_rows=value_tile[0],
            value_vectors=value_tile[1],
        )


def fit(schedule: Schedule, work: Workload, numbers: Numbers) -> Schedule:
    """The schedule with a value tile that is no wider than the values."""
    return replace(schedule, value_vectors=min(schedule.value_vectors, -(-work.value_dim // numbers.lanes)))


def whole(size: int, unit: int) -> int:
    """The greatest multiple of the unit that the size holds, and one unit at least."""
    return max(unit, size // unit * unit)
