"""Which keys the queries of a call see: looked at in samples, in as much detail as a kernel skips them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..expr.evaluate import evaluate
from ..expr.tree import Expr, arrays, names

Array: TypeAlias = NDArray[Any]
Flags: TypeAlias = NDArray[np.bool_]

CELL = 8  # queries, and keys, of a cell: register tiles have about so many
WINDOW_CELLS = 32  # of queries, one below the other: 256, as the largest task has
WINDOWS = 4  # evenly spread over the queries: what masks show changes slowly from one to the next
HEADS = 4
MOST_KEY_CELLS = 1024
POSITIONS = 1 << 20  # that the share of visible pairs is counted in


@dataclass(frozen=True)
class Shape:
    """The lengths of a call."""

    batch: int
    queries: int
    keys: int
    query_offset: int = 0

    @property
    def pairs(self) -> int:
        """Queries and keys of one head of one batch entry."""
        return self.queries * self.keys


@dataclass(frozen=True, eq=False)  # arrays have no one equality, and results are kept by identity
class Squares:
    """The cells of some windows of neighbouring queries: is anything of them seen, and all of them?

    Shapes   (windows and heads, cells of queries, cells of keys)
    Units    keys: of a cell
    """

    seen: Flags
    whole: Flags
    keys: int


@dataclass(frozen=True)
class Shares:
    """How much of the dense work a tiled kernel has to do under a mask, each from 0 to 1.

    Units    full, partial: of the score tiles; passed: the hidden ones that are classified one by one;
             group_blocks, task_blocks: of the blocks of keys, for a group of queries and for a task;
             lines: of the rows of values that queries are multiplied with
    """

    full: float = 1.0
    partial: float = 0.0
    passed: float = 0.0
    group_blocks: float = 1.0
    task_blocks: float = 1.0
    lines: float = 1.0


@dataclass(frozen=True)
class Sight:
    """A call and what its mask shows. No squares: every query sees every key.

    Numbers  a cell is looked at in its corners: holes inside of one are missed
    """

    shape: Shape
    visible_share: float = 1.0
    squares: Squares | None = None

    def shares(self, group_queries: int, tile_queries: int, block_keys: int) -> Shares:
        """The work of a kernel whose groups, tasks and blocks have these sizes."""
        if self.squares is None:
            return Shares()
        block = max(1, block_keys // self.squares.keys)
        return shares_of(self.squares, cells(group_queries), cells(tile_queries), block)


def sight_of(keep: Expr | None, heads: int, shape: Shape, inputs: Mapping[str, Array]) -> Sight:
    """What a call sees under a mask; one that reads arrays which are not given may show anything anywhere."""
    if keep is None:
        return Sight(shape)
    if not inputs.keys() >= set(arrays(keep)):
        return Sight(shape, 1.0, unknown_squares(shape))
    mask = _Mask(keep, sampled_heads(keep, heads), shape, inputs)
    return Sight(shape, mask.visible_share(), mask.squares())


def unknown_squares(shape: Shape) -> Squares:
    """Every cell is seen in part."""
    side = cell_keys(shape.keys)
    seen = np.ones((1, cells(shape.queries), -(-shape.keys // side)), np.bool_)
    return Squares(seen, ~seen, side)


@dataclass(frozen=True)
class _Mask:
    keep: Expr
    heads: Array
    shape: Shape
    inputs: Mapping[str, Array]

    def at(self, queries: Array, keys: Array) -> Flags:
        """Is it seen?  Shapes: (heads, queries, keys)."""
        places = {
            "b": np.zeros((1, 1, 1), np.int64),
            "h": self.heads.reshape(-1, 1, 1),
            "q": (queries + self.shape.query_offset).reshape(-1, 1),
            "k": keys,
        }
        shape = (len(self.heads), len(queries), len(keys))
        return np.broadcast_to(evaluate(self.keep, places, self.inputs), shape)

    def visible_share(self) -> float:
        most = max(1, POSITIONS // (self.shape.keys * len(self.heads)))
        queries = spread(self.shape.queries, min(most, self.shape.queries))
        return float(self.at(queries, np.arange(self.shape.keys)).mean())

    def squares(self) -> Squares:
        side = cell_keys(self.shape.keys)
        keys = corners(np.arange(0, self.shape.keys, side), side, self.shape.keys)
        kept = [self.at(queries, keys) for queries in self.windows()]
        each = np.concatenate(kept).reshape(-1, len(kept[0][0]) // 2, 2, len(keys) // 2, 2)
        return Squares(np.asarray(each.any(axis=(2, 4))), np.asarray(each.all(axis=(2, 4))), side)

    def windows(self) -> Iterator[Array]:
        """The corners of the cells of each window, one below the other."""
        height = min(WINDOW_CELLS, -(-self.shape.queries // CELL)) * CELL
        in_all = -(-self.shape.queries // height)
        for window in spread(in_all, min(WINDOWS, in_all)):
            first = np.arange(window * height, (window + 1) * height, CELL)
            yield corners(np.minimum(first, self.shape.queries - 1), CELL, self.shape.queries)


@lru_cache(maxsize=64)
def shares_of(squares: Squares, group: int, task: int, block: int) -> Shares:
    """Sizes are counted in cells."""
    seen = joined(squares.seen, group, np.logical_or)
    whole = joined(squares.whole, group, np.logical_and)
    found = blocks(seen, block)
    in_block = np.repeat(found, block, axis=2)[:, :, : seen.shape[2]]
    return Shares(
        full=float(whole.mean()),
        partial=float((seen & ~whole).mean()),
        passed=float((in_block & ~seen).mean()),
        group_blocks=float(found.mean()),
        task_blocks=float(blocks(joined(squares.seen, task, np.logical_or), block).mean()),
        lines=spans(squares.seen, block),
    )


def joined(flags: Flags, count: int, join: np.ufunc) -> Flags:
    """Neighbouring cells of queries as one."""
    result: Flags = join.reduceat(flags, np.arange(0, flags.shape[1], count), axis=1)
    return result


def blocks(seen: Flags, count: int) -> Flags:
    """Is anything seen in so many neighbouring cells of keys?"""
    result: Flags = np.logical_or.reduceat(seen, np.arange(0, seen.shape[2], count), axis=2)
    return result


def spans(seen: Flags, block: int) -> float:
    """The share of cells from the first to the last that is seen in each block."""
    starts = np.arange(0, seen.shape[2], block)
    number = np.arange(seen.shape[2])
    last = np.maximum.reduceat(np.where(seen, number, -1), starts, axis=2)
    first = np.minimum.reduceat(np.where(seen, number, seen.shape[2]), starts, axis=2)
    return float(np.maximum(last - first + 1, 0).sum() / seen.size)


def sampled_heads(keep: Expr, heads: int) -> Array:
    return spread(heads, min(HEADS, heads) if "h" in names(keep) else 1)


def spread(length: int, count: int) -> Array:
    """So many of the numbers below `length`, each in the middle of an equal part."""
    return ((np.arange(count) + 0.5) * length / count).astype(np.int64)


def corners(first: Array, side: int, length: int) -> Array:
    """The first and the last position of each cell."""
    return np.stack((first, np.minimum(first + side, length) - 1), axis=1).reshape(-1)


def cells(queries: int) -> int:
    return max(1, round(queries / CELL))


def cell_keys(keys: int) -> int:
    side = CELL
    while keys > side * MOST_KEY_CELLS:
        side *= 2
    return side
