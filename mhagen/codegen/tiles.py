"""Visibility of a whole tile by intervals: `keep` over q_low..q_high and k_low..k_high in a few operations.

Every part becomes two numbers, the least and the greatest value it can have in the tile; a condition is 0 or
1. The sum of the two for `keep` itself is the class: 0 hidden, 1 partial, 2 full. What cannot be bounded
cheaply (functions of real numbers, indices that vary along three axes) is unknown, which only makes a tile
partial. How reals are bounded: tile_reals.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..base.dtypes import DType
from ..expr.tree import Apply, Constant, Element, Expr, Kind, Literal, Name, Operator
from .cells import LENGTHS, LOADS, stays_inside
from .levels import Captured
from .tile_reals import REAL_COMPARISONS, REAL_RULES, as_real, check_divisor, is_exact, rounded
from .tile_rules import RULES, Pair, UnboundedError
from .words import grouped

UNKNOWN = ("0", "1")
LINE_WIDTH = 90  # of what stands in one line behind `high15 = `
START_WIDTH = 24
EXTENTS = {dtype: f"extent_{dtype.value}" for dtype in LOADS}
EXTENT_OF_RUN = "extent_of_run"  # of neighbours of int32, as labels of positions are
EXTENT_LOADS = {dtype: one for dtype, (one, _) in LOADS.items()} | {DType.BOOL: "load_byte"}


@dataclass(frozen=True)
class TileCode:
    """The body of `visibility`."""

    lines: tuple[str, ...]
    result: str
    names: frozenset[str]  # of b, h, captured arrays and length symbols
    extents: frozenset[DType]

    @property
    def bounds_runs(self) -> bool:
        return any(EXTENT_OF_RUN in line for line in self.lines)

    @property
    def bounds_reals(self) -> bool:
        return any("widened(" in line for line in self.lines)


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

    def bound(self, expr: Expr) -> Pair:
        """Texts of the least and the greatest value; names or literals only.

        Raises   UnboundedError for what has no cheap bounds, unless it is a condition: that is unknown
        """
        match expr:
            case Literal() if expr.kind is not Kind.REAL:
                return (repr(int(expr.value)),) * 2
            case Constant() if expr.kind is not Kind.REAL:
                return (self.constants[expr.name],) * 2
            case Name(name="q" | "k"):
                return f"{expr.name}_low", f"{expr.name}_high"
            case Name():
                self.names.add(expr.name)
                return expr.name, expr.name
        if expr not in self.named:
            found = self.attempt(expr)
            if found is None and expr.kind is not Kind.CONDITION:
                raise UnboundedError
            self.named[expr] = UNKNOWN if found is None else found
        return self.named[expr]

    def attempt(self, expr: Literal | Constant | Element | Apply) -> Pair | None:
        """The bounds of a part, under names of their own; None, and no line more, where it has none."""
        kept = len(self.lines), dict(self.named), set(self.names), set(self.extents)
        try:
            return self.part(expr)
        except UnboundedError:
            del self.lines[kept[0] :]
            _, self.named, self.names, self.extents = kept
            return None

    def part(self, expr: Literal | Constant | Element | Apply) -> Pair:
        match expr:
            case Literal() | Constant():
                return self.number(expr)
            case Element():
                return self.element(expr)
            case Apply() if expr.kind is Kind.REAL:
                return self.real(expr)
            case _:
                return self.name(*self.apply(expr))

    def name(self, low: str, high: str) -> Pair:
        self.count += 1
        if low == high:
            self.lines.append(f"only{self.count} = {low}")
            return f"only{self.count}", f"only{self.count}"
        names = f"low{self.count}", f"high{self.count}"
        if len(high) > LINE_WIDTH and " if " in high:
            test = high.partition(" if ")[2].partition(" else ")[0]
            self.lines.append(f"same{self.count} = {test}")
            low, high = (
                text.replace(f" if {test} else ", f" if same{self.count} else ") for text in (low, high)
            )
        self.lines += [f"{names[0]} = {low}", f"{names[1]} = {high}"]
        return names

    def widened(self, low: str, high: str) -> Pair:
        """Of reals: wider by what rounding may have added."""
        self.count += 1
        names = f"low{self.count}", f"high{self.count}"
        self.lines.append(f"{', '.join(names)} = {rounded(low, high)}")
        return names

    def number(self, expr: Literal | Constant) -> Pair:
        text = self.constants[expr.name] if isinstance(expr, Constant) else repr(expr.value)
        return (text, text) if is_exact(float(expr.value)) else self.widened(text, text)

    def apply(self, expr: Apply) -> Pair:
        pairs = [self.bound(argument) for argument in expr.arguments]
        if expr.operator in REAL_COMPARISONS and any(side.kind is Kind.REAL for side in expr.arguments):
            return REAL_COMPARISONS[expr.operator](*self.reals(expr.arguments, pairs))
        rule = RULES.get(expr.operator)
        if rule is None:
            raise UnboundedError
        return rule(*pairs)

    def real(self, expr: Apply) -> Pair:
        if expr.operator not in REAL_RULES:
            raise UnboundedError
        if expr.operator is Operator.DIVIDE:
            check_divisor(expr.arguments[1])
        pairs = self.reals(expr.arguments, [self.bound(argument) for argument in expr.arguments])
        return self.widened(*REAL_RULES[expr.operator](*pairs))

    def reals(self, parts: tuple[Expr, ...], pairs: list[Pair]) -> list[Pair]:
        """Integers among the operands as reals."""
        return [
            self.widened(*as_real(pair)) if part.kind is Kind.INTEGER else pair
            for part, pair in zip(parts, pairs, strict=True)
        ]

    def element(self, expr: Element) -> Pair:
        array = self.arrays[expr.array]
        clamped = [self.clamped(index, axis) for index, axis in zip(expr.indices, array.shape, strict=True)]
        varying = [i for i, (low, high) in enumerate(clamped) if low != high]
        if len(varying) > 2:
            raise UnboundedError
        self.names.add(expr.array)
        found = self.extent(array, clamped, varying) if varying else self.one(array, clamped)
        return self.widened(*found) if expr.kind is Kind.REAL else found

    def place(self, array: Captured, clamped: list[Pair]) -> str:
        start = ""
        for (low, _), axis in zip(clamped, array.shape, strict=True):
            start = f"{grouped(start)} * {self.size(axis)} + {low}" if start else low
        return start

    def one(self, array: Captured, clamped: list[Pair]) -> Pair:
        place = grouped(self.place(array, clamped))
        load = f"{EXTENT_LOADS[array.dtype]}({array.parameter} + {array.dtype.bytes} * {place})"
        return self.name(load, load)

    def extent(self, array: Captured, clamped: list[Pair], varying: list[int]) -> Pair:
        """A call that finds the least and greatest element of the rectangle of indices."""
        start = self.place(array, clamped)
        if array.dtype is DType.INT32 and varying == [len(clamped) - 1]:
            low, high = clamped[-1]
            return self.pair(f"{EXTENT_OF_RUN}({array.parameter}, {start}, {high} - {low} + 1)")
        self.extents.add(array.dtype)
        spans = [(f"{clamped[i][1]} - {clamped[i][0]} + 1", self.stride(array, i)) for i in varying]
        spans = [("1", "1")] * (2 - len(spans)) + spans
        (outer_count, outer_stride), (count, stride) = spans
        if len(start) > START_WIDTH:
            self.lines.append(f"start{self.count + 1} = {start}")
            start = f"start{self.count + 1}"
        arguments = f"{array.parameter}, {start}, {outer_count}, {outer_stride}, {count}, {stride}"
        return self.pair(f"{EXTENTS[array.dtype]}({arguments})")

    def pair(self, call: str) -> Pair:
        self.count += 1
        names = f"least{self.count}", f"greatest{self.count}"
        self.lines.append(f"{names[0]}, {names[1]} = {call}")
        return names

    def clamped(self, index: Expr, axis: int | str) -> Pair:
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


def emit_visibility(keep: Expr, arrays: Mapping[str, Captured], constants: Mapping[str, str]) -> TileCode:
    """The lines that bound `keep` over a tile, and the text of the class."""
    bounder = Bounder(arrays, constants)
    low, high = bounder.bound(keep)
    return TileCode(
        tuple(bounder.lines), f"{low} + {high}", frozenset(bounder.names), frozenset(bounder.extents)
    )
