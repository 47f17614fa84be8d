"""The interval: what is known of a number before it is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Interval:
    """The numbers from low to high, both included, and perhaps NaN. Integers have integer ends.

    A condition is one of `NEVER`, `ALWAYS` and `UNKNOWN`.
    """

    low: int | float
    high: int | float
    nan: bool = False

    def __contains__(self, number: int | float) -> bool:
        return self.low <= number <= self.high

    @property
    def is_single(self) -> bool:
        return self.low == self.high

    @property
    def is_unbounded(self) -> bool:
        return math.isinf(self.low) or math.isinf(self.high)


Operands: TypeAlias = tuple[Interval, ...]

NEVER, ALWAYS, UNKNOWN = Interval(0, 0), Interval(1, 1), Interval(0, 1)
INT32 = Interval(-(2**31), 2**31 - 1)
INT64 = Interval(-(2**63), 2**63 - 1)
ANY_REAL = Interval(-math.inf, math.inf, nan=True)

MOST_HEADS = 1024
# Every call is checked for lengths and offsets below 2**29, and an offset can be negative. So positions stay
# below 2**30, and the square of a difference of two is an int64.
_POSITIONS = 2**30 - 1
NAME_RANGES: Mapping[str, Interval] = {
    "score": ANY_REAL,
    "b": Interval(0, _POSITIONS),
    "h": Interval(0, MOST_HEADS - 1),
    "q": Interval(-_POSITIONS, _POSITIONS),
    "k": Interval(0, _POSITIONS),
}


def hull(ends: Iterable[int | float], nan: bool = False) -> Interval:
    """The smallest interval that holds these numbers; of NaN ends alone nothing is known."""
    known = [end for end in ends if not math.isnan(end)]
    return Interval(min(known), max(known), nan) if known else Interval(-math.inf, math.inf, nan)


def hull_of(operands: Iterable[Interval]) -> Interval:
    parts = tuple(operands)
    return Interval(
        min(part.low for part in parts), max(part.high for part in parts), any(part.nan for part in parts)
    )


def least(operands: Operands) -> Interval:
    # NaN wins, as in numpy.minimum.
    return Interval(
        min(part.low for part in operands),
        min(part.high for part in operands),
        any(part.nan for part in operands),
    )


def greatest(operands: Operands) -> Interval:
    return negative(least(tuple(negative(part) for part in operands)))


def negative(a: Interval) -> Interval:
    return Interval(-a.high, -a.low, a.nan)


def absolute(a: Interval) -> Interval:
    if a.low >= 0:
        return a
    return negative(a) if a.high <= 0 else Interval(0, max(-a.low, a.high), a.nan)


def chosen(condition: Interval, if_true: Interval, if_false: Interval) -> Interval:
    if condition == ALWAYS:
        return if_true
    return if_false if condition == NEVER else hull_of((if_true, if_false))
