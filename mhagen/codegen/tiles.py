"""Visibility of a whole tile by intervals: `keep` over q_low..q_high and k_low..k_high in a few operations.

Every part becomes two numbers, the least and the greatest value it can have in the tile; a condition is 0 or
1. The sum of the two for `keep` itself is the class: 0 hidden, 1 partial, 2 full. What cannot be bounded
cheaply (real numbers, indices that vary along three axes) is unknown, which only makes a tile partial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..base.dtypes import DType
from ..expr.tree import Apply, Constant, Element, Expr, Kind, Literal, Name, Operator
from .cells import LENGTHS, stays_inside
from .levels import Captured

UNKNOWN = ("0", "1")
EXTENTS = {DType.INT32: "extent_int32", DType.INT64: "extent_int64", DType.BOOL: "extent_bool"}
EXTENT_LOADS = {DType.INT32: "load_int32", DType.INT64: "load_int64", DType.BOOL: "load_byte"}


@dataclass(frozen=True)
class TileCode:
    """The body of `visibility`."""

    lines: tuple[str, ...]
    result: str
    names: frozenset[str]  # of b, h, captured arrays and length symbols
    extents: frozenset[DType]


class UnboundedError(Exception):
    """This part has no cheap bounds; the condition around it is unknown."""


@dataclass
class Bounder:
    """Writes the lines; `bound` gives the two texts of a part."""

    arrays: Mapping[str, Captured]
    constants: Mapping[str, str]
    lines: list[str] = field(default_factory=list)
    named: dict[Expr, tuple[str, str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    extents: set[DType] = field(default_factory=set)
    count: int = 0

    def bound(self, expr: Expr) -> tuple[str, str]:
        """Texts of the least and the greatest value; names or literals only."""
        match expr:
            case Literal():
                return (repr(int(expr.value)),) * 2 if expr.kind is not Kind.REAL else self.unbounded()
            case Constant():
                return (self.constants[expr.name],) * 2 if expr.kind is not Kind.REAL else self.unbounded()
            case Name(name="q" | "k"):
                return f"{expr.name}_low", f"{expr.name}_high"
            case Name():
                self.names.add(expr.name)
                return expr.name, expr.name
        if expr not in self.named:
            self.named[expr] = self.part(expr)
        return self.named[expr]

    def unbounded(self) -> tuple[str, str]:
        raise UnboundedError

    def part(self, expr: Element | Apply) -> tuple[str, str]:
        kept = len(self.lines), dict(self.named), set(self.names), set(self.extents)
        try:
            if expr.kind is Kind.REAL:
                raise UnboundedError
            low, high = self.element(expr) if isinstance(expr, Element) else self.apply(expr)
        except UnboundedError:
            if expr.kind is not Kind.CONDITION:
                raise
            del self.lines[kept[0] :]
            _, self.named, self.names, self.extents = kept
            return UNKNOWN
        return self.name(low, high)

    def name(self, low: str, high: str) -> tuple[str, str]:
        self.count += 1
        names = f"low{self.count}", f"high{self.count}"
        self.lines += [f"{names[0]} = {low}", f"{names[1]} = {high}"]
        return names

    def apply(self, expr: Apply) -> tuple[str, str]:
        pairs = [self.bound(argument) for argument in expr.arguments]
        rule = RULES.get(expr.operator)
        if rule is None:
            raise UnboundedError
        return rule(*pairs)

    def element(self, expr: Element) -> tuple[str, str]:
        array = self.arrays[expr.array]
        if array.dtype not in EXTENTS:
            raise UnboundedError
        clamped = [self.clamped(index, axis) for index, axis in zip(expr.indices, array.shape, strict=True)]
        varying = [i for i, (low, high) in enumerate(clamped) if low != high]
        if len(varying) > 2:
            raise UnboundedError
        self.names.add(expr.array)
        self.extents.add(array.dtype)
        return self.extent(array, clamped, varying)

    def extent(self, array: Captured, clamped: list[tuple[str, str]], varying: list[int]) -> tuple[str, str]:
        """A call that finds the least and greatest element of the rectangle of indices."""
        start = ""
        for (low, _), axis in zip(clamped, array.shape, strict=True):
            start = f"({start}) * {self.size(axis)} + {low}" if start else low
        spans = [(f"{clamped[i][1]} - {clamped[i][0]} + 1", self.stride(array, i)) for i in varying]
        spans = [("1", "1")] * (2 - len(spans)) + spans
        (outer_count, outer_stride), (count, stride) = spans
        self.count += 1
        names = f"least{self.count}", f"greatest{self.count}"
        arguments = f"{array.parameter}, {start}, {outer_count}, {outer_stride}, {count}, {stride}"
        self.lines.append(f"{names[0]}, {names[1]} = {EXTENTS[array.dtype]}({arguments})")
        return names

    def clamped(self, index: Expr, axis: int | str) -> tuple[str, str]:
        low, high = self.bound(index)
        if stays_inside(index, axis) and low == high:
            return low, high
        limit = str(axis - 1) if isinstance(axis, int) else f"{self.size(axis)} - 1"
        return self.name(f"min(max({low}, 0), {limit})", f"min(max({high}, 0), {limit})")

    def size(self, axis: int | str) -> str:
        if isinstance(axis, int):
            return str(axis)
        if axis in LENGTHS:
            self.names.add(axis)
            return axis
        return axis.upper()

    def stride(self, array: Captured, axis: int) -> str:
        return " * ".join(self.size(length) for length in array.shape[axis + 1 :]) or "1"


Pair = tuple[str, str]


def product(x: Pair, y: Pair) -> Pair:
    corners = ", ".join(f"{a} * {b}" for a in dict.fromkeys(x) for b in dict.fromkeys(y))
    return (f"min({corners})", f"max({corners})") if ", " in corners else (corners, corners)


def quotient(x: Pair, y: Pair) -> Pair:
    corners = ", ".join(f"{a} // {b}" for a in dict.fromkeys(x) for b in dict.fromkeys(y))
    return (f"min({corners})", f"max({corners})") if ", " in corners else (corners, corners)


def remainder(x: Pair, y: Pair) -> Pair:
    """Exact where both ends lie in one period of the divisor; else anything between 0 and it."""
    divisor = y[0]
    if divisor != y[1]:
        raise UnboundedError
    least, most, one_period = f"min(0, {divisor} + 1)", f"max(0, {divisor} - 1)", f"{divisor} > 0 and "
    if divisor.isdigit():
        least, most, one_period = "0", str(int(divisor) - 1), ""
    one_period += f"{x[0]} // {divisor} == {x[1]} // {divisor}"
    return (
        f"{x[0]} % {divisor} if {one_period} else {least}",
        f"{x[1]} % {divisor} if {one_period} else {most}",
    )


def one_value(x: Pair, y: Pair) -> str:
    """The test that both can only have one value, and the same."""
    texts = tuple(dict.fromkeys((*x, *y)))
    return " == ".join(texts) if len(texts) > 1 else "True"


def minimum_of(*pairs: Pair) -> Pair:
    return tuple(f"min({', '.join(pair[i] for pair in pairs)})" for i in (0, 1))  # type: ignore[return-value]


def maximum_of(*pairs: Pair) -> Pair:
    return tuple(f"max({', '.join(pair[i] for pair in pairs)})" for i in (0, 1))  # type: ignore[return-value]


def choose(condition: Pair, x: Pair, y: Pair) -> Pair:
    sure, possible = condition
    low, high = f"min({x[0]}, {y[0]})", f"max({x[1]}, {y[1]})"
    return (
        f"{x[0]} if {sure} == 1 else {y[0]} if {possible} == 0 else {low}",
        f"{x[1]} if {sure} == 1 else {y[1]} if {possible} == 0 else {high}",
    )


def truth(test: str) -> str:
    return f"1 if {test} else 0"


RULES: dict[Operator, Callable[..., Pair]] = {
    Operator.ADD: lambda x, y: (f"{x[0]} + {y[0]}", f"{x[1]} + {y[1]}"),
    Operator.SUBTRACT: lambda x, y: (f"{x[0]} - {y[1]}", f"{x[1]} - {y[0]}"),
    Operator.NEGATE: lambda x: (f"-{x[1]}", f"-{x[0]}"),
    Operator.MULTIPLY: product,
    Operator.FLOOR_DIVIDE: quotient,
    Operator.MODULO: remainder,
    Operator.ABS: lambda x: (f"max({x[0]}, -{x[1]}, 0)", f"max(-{x[0]}, {x[1]})"),
    Operator.MIN: minimum_of,
    Operator.MAX: maximum_of,
    Operator.WHERE: choose,
    Operator.LESS: lambda x, y: (truth(f"{x[1]} < {y[0]}"), truth(f"{x[0]} < {y[1]}")),
    Operator.LESS_EQUAL: lambda x, y: (truth(f"{x[1]} <= {y[0]}"), truth(f"{x[0]} <= {y[1]}")),
    Operator.GREATER: lambda x, y: (truth(f"{x[0]} > {y[1]}"), truth(f"{x[1]} > {y[0]}")),
    Operator.GREATER_EQUAL: lambda x, y: (truth(f"{x[0]} >= {y[1]}"), truth(f"{x[1]} >= {y[0]}")),
    Operator.EQUAL: lambda x, y: (
        truth(one_value(x, y)),
        truth(f"{x[0]} <= {y[1]} and {y[0]} <= {x[1]}"),
    ),
    Operator.NOT_EQUAL: lambda x, y: (
        truth(f"{x[1]} < {y[0]} or {y[1]} < {x[0]}"),
        truth(f"not ({one_value(x, y)})"),
    ),
    Operator.AND: minimum_of,
    Operator.OR: maximum_of,
    Operator.NOT: lambda x: (f"1 - {x[1]}", f"1 - {x[0]}"),
}


def emit_visibility(keep: Expr, arrays: Mapping[str, Captured], constants: Mapping[str, str]) -> TileCode:
    """The lines that bound `keep` over a tile, and the text of the class."""
    bounder = Bounder(arrays, constants)
    low, high = bounder.bound(keep)
    return TileCode(
        tuple(bounder.lines), f"{low} + {high}", frozenset(bounder.names), frozenset(bounder.extents)
    )
