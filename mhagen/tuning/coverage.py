"""How much of a mask is seen, square by square: what pictures of masks are drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backend.acceptance import Example
from ..base.errors import InputError
from ..expr.evaluate import evaluate
from ..expr.tree import COMPARISONS, Apply, Constant, Expr, Literal, Name, children
from ..spec.model import Spec
from .samples import sample_inputs

CELLS = 16  # down and across
SAMPLES = 8  # of the positions of a cell, down and across, its first and last among them
SHORTEST, LONGEST = 64, 4096
LENGTHS_OF_WINDOW = 4  # a window is a quarter of the picture, so that it is seen to move


@dataclass(frozen=True)
class Coverage:
    """The shares, 0 to 1, that are seen of the squares of a mask, queries down and keys across."""

    length: int
    squares: tuple[tuple[float, ...], ...]

    @property
    def share(self) -> float:
        return float(np.mean(self.squares))


def require_head(spec: Spec, head: int) -> None:
    """Raises InputError for a query head that is not there."""
    if not 0 <= head < spec.heads.query:
        raise InputError(f"head is {head} and needs a query head, 0 to {spec.heads.query - 1}")


def coverage(spec: Spec, keep: Expr, head: int = 0) -> Coverage:
    """The mask of batch entry 0 and a query head, in as many queries and keys as show what it does.

    Numbers  a square is looked at in some of its positions only: what falls between them is missed
    """
    length = telling_length(keep)
    positions = sampled_positions(length)
    inputs = sample_inputs(spec, Example(1, length, length, seed=0))
    places = {"b": np.array([0]), "h": np.array([head]), "q": positions[:, np.newaxis], "k": positions}
    kept = np.broadcast_to(evaluate(keep, places, inputs), (len(positions), len(positions)))
    squares = kept.reshape(CELLS, SAMPLES, CELLS, SAMPLES).mean(axis=(1, 3))
    return Coverage(length, tuple(tuple(row) for row in squares.tolist()))


def telling_length(keep: Expr) -> int:
    """How many queries and keys there must be, by the greatest whole number that the mask names."""
    greatest = max(map(abs, lengths_named(keep)), default=0)
    length = SHORTEST
    while length < min(LENGTHS_OF_WINDOW * greatest, LONGEST):
        length *= 2
    return length


def lengths_named(expr: Expr) -> Iterator[int]:
    """The whole numbers, but for those that the number of a head is compared with."""
    match expr:
        case Literal(value) | Constant(value=value):
            yield from (number for number in (value,) if type(number) is int)
        case Apply(operator, arguments) if operator in COMPARISONS and Name("h") in arguments:
            return
        case _:
            for part in children(expr):
                yield from lengths_named(part)


def sampled_positions(length: int) -> NDArray[np.int64]:
    side = length // CELLS
    within = np.linspace(0, side - 1, SAMPLES).astype(np.int64)
    return (np.arange(0, length, side)[:, np.newaxis] + within).reshape(-1)
