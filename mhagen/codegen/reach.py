"""The keys that some queries can see at all: `keep` solved for k, so that loops begin and end there.

A comparison of integers that rise evenly with k is solved; conjunctions, disjunctions, min, max, abs and
floor divisions are taken apart until such comparisons are left. What has no k in it enters by its bounds over
the queries (tiles.py). What cannot be solved cuts nothing off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..expr.intervals import NAME_RANGES, Interval, Operands, bounds, bounds_of_result, leaves_int64
from ..expr.kinds import applied
from ..expr.logic import negation
from ..expr.simplify import simplify
from ..expr.tree import Apply, Constant, Expr, Kind, Literal, Operator, names, walk
from .levels import Captured, array_bounds
from .rises import at_key_zero, rise
from .tile_rules import UnboundedError
from .tiles import Bounder
from .words import grouped

EVERYTHING = ("0", "keys")
ONE = Literal(1)
# `left OPERATOR right` as `left <= right` or `right <= left`, and whether less by one.
ORDERS = {
    Operator.LESS: (False, True),
    Operator.LESS_EQUAL: (False, False),
    Operator.GREATER: (True, True),
    Operator.GREATER_EQUAL: (True, False),
}


@dataclass(frozen=True)
class Ends:
    """Texts of the first key and of the one behind the last; None where nothing is cut off."""

    first: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class ReachCode:
    """The body of `reached_keys`."""

    lines: tuple[str, ...]
    first: str
    end: str
    names: frozenset[str]  # of b, h, captured arrays and length symbols, but for keys


@dataclass
class Solver:
    """Solves conditions for k; what they depend on is bounded by the lines of a Bounder."""

    bounder: Bounder
    limits: Mapping[str, Interval] = field(default_factory=dict)

    def ends(self, keep: Expr) -> Ends:
        match keep:
            case Apply(operator=Operator.AND, arguments=parts):
                return within_all([self.ends(part) for part in parts])
            case Apply(operator=Operator.OR, arguments=parts):
                return within_any([self.ends(part) for part in parts])
            case Apply(operator=Operator.NOT, arguments=(condition,)):
                return self.ends_of_opposite(condition)
            case Apply(operator=Operator.WHERE, arguments=(condition, one, other)):
                ways = (condition, one), (negation(condition), other)
                return within_any([within_all([self.ends(part) for part in way]) for way in ways])
            case Apply() if "k" in names(keep):
                return self.ends_of_comparison(keep)
            case Literal() | Constant():
                return Ends()
            case _:
                return self.ends_of_switch(keep) if "k" not in names(keep) else Ends()

    def ends_of_opposite(self, condition: Expr) -> Ends:
        match condition:
            case Apply(operator=Operator.AND | Operator.OR as operator, arguments=parts):
                opposite = Operator.OR if operator is Operator.AND else Operator.AND
                return self.ends(applied(opposite, *(negation(part) for part in parts)))
            case _:
                return Ends()

    def ends_of_switch(self, condition: Expr) -> Ends:
        """A condition without k: where it cannot hold, no key is seen."""
        _, possible = self.bounder.bound(condition)
        if possible == "1":
            return Ends()
        return Ends(f"0 if {possible} == 1 else keys", f"keys if {possible} == 1 else 0")

    def ends_of_comparison(self, keep: Apply) -> Ends:
        left, right = keep.arguments[0], keep.arguments[-1]
        if len(keep.arguments) != 2 or left.kind is not Kind.INTEGER or right.kind is not Kind.INTEGER:
            return Ends()
        if keep.operator is Operator.EQUAL:
            return within_all([self.at_most(left, right), self.at_most(right, left)])
        if keep.operator not in ORDERS:
            return Ends()
        is_swapped, is_strict = ORDERS[keep.operator]
        small, great = (right, left) if is_swapped else (left, right)
        if is_strict and "k" in names(small):
            great = applied(Operator.SUBTRACT, great, ONE)
        elif is_strict:
            small = applied(Operator.ADD, small, ONE)
        return self.at_most(small, great)

    def at_most(self, small: Expr, great: Expr) -> Ends:
        """Where small <= great."""
        match small:
            case Apply(operator=Operator.MAX, arguments=parts):
                return within_all([self.at_most(part, great) for part in parts])
            case Apply(operator=Operator.MIN, arguments=parts):
                return within_any([self.at_most(part, great) for part in parts])
            case Apply(operator=Operator.ABS, arguments=(part,)):
                return within_all([self.at_most(part, great), self.at_most(opposite(part), great)])
            case Apply(operator=Operator.FLOOR_DIVIDE, arguments=(part, divisor)) if is_scale(part, divisor):
                # x // n <= y  is  x <= n * y + (n - 1)
                last = applied(Operator.SUBTRACT, divisor, ONE)
                whole = applied(Operator.MULTIPLY, divisor, great)
                return self.at_most(part, applied(Operator.ADD, whole, last))
        return self.at_least(great, small)

    def at_least(self, great: Expr, small: Expr) -> Ends:
        match great:
            case Apply(operator=Operator.MIN, arguments=parts):
                return within_all([self.at_most(small, part) for part in parts])
            case Apply(operator=Operator.MAX, arguments=parts):
                return within_any([self.at_most(small, part) for part in parts])
            case Apply(operator=Operator.ABS, arguments=(part,)):
                return within_any([self.at_most(small, part), self.at_most(small, opposite(part))])
            case Apply(operator=Operator.FLOOR_DIVIDE, arguments=(part, divisor)) if is_scale(part, divisor):
                return self.at_most(applied(Operator.MULTIPLY, divisor, small), part)  # x // n >= y
        return self.solved(small, great)

    def solved(self, small: Expr, great: Expr) -> Ends:
        """Where small <= great, both rising evenly with k."""
        rises, falls = rise(small), rise(great)
        if rises is None or falls is None or rises == falls or self.wraps(small) or self.wraps(great):
            return Ends()
        steps, start, limit = rises - falls, at_key_zero(small), at_key_zero(great)
        parts = (limit, start) if steps > 0 else (start, limit)
        room = simplify(applied(Operator.SUBTRACT, *parts))
        if self.wraps(room):
            return Ends()
        try:
            low, high = self.bounder.bound(room)
        except UnboundedError:
            return Ends()
        if steps > 0:  # steps * k <= room
            return Ends(end=f"{quotient(high, steps)} + 1")
        return Ends(first=low if steps == -1 else f"-({quotient(opposite_text(low), -steps)})")

    def wraps(self, expr: Expr) -> bool:
        """Can an integer of it leave 64 bits?"""
        integers = (part for part in walk(expr) if isinstance(part, Apply) and part.kind is Kind.INTEGER)
        return any(leaves_int64(bounds_of_result(part, self.ranges(part))) for part in integers)

    def ranges(self, expr: Apply) -> Operands:
        return tuple(bounds(each, NAME_RANGES, self.limits) for each in expr.arguments)


def opposite(part: Expr) -> Expr:
    match part:
        case Apply(operator=Operator.SUBTRACT, arguments=(left, right)):
            return applied(Operator.SUBTRACT, right, left)
        case _:
            return applied(Operator.NEGATE, part)


def is_scale(part: Expr, divisor: Expr) -> bool:
    """Is it a division of something with k by a positive number?"""
    return "k" in names(part) and isinstance(divisor, Literal | Constant) and divisor.value > 0


def quotient(text: str, divisor: int) -> str:
    return text if divisor == 1 else f"{grouped(text)} // {divisor}"


def opposite_text(text: str) -> str:
    return text[1:] if text.startswith("-") else f"-{grouped(text)}"


def within_all(parts: list[Ends]) -> Ends:
    firsts = [part.first for part in parts if part.first is not None]
    ends = [part.end for part in parts if part.end is not None]
    return Ends(joined("max", firsts) if firsts else None, joined("min", ends) if ends else None)


def within_any(parts: list[Ends]) -> Ends:
    firsts = [part.first for part in parts if part.first is not None]
    ends = [part.end for part in parts if part.end is not None]
    return Ends(
        joined("min", firsts) if len(firsts) == len(parts) else None,
        joined("max", ends) if len(ends) == len(parts) else None,
    )


def joined(name: str, texts: list[str]) -> str:
    different = tuple(dict.fromkeys(texts))
    return f"{name}({', '.join(different)})" if len(different) > 1 else different[0]


def emit_reach(keep: Expr, arrays: Mapping[str, Captured], constants: Mapping[str, str]) -> ReachCode | None:
    """The lines that bound the keys that any of some queries sees; None if the mask gives no bounds."""
    bounder = Bounder(arrays, constants)
    found = Solver(bounder, {name: array_bounds(array) for name, array in arrays.items()}).ends(keep)
    if found == Ends():
        return None
    first = "0" if found.first is None else joined("max", ["0", found.first])
    end = "keys" if found.end is None else joined("min", ["keys", found.end])
    lines = needed(bounder.lines, f"{first} {end}")
    used = words(" ".join(lines))
    read = {name for name in bounder.names if {name, f"{name}_array"} & (used | words(f"{first} {end}"))}
    return ReachCode(lines, first, end, frozenset(read - {"keys"}))


def needed(lines: list[str], result: str) -> tuple[str, ...]:
    """The lines whose names the result, or a line that is needed, reads."""
    wanted, kept = words(result), []
    for line in reversed(lines):
        targets, _, text = line.partition(" = ")
        if words(targets) & wanted:
            wanted |= words(text)
            kept.append(line)
    return tuple(reversed(kept))


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
