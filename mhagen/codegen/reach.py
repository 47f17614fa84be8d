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
from ..expr.ranges import range_of
from ..expr.rises import STEEPEST, at_key_zero, rise
from ..expr.simplify import simplify
from ..expr.tree import Apply, Constant, Expr, Kind, Literal, Operator, names, walk
from .levels import Captured
from .tile_rules import UnboundedError
from .tiles import Bounder
from .words import grouped, is_single

# Whether `left OPERATOR right` is `right < left`, or less or equal, and whether equal ones are out.
ORDERS = {
    Operator.LESS: (False, True),
    Operator.LESS_EQUAL: (False, False),
    Operator.GREATER: (True, True),
    Operator.GREATER_EQUAL: (True, False),
}
PLUS, MINUS, TIMES = Operator.ADD, Operator.SUBTRACT, Operator.MULTIPLY


@dataclass(frozen=True)
class Ends:
    """Texts of the first key and of the one behind the last; empty where nothing is cut off."""

    first: str = ""
    end: str = ""


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
            return within_all([self.below(left, right), self.below(right, left)])
        if keep.operator not in ORDERS:
            return Ends()
        is_swapped, is_strict = ORDERS[keep.operator]
        return self.below(right, left, is_strict) if is_swapped else self.below(left, right, is_strict)

    def below(self, small: Expr, great: Expr, strict: bool = False) -> Ends:
        """Where small <= great, or small < great: what stands around k in small is taken off."""
        if rise(small) is not None:
            return self.above(great, small, strict)
        match small:
            case Apply(operator=Operator.MAX, arguments=parts):
                return within_all([self.below(part, great, strict) for part in parts])
            case Apply(operator=Operator.MIN, arguments=parts):
                return within_any([self.below(part, great, strict) for part in parts])
            case Apply(operator=Operator.ABS, arguments=(part,)):
                return within_all([self.below(each, great, strict) for each in (part, opposite(part))])
            case Apply(operator=Operator.FLOOR_DIVIDE, arguments=(part, divisor)) if is_scale(divisor):
                whole = applied(TIMES, divisor, great)  # x // n <= y  is  x < n * y + n
                return self.below(part, whole if strict else applied(PLUS, whole, divisor), True)
            case Apply(operator=Operator.SUBTRACT, arguments=(part, other)) if has_no_key(other):
                return self.below(part, applied(PLUS, great, other), strict)
            case Apply(operator=Operator.SUBTRACT, arguments=(other, part)) if has_no_key(other):
                return self.above(part, applied(MINUS, other, great), strict)
            case Apply(operator=Operator.ADD, arguments=(one, two)) if has_no_key(one) or has_no_key(two):
                part, other = (one, two) if has_no_key(two) else (two, one)
                return self.below(part, applied(MINUS, great, other), strict)
        return Ends()

    def above(self, great: Expr, small: Expr, strict: bool = False) -> Ends:
        """Where great >= small, or great > small: what stands around k in great is taken off."""
        if rise(great) is not None:
            return self.solved(small, great, strict)
        match great:
            case Apply(operator=Operator.MIN, arguments=parts):
                return within_all([self.above(part, small, strict) for part in parts])
            case Apply(operator=Operator.MAX, arguments=parts):
                return within_any([self.above(part, small, strict) for part in parts])
            case Apply(operator=Operator.ABS, arguments=(part,)):
                return within_any([self.above(each, small, strict) for each in (part, opposite(part))])
            case Apply(operator=Operator.FLOOR_DIVIDE, arguments=(part, divisor)) if is_scale(divisor):
                whole = applied(TIMES, divisor, small)  # x // n > y  is  x >= n * y + n
                return self.above(part, applied(PLUS, whole, divisor) if strict else whole)
            case Apply(operator=Operator.SUBTRACT, arguments=(part, other)) if has_no_key(other):
                return self.above(part, applied(PLUS, small, other), strict)
            case Apply(operator=Operator.SUBTRACT, arguments=(other, part)) if has_no_key(other):
                return self.below(part, applied(MINUS, other, small), strict)
            case Apply(operator=Operator.ADD, arguments=(one, two)) if has_no_key(one) or has_no_key(two):
                part, other = (one, two) if has_no_key(two) else (two, one)
                return self.above(part, applied(MINUS, small, other), strict)
        return Ends()

    def solved(self, small: Expr, great: Expr, strict: bool) -> Ends:
        """Where small <= great, or small < great, both rising evenly with k."""
        rises, falls = rise(small), rise(great)
        if rises is None or falls is None or rises == falls or self.wraps(small) or self.wraps(great):
            return Ends()
        steps, start, limit = rises - falls, at_key_zero(small), at_key_zero(great)
        room = difference(limit, start) if steps > 0 else difference(start, limit)
        is_exact = (steps == 1 and strict) or (steps == -1 and not strict)
        if self.wraps(room if is_exact else applied(PLUS, room, Literal(STEEPEST))):
            return Ends()
        try:
            low, high = self.bounder.bound(room)
        except UnboundedError:
            return Ends()
        if steps > 0:  # steps * k <= room
            return Ends(end=quotient_up(high, steps) if strict else f"{quotient(high, steps)} + 1")
        return Ends(first=f"{quotient(low, -steps)} + 1" if strict else quotient_up(low, -steps))

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


