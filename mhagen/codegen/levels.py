"""How often each part of an expression has to be computed in a tile, and how wide its integers are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from ..base.dtypes import DType
from ..expr.intervals import ANY_REAL, INT32, Interval, bounds
from ..expr.ranges import range_of
from ..expr.tree import Expr, Kind, Name, walk

POSITION = Interval(-(2**30) + 1, 2**30 - 1)  # checked at the call: lengths and offsets stay below 2**29


class Level(IntEnum):
    """How often a part of an expression is computed; a value of a higher level may read all lower ones."""

    TILE = 0
    ROW = 1  # knows the axis that is not in lanes
    COLUMN = 2  # knows the axis in lanes: a vector
    CELL = 3  # knows both, or the score: a vector


class Lanes(Enum):
    """The axis that lies in lanes."""

    QUERIES = "q"
    KEYS = "k"


@dataclass(frozen=True)
class Captured:
    """A run-time array that expressions index: its element type and axes (symbols or ints)."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]

    @property
    def parameter(self) -> str:
        """The name of its address inside the kernel."""
        return f"{self.name}_array"


def level_of(expr: Expr, lanes: Lanes) -> Level:
    """The level at which an expression is known."""
    used = {node.name for node in walk(expr) if isinstance(node, Name)}
    if "score" in used or {"q", "k"} <= used:
        return Level.CELL
    if lanes.value in used:
        return Level.COLUMN
    return Level.ROW if used & {"q", "k"} else Level.TILE


def needs_wide_lanes(expr: Expr, arrays: Mapping[str, Captured], heads: int) -> bool:
    """Can an integer of the expression leave 32 bits? Then its lanes hold 64."""
    names = {"q": POSITION, "k": POSITION, "b": POSITION, "h": Interval(0, heads - 1), "score": ANY_REAL}
    limits = {name: range_of(array.dtype) for name, array in arrays.items()}
    for node in walk(expr):
        if node.kind is Kind.INTEGER:
            found = bounds(node, names, limits)
            if found.low < INT32.low or found.high > INT32.high:
                return True
    return False
