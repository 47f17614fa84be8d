"""A mask beside what a kernel makes of it: the pairs that are seen, and the views of the tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backend.acceptance import Arrays, Example
from ..base.errors import InputError
from ..base.target import Target
from ..codegen.facts import Lowering
from ..expr.evaluate import evaluate
from ..expr.tree import arrays, names
from ..ir.fused_ops import UNCOMPUTED
from ..pipeline import SpecLike, compile_to_source
from ..schedule.plan import Schedule
from ..schedule.sight import Shape
from ..schedule.ways import decodes
from ..spec.model import Spec
from .coverage import require_head
from .samples import sample_inputs
from .visibility import Integers, View, views

Flags: TypeAlias = NDArray[np.bool_]
Shares: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = tuple[tuple[int, ...], ...]

MOST_PAIRS = 1 << 26  # all of them are looked at
MOST_SQUARES = 128  # of a picture, down and across
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Grid:
    """How a kernel cuts queries and keys; each step is a multiple of the next."""

    task_queries: int
    block_keys: int
    tile_queries: int
    tile_keys: int

    @property
    def tile(self) -> tuple[int, int]:
        return self.tile_queries, self.tile_keys


@dataclass(frozen=True, eq=False)
class Tiled:
    """The mask of a query head of batch entry 0, and its tiles.

    Shapes   views, seen, whole: (tiles down, tiles across); squares: the shares that are seen, of `side`
             queries and keys each
    Members  seen, whole: is any pair of the tile seen, and are all? made_up: the arrays that `keep` reads
    """

    spec: Spec
    head: int
    shape: Shape
    grid: Grid
    views: Integers
    seen: Flags
    whole: Flags
    squares: Shares
    side: int
    visible_share: float
    made_up: tuple[str, ...]

    @cached_property
    def needless(self) -> Flags:
        """Partial to the kernel, while all or nothing of the tile is seen."""
        result: Flags = (self.views == View.PARTIAL) & (self.whole | ~self.seen)
        return result

    @property
    def wrong(self) -> int:
        """How many tiles are hidden, or seen whole, to the kernel alone: 0, or it has a bug."""
        hides, shows = self.views == View.HIDDEN, self.views == View.FULL
        return int(((hides & self.seen) | (shows & ~self.whole)).sum())

    def share(self, view: View) -> float:
        return float((self.views == view).mean())

    @property
    def computed_share(self) -> float:
        return 1.0 - self.share(View.HIDDEN)

    @property
    def needless_share(self) -> float:
        return float(self.needless.mean())

    def shades(self, levels: int) -> Rows:
        """The squares as integers: 0 where nothing is seen, `levels` where all is."""
        return rows_of(np.ceil(self.squares * levels))

    def looks(self, most: int) -> tuple[Rows, tuple[int, int]]:
        """Tiles as integers: 2 for one that is partial without need, 1 for another partial one, else 0.

        At most `most` down and across: of neighbours drawn as one, the greatest. With their queries and keys.
        """
        looks = (self.views == View.PARTIAL).astype(np.int64) + self.needless
        down, across = (-(-length // most) for length in looks.shape)
        tile = self.grid.tile
        return rows_of(joined(np.maximum, looks, (down, across))), (tile[0] * down, tile[1] * across)

    @property
    def is_of_one_head(self) -> bool:
        """May other heads see other keys?"""
        keep = self.spec.visible_expression
        return keep is not None and "h" in names(keep)


def rows_of(fields: NDArray[Any]) -> Rows:
    return tuple(tuple(row) for row in fields.astype(np.int64).tolist())


def tiled(spec: SpecLike, shape: Shape, target: Target | None = None, head: int = 0) -> Tiled:
    """Look at every pair of a call, and at every tile as the kernel that a build of the spec makes does.

    Arrays of [inputs] are made up.

    Raises   InputError for a head that is not there, for so many pairs that nobody would wait, and for so
             few queries that tiles are not what computes them
    """
    if shape.pairs > MOST_PAIRS:
        raise InputError(
            f"{shape.queries} x {shape.keys} pairs are too many for a picture: at most {MOST_PAIRS}"
        )
    spec, program, source = compile_to_source(spec, target=target)
    require_head(spec, head)
    schedule = source.table.pick(shape, 1)
    if decodes(schedule, shape):
        raise InputError(
            f"{shape.queries} queries are decoded, with no tiles to draw: needs q of more than "
            f"{schedule.decode_queries}"
        )
    facts = Lowering(program, source.table, source.target)
    grid = grid_of(schedule, facts.lanes)
    inputs = sample_inputs(spec, Example(1, shape.queries, shape.keys, seed=0))
    side = side_of(shape)
    seen, whole, squares = looked_at(spec, head, shape, inputs, grid, side)
    keep = spec.keep_of(head)
    return Tiled(
        spec=spec,
        head=head,
        shape=shape,
        grid=grid,
        views=views_of(facts, head, shape, grid, inputs),
        seen=seen,
        whole=whole,
        squares=squares,
        side=side,
        visible_share=float(np.average(squares, weights=square_sizes(shape, side))),
        made_up=() if keep is None else arrays(keep),
    )


def grid_of(schedule: Schedule, lanes: int) -> Grid:
    return Grid(
        task_queries=schedule.tile_queries,
        block_keys=schedule.block_keys,
        tile_queries=schedule.query_vectors * lanes,
        tile_keys=schedule.key_rows,
    )


def side_of(shape: Shape) -> int:
    side = 1
    while max(shape.queries, shape.keys) > side * MOST_SQUARES:
        side *= 2
    return side


def square_sizes(shape: Shape, side: int) -> Integers:
    """The pairs of each square: less at the edges."""
    sizes: Integers = np.multiply.outer(*(lengths(length, side) for length in (shape.queries, shape.keys)))
    return sizes


def lengths(length: int, step: int) -> Integers:
    return np.diff(starts(length, step), append=length)


def starts(length: int, step: int) -> Integers:
    return np.arange(0, length, step)


def views_of(facts: Lowering, head: int, shape: Shape, grid: Grid, inputs: Arrays) -> Integers:
    """As in the kernel: a block that a task sees in part is looked at by groups, then tile by tile."""
    steps = (grid.task_queries, grid.block_keys), (grid.tile_queries, grid.block_keys), grid.tile
    tiles = starts(shape.queries, grid.tile_queries), starts(shape.keys, grid.tile_keys)
    found = np.full(tuple(map(len, tiles)), View.PARTIAL, np.int64)
    part = facts.work.of[head]
    if part == UNCOMPUTED:
        return np.full_like(found, View.HIDDEN)
    facts = facts.parts[part]
    if facts.view_code is None:
        return np.full_like(found, View.FULL)
    known = known_names(facts, head, shape)
    captured = {array.parameter: inputs[name] for name, array in facts.captured.items()}
    for step in steps:
        each = views(facts.view_code, {**known, **edges(shape, *step)}, captured)
        inside = np.ix_(*(first // size for first, size in zip(tiles, step, strict=True)))
        found = np.where(found == View.PARTIAL, each[inside], found)
    return found


def known_names(facts: Lowering, head: int, shape: Shape) -> Mapping[str, float]:
    """What the lines read beside the edges of a tile: the place, the lengths, the constants of the module."""
    heads = {"QUERY_HEADS": facts.work.query_heads, "KEY_VALUE_HEADS": facts.work.key_value_heads}
    constants = {facts.constant_names[name]: each.value for name, each in facts.spec_constants.items()}
    lengths = {"batch": 1, "queries": shape.queries, "keys": shape.keys}
    return {"b": 0, "h": head, **lengths, **heads, **constants}


def edges(shape: Shape, queries: int, keys: int) -> Mapping[str, Integers]:
    """The first and last positions of parts of so many queries and keys."""
    q, k = starts(shape.queries, queries)[:, np.newaxis], starts(shape.keys, keys)
    return {
        "q_low": shape.query_offset + q,
        "q_high": shape.query_offset + np.minimum(q + queries, shape.queries) - 1,
        "k_low": k,
        "k_high": np.minimum(k + keys, shape.keys) - 1,
    }


def looked_at(
    spec: Spec, head: int, shape: Shape, inputs: Arrays, grid: Grid, side: int
) -> tuple[Flags, Flags, Shares]:
    """Of each tile whether any pair is seen, and whether all are; of each square the share that is."""
    rows = max(grid.tile_queries, side, 1)
    rows *= max(1, ROWS_AT_ONCE // rows)
    seen, whole, squares = [], [], []
    for first in range(0, shape.queries, rows):
        kept = seen_pairs(spec, head, shape, inputs, np.arange(first, min(first + rows, shape.queries)))
        seen.append(joined(np.logical_or, kept, grid.tile))
        whole.append(joined(np.logical_and, kept, grid.tile))
        squares.append(joined(np.add, kept.astype(np.int64), (side, side)))
    shares = np.concatenate(squares) / square_sizes(shape, side)
    return np.concatenate(seen), np.concatenate(whole), shares


def joined(join: np.ufunc, pairs: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Neighbours as one, in parts of this size."""
    down: NDArray[Any] = join.reduceat(pairs, starts(len(pairs), size[0]), axis=0)
    across: NDArray[Any] = join.reduceat(down, starts(pairs.shape[1], size[1]), axis=1)
    return across


def seen_pairs(spec: Spec, head: int, shape: Shape, inputs: Arrays, queries: Integers) -> Flags:
    """What the mask means, pair by pair.  Shapes: (queries, keys)"""
    keep, keys = spec.keep_of(head), np.arange(shape.keys)
    if keep is None:
        return np.ones((len(queries), len(keys)), np.bool_)
    places: dict[str, ArrayLike] = {
        "b": 0,
        "h": head,
        "q": shape.query_offset + queries[:, np.newaxis],
        "k": keys,
    }
    return np.broadcast_to(evaluate(keep, places, inputs), (len(queries), len(keys)))
