"""Which keys the queries of a call see, in as much detail as a kernel skips them.

A mask is looked at in samples by tuning/looking.py: this folder runs no expressions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Flags: TypeAlias = NDArray[np.bool_]

CELL = 8  # queries, and keys, of a cell: register tiles have about so many


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
             group_blocks: of the blocks of keys, for a group of queries;
             task_rows: of the keys and values, in the blocks of a task from the first it sees to the last,
             as if the mask told which these are: causal masks and windows do, documents do not;
             lines: of the rows of values that queries are multiplied with
    """

    full: float = 1.0
    partial: float = 0.0
    passed: float = 0.0
    group_blocks: float = 1.0
    task_rows: float = 1.0
    lines: float = 1.0


@dataclass(frozen=True)
class Sight:
    """A call and what its mask shows. No squares: every query sees every key.

    Numbers  a cell is looked at in its corners: holes inside of one are missed
    """

    shape: Shape
    visible_share: float = 1.0  # of the pairs
    seen_keys: float = 1.0  # the share of keys that some query sees
    squares: Squares | None = None

    def shares(self, group_queries: int, tile_queries: int, block_keys: int) -> Shares:
        """The work of a kernel whose groups, tasks and blocks have these sizes."""
        if self.squares is None:
            return Shares()
        block = max(1, block_keys // self.squares.keys)
        return shares_of(self.squares, cells(group_queries), cells(tile_queries), block)


@lru_cache(maxsize=64)
def shares_of(squares: Squares, group: int, task: int, block: int) -> Shares:
    """Sizes are counted in cells."""
    seen = joined(squares.seen, group, np.logical_or)
    whole = joined(squares.whole, group, np.logical_and)
    return Shares(
        full=float(whole.mean()),
        partial=float((seen & ~whole).mean()),
        passed=float((in_blocks(seen, block) & ~seen).mean()),
        group_blocks=float(blocks(seen, block).mean()),
        task_rows=float(gone_through(joined(squares.seen, task, np.logical_or), block).mean()),
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


def in_blocks(seen: Flags, count: int) -> Flags:
    """The cells of blocks of which anything is seen."""
    return np.repeat(blocks(seen, count), count, axis=2)[:, :, : seen.shape[2]]


def gone_through(seen: Flags, block: int) -> Flags:
    """Those from the first cell seen to the last, as if the mask told a kernel which these are."""
    behind = np.logical_or.accumulate(seen, axis=2)
    before = np.logical_or.accumulate(seen[:, :, ::-1], axis=2)[:, :, ::-1]
    through: Flags = in_blocks(seen, block) & behind & before
    return through


def spans(seen: Flags, block: int) -> float:
    """The share of cells from the first to the last that is seen in each block."""
    starts = np.arange(0, seen.shape[2], block)
    number = np.arange(seen.shape[2])
    last = np.maximum.reduceat(np.where(seen, number, -1), starts, axis=2)
    first = np.minimum.reduceat(np.where(seen, number, seen.shape[2]), starts, axis=2)
    return float(np.maximum(last - first + 1, 0).sum() / seen.size)


def cells(queries: int) -> int:
    return max(1, round(queries / CELL))
