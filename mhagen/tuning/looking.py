"""Looks at the mask of a call in samples: what the cost model needs to know of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..expr.evaluate import evaluate
from ..expr.tree import Expr, names
from ..schedule.sight import CELL, Flags, Shape, Sight, Squares

Array: TypeAlias = NDArray[Any]

WINDOW_CELLS = 32  # of queries, one below the other: 256, as the largest task has
WINDOWS = 4  # evenly spread over the queries: what masks show changes slowly from one to the next
HEADS = 32  # heads may differ one by one; what does not depend on them is computed once for all
MOST_KEY_CELLS = 1024
POSITIONS = 1 << 22  # that the share of visible pairs is counted in


def sight_of(keep: Expr | None, heads: int, shape: Shape, inputs: Mapping[str, Array]) -> Sight:
    """What a call sees under a mask that reads these arrays, in its first batch entry."""
    if keep is None:
        return Sight(shape)
    mask = _Mask(keep, sampled_heads(keep, heads), shape, inputs)
    return Sight(shape, *mask.shares(), mask.squares())


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

    def shares(self) -> tuple[float, float]:
        """Of the pairs that are seen, and of the keys that some query sees."""
        most = max(1, POSITIONS // (self.shape.keys * len(self.heads)))
        queries = spread(self.shape.queries, min(most, self.shape.queries))
        kept = self.at(queries, np.arange(self.shape.keys))
        return float(kept.mean()), float(kept.any(axis=1).mean())

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


def sampled_heads(keep: Expr, heads: int) -> Array:
    return spread(heads, min(HEADS, heads) if "h" in names(keep) else 1)


def spread(length: int, count: int) -> Array:
    """So many of the numbers below `length`, each in the middle of an equal part."""
    return ((np.arange(count) + 0.5) * length / count).astype(np.int64)


def corners(first: Array, side: int, length: int) -> Array:
    """The first and the last position of each cell."""
    return np.stack((first, np.minimum(first + side, length) - 1), axis=1).reshape(-1)


def cell_keys(keys: int) -> int:
    side = CELL
    while keys > side * MOST_KEY_CELLS:
        side *= 2
    return side
