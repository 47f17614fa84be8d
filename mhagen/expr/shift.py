"""Scores without what the keys of a row have in common, which is added to their maximum alone.

    score + slope[h] * (k - q)   ->   score + slope[h] * ahead, and once per row slope[h] * (k_first - q)

Weights depend on differences of scores, and the maximum of a sum with a number is the number and the maximum.
So a cell adds what rises from the first key of its thread on, which all rows may share, and nothing is
converted there from integers.

Numbers   differences of positions are still exact; a score is the sum of two rounded numbers, of which the
          first is no farther from it than what rises over a block of keys
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

from .kinds import applied
from .rises import rise
from .tree import Apply, Expr, Kind, Literal, Name, Operator, names

ONE = Literal(1)
ROWS_APART = (Operator.ADD, Operator.SUBTRACT, Operator.NEGATE)


@dataclass(frozen=True)
class Split:
    """The parts of scores, whose sum they are.

    Members  cell: for each cell. rise: `k` is how far a key lies behind the first one of a thread. shift: for
             each row, `k` is that first key. None where nothing of the kind is there
    """

    cell: Expr | None
    rise: Expr | None
    shift: Expr | None

    @property
    def expressions(self) -> tuple[Expr, ...]:
        """All parts."""
        return tuple(part for part in (self.cell, self.rise, self.shift) if part is not None)


def split(modify: Expr) -> Split:
    """The parts of changed scores."""
    cells: list[Expr] = []
    rises: list[Expr] = []
    shifts: list[Expr] = []
    for term in terms(modify):
        rate = rate_of(term)
        if is_even(term) or rate is not None:
            shifts.append(term)
        else:
            cells.append(term)
        if rate is not None:
            rises.append(product(rate, Name("k")))
    return Split(total(cells), total(rises), total(shifts))


def terms(expr: Expr, negative: bool = False) -> Iterator[Expr]:
    """What is added up, with its sign."""
    if isinstance(expr, Apply) and expr.operator in ROWS_APART and expr.kind is Kind.REAL:
        *first, last = expr.arguments
        for part in first:
            yield from terms(part, negative)
        yield from terms(last, negative ^ (expr.operator is not Operator.ADD))
    else:
        yield applied(Operator.NEGATE, expr) if negative else expr


def is_even(expr: Expr) -> bool:
    """Is it the same for all keys of a row?"""
    return not {"score", "k"} & set(names(expr))


def rate_of(expr: Expr) -> Expr | None:
    """By how much it rises from key to key; None where it does not, or by something else each time."""
    if is_even(expr) or not isinstance(expr, Apply | Name) or "score" in names(expr):
        return None
    if expr.kind is Kind.INTEGER:
        found = rise(expr)
        return Literal(found) if found else None
    assert isinstance(expr, Apply)
    match expr.operator, expr.arguments:
        case Operator.NEGATE, (inner,):
            rate = rate_of(inner)
            return None if rate is None else applied(Operator.NEGATE, rate)
        case Operator.MULTIPLY, (left, right):
            factor, other = (left, right) if is_even(left) else (right, left)
            rate = rate_of(other) if is_even(factor) else None
            return None if rate is None else product(factor, rate)
        case Operator.DIVIDE, (left, right):
            rate = rate_of(left) if is_even(right) else None
            return None if rate is None else applied(Operator.DIVIDE, rate, right)
        case ((Operator.ADD | Operator.SUBTRACT), _):
            rates = [rate_of(term) for term in terms(expr) if not is_even(term)]
            known = [rate for rate in rates if rate is not None]
            return total(known) if len(known) == len(rates) else None
    return None


def product(factor: Expr, other: Expr) -> Expr:
    """Of two numbers, of which one may be 1."""
    if ONE in (factor, other):
        return other if factor == ONE else factor
    return applied(Operator.MULTIPLY, factor, other)


def total(parts: Iterable[Expr]) -> Expr | None:
    """The sum of all parts; None where there are none."""
    found = tuple(parts)
    return reduce(lambda left, right: applied(Operator.ADD, left, right), found) if found else None
