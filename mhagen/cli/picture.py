"""A mask, drawn small in text: queries down, keys across, one sign for each square of positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backend.acceptance import Example
from ..expr.evaluate import Array, evaluate
from ..expr.tree import Constant, Expr, Literal, arrays, names, walk
from ..spec.model import Spec
from ..tuning.samples import sample_inputs

CELLS = 16  # down and across
SAMPLES = 8  # of the positions of a cell, down and across, its first and last among them
SHORTEST, LONGEST = 64, 4096
LENGTHS_OF_WINDOW = 4  # a window is a quarter of the picture, so that it is seen to move


@dataclass(frozen=True)
class Signs:
    """What a square is drawn with, by how much of it is seen."""

    whole: str
    part: str
    none: str


UNICODE = Signs(whole="██", part="▒▒", none="· ")
ASCII = Signs(whole="##", part="++", none=". ")


def mask_picture(spec: Spec, signs: Signs) -> str:
    """The mask of batch entry 0 and head 0, with a legend; empty where there is none.

    A square is looked at in some of its positions only, so a sign may miss what falls between them.
    """
    keep = spec.keep_expression
    if keep is None:
        return ""
    length = picture_length(keep)
    cells = seen(spec, keep, length)
    rows = ["  " + "".join(sign(cell, signs) for cell in row) for row in cells]
    return "\n".join((*rows, "", *legend(spec, keep, length, float(cells.mean()), signs)))


def picture_length(keep: Expr) -> int:
    """How many queries and keys show what the mask does: by the greatest whole number that it names."""
    numbers = (node.value for node in walk(keep) if isinstance(node, Literal | Constant))
    greatest = max((abs(number) for number in numbers if type(number) is int), default=0)
    length = SHORTEST
    while length < min(LENGTHS_OF_WINDOW * greatest, LONGEST):
        length *= 2
    return length


def seen(spec: Spec, keep: Expr, length: int) -> Array:
    """How much of each square is seen, 0 to 1."""
    positions = sampled_positions(length)
    inputs = sample_inputs(spec, Example(1, length, length, seed=0))
    first = np.zeros(1, np.int64)
    places = {"b": first, "h": first, "q": positions[:, np.newaxis], "k": positions}
    shape = (len(positions), len(positions))
    kept = np.broadcast_to(evaluate(keep, places, inputs), shape)
    return np.asarray(kept.reshape(CELLS, SAMPLES, CELLS, SAMPLES).mean(axis=(1, 3)))


def sampled_positions(length: int) -> Array:
    side = length // CELLS
    within = np.linspace(0, side - 1, SAMPLES).astype(np.int64)
    return (np.arange(0, length, side)[:, np.newaxis] + within).reshape(-1)


def sign(share: float, signs: Signs) -> str:
    if share == 1:
        return signs.whole
    return signs.none if share == 0 else signs.part


def legend(spec: Spec, keep: Expr, length: int, share: float, signs: Signs) -> tuple[str, ...]:
    size = f"{length} queries (down) and {length} keys (across); about {share:.0%} of the pairs are seen"
    meaning = f"{signs.whole} seen   {signs.part} in part   {signs.none} hidden"
    of = [f"head 0 of {spec.heads.query}"] if "h" in names(keep) else []
    of += [f"with {', '.join(used)} made up"] if (used := arrays(keep)) else []
    return (f"  {size}", f"  {meaning}{'   (' + ', '.join(of) + ')' if of else ''}")