def difference(left: Expr, right: Expr) -> Expr:
    match right:
        case Apply(operator=Operator.SUBTRACT, arguments=(Literal(value=0), part)):
            return simplify(applied(PLUS, left, part))
        case _:
            return simplify(applied(MINUS, left, right))


def has_no_key(expr: Expr) -> bool:
    return "k" not in names(expr)


def is_scale(divisor: Expr) -> bool:
    """Is it a positive number that is known before?"""
    return isinstance(divisor, Literal | Constant) and divisor.value > 0


def quotient(text: str, divisor: int) -> str:
    return text if divisor == 1 else f"{grouped(text)} // {divisor}"


def quotient_up(text: str, divisor: int) -> str:
    return text if divisor == 1 else f"({text} + {divisor - 1}) // {divisor}"


def within_all(parts: list[Ends]) -> Ends:
    firsts = [part.first for part in parts if part.first]
    ends = [part.end for part in parts if part.end]
    return Ends(joined("max", firsts) if firsts else "", joined("min", ends) if ends else "")


def within_any(parts: list[Ends]) -> Ends:
    firsts = [part.first for part in parts if part.first]
    ends = [part.end for part in parts if part.end]
    return Ends(
        joined("min", firsts) if len(firsts) == len(parts) else "",
        joined("max", ends) if len(ends) == len(parts) else "",
    )


def joined(name: str, texts: list[str]) -> str:
    flat = (text[len(name) + 1 : -1] if is_call(name, text) else text for text in texts)
    different = tuple(dict.fromkeys(flat))
    return f"{name}({', '.join(different)})" if len(different) > 1 else different[0]


def is_call(name: str, text: str) -> bool:
    return text.startswith(f"{name}(") and is_single(text)


def emit_reach(keep: Expr, arrays: Mapping[str, Captured], constants: Mapping[str, str]) -> ReachCode | None:
    """The lines that bound the keys that any of some queries sees; None if the mask gives no bounds."""
    bounder = Bounder(arrays, constants)
    found = Solver(bounder, {name: range_of(array.dtype) for name, array in arrays.items()}).ends(keep)
    if found == Ends():
        return None
    first = joined("max", ["0", found.first]) if found.first else "0"
    end = joined("min", ["keys", found.end]) if found.end else "keys"
    lines = needed(bounder.lines, f"{first} {end}")
    used = words(" ".join(lines))
    read = {name for name in bounder.names if {name, f"{name}_array"} & (used | words(f"{first} {end}"))}
    return ReachCode(lines, first, end, frozenset(read - {"keys"}))


def needed(lines: list[str], result: str) -> tuple[str, ...]:
    """The lines whose names the result, or a line that is needed, reads."""
    wanted, kept = words(result), []
    for line in reversed(lines):
        targets, _, text = line.partition(" = ")
        used = [target if target in wanted else "_" for target in targets.split(", ")]
        if set(used) != {"_"}:
            wanted |= words(text)
            kept.append(f"{', '.join(used)} = {text}")
    return tuple(reversed(kept))


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
