"""Expressions to kernel code: scores and visibility of one register tile.

In a tile, one axis lies in lanes, queries or keys: it is a vector per column of registers, the other one
number per row, `score` a vector per cell. Each part of an expression is computed as seldom as it can be: once
per tile when it knows neither query nor key, once per column or row when it knows one of them, once per cell
otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from ..base.dtypes import DType
from ..expr.rises import at_key_zero, rise
from ..expr.tree import Apply, Constant, Element, Expr, Kind, Literal, Name, Operator, walk
from .levels import Captured, Lanes, Level, level_of, needs_wide_lanes
from .scaling import is_number, is_score_by_number, scales_on_reading, smooth_parts
from .words import (
    INFIX,
    LOGIC,
    REAL_FUNCTIONS,
    SHORT_FUNCTIONS,
    choice,
    division,
    grouped,
    in_lanes,
    is_single,
    makes_vector,
    power,
)

LENGTHS = ("batch", "queries", "keys")  # axes whose length is known at the call only
INLINE_WIDTH = 60
NAME_WIDTH = 24  # a shorter text gains nothing by a name
LINE_WIDTH = 84  # of what stands in one line behind `seen15_0 = `
REAL_ARITHMETIC = (Operator.ADD, Operator.SUBTRACT, Operator.MULTIPLY)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Code:
    """Lines by level; `{i}` and `{j}` stand for the row and the column of a cell."""

    tile: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[str, ...]
    names: frozenset[str]  # of b, h, q, k, captured arrays and length symbols that the lines read
    wide: bool  # integers need 64-bit lanes
    runs: frozenset[DType]  # element types read by load_run
    scales: bool  # where scores are read, they are scaled first


STEMS = {Kind.CONDITION: "test", Kind.INTEGER: "count", Kind.REAL: "part"}
CELL_NAMES = {
    Lanes.QUERIES: {"score": "s{i}_{j}", "q": "q{j}", "k": "k{i}"},
    Lanes.KEYS: {"score": "s{i}_{j}", "q": "q{i}", "k": "k{j}"},
}
SUFFIXES = {Level.TILE: "", Level.ROW: "_{i}", Level.COLUMN: "_{j}", Level.CELL: "_{i}_{j}"}
RUNS = {
    DType.FLOAT32: "load_run",
    DType.FLOAT64: "load_run_float64",
    DType.BFLOAT16: "load_run_bfloat16",
    DType.FLOAT16: "load_run_float16",
    DType.INT32: "load_run_int32",
}
LOADS = {
    DType.FLOAT32: ("load_float32", "take_float32"),
    DType.FLOAT64: ("load_float64", "take_float64"),
    DType.BFLOAT16: ("load_bfloat16", "take_bfloat16"),
    DType.FLOAT16: ("load_float16", "take_float16"),
    DType.INT32: ("load_int32", "take_int32"),
    DType.INT64: ("load_int64", "take_int64"),
    DType.BOOL: ("load_bool", "take_bool"),
}


@dataclass
class Emitter:
    """Writes the lines of one tile.

    An array element, a part that is used twice and a part that is known at an earlier level than its user get
    a name of their own, at the level where they are known; everything else is written in place.
    """

    arrays: Mapping[str, Captured]
    constants: Mapping[str, str]  # the name that a constant of the spec has in the module
    uses: Mapping[Expr, int]
    wide: bool
    lanes: Lanes
    short: bool  # results end up in 16 bits
    smooth: frozenset[Expr]  # parts whose last digit decides nothing
    score_scale: str  # the constant that raw scores are multiplied with where they are read; "" for none
    lines: dict[Level, list[str]] = field(default_factory=lambda: {level: [] for level in Level})
    named: dict[Expr, str] = field(default_factory=dict)
    columns: dict[Expr, str] = field(default_factory=dict)  # what evenly rising integers start from
    names: set[str] = field(default_factory=set)
    runs: set[DType] = field(default_factory=set)
    stems: Counter[str] = field(default_factory=Counter)

    def value(self, expr: Expr, user: Level) -> str:
        """The text of an expression, for a user at some level."""
        if isinstance(expr, Literal | Constant | Name):
            return self.atom(expr)
        if expr in self.named:
            return self.named[expr]
        level = level_of(expr, self.lanes)
        text = self.element(expr, level) if isinstance(expr, Element) else self.apply(expr, level)
        if isinstance(expr, Apply) and level == user and self.uses[expr] == 1 and len(text) < INLINE_WIDTH:
            return text
        stem = expr.array if isinstance(expr, Element) else STEMS[expr.kind]
        self.named[expr] = self.assign(stem, level, text)
        return self.named[expr]

    def operand(self, expr: Expr, user: Level) -> str:
        """As value, in parentheses where an operator beside it would tear it apart."""
        return grouped(self.value(expr, user))

    def root(self, expr: Expr) -> str:
        """The right-hand side of an assignment in a cell: a condition, or lanes of reals."""
        if isinstance(expr, Apply) and expr not in self.named and level_of(expr, self.lanes) == Level.CELL:
            text = self.apply(expr, Level.CELL)
        else:
            text = self.value(expr, Level.CELL)
        if expr.kind is Kind.CONDITION or self.is_vector(expr):
            return self.as_real(expr, text)
        return f"splat({text})"

    def assign(self, stem: str, level: Level, text: str) -> str:
        """A new name for a text, assigned at a level."""
        number = self.stems[stem]
        self.stems[stem] += 1
        name = f"{stem}_{LETTERS[number % 26]}{number // 26 or ''}{SUFFIXES[level]}"
        if text.startswith("(") and is_single(text):
            text = text[1:-1]
        self.lines[level].append(f"{name} = {text}")
        return name

    def atom(self, expr: Literal | Constant | Name) -> str:
        match expr:
            case Literal():
                return repr(expr.value)
            case Constant():
                return self.constants[expr.name]
            case Name():
                self.names.update({"q": {"q", "q_first"}, "k": {"k", "k_first"}}.get(expr.name, {expr.name}))
                return CELL_NAMES[self.lanes].get(expr.name, expr.name)
            case _:
                assert_never(expr)

    def apply(self, expr: Apply, level: Level) -> str:
        operator, vector = expr.operator, self.is_vector(expr)
        if operator in REAL_FUNCTIONS:
            words = SHORT_FUNCTIONS if self.short and expr in self.smooth else REAL_FUNCTIONS
            return f"{words[operator]}({self.value(expr.arguments[0], level)})"
        cheaper = self.cheaper(expr, level) if vector else None
        if cheaper is not None:
            return cheaper
        if vector and operator in (Operator.EQUAL, Operator.NOT_EQUAL) and is_condition(expr.arguments[0]):
            differ = " ^ ".join(self.sides(expr, level))
            return differ if operator is Operator.NOT_EQUAL else f"~({differ})"
        if operator in INFIX:
            return f" {INFIX[operator]} ".join(self.sides(expr, level))
        if operator in LOGIC:
            return f" {LOGIC[operator][vector]} ".join(self.sides(expr, level))
        match operator:
            case Operator.NEGATE:
                return f"-{self.operand(expr.arguments[0], level)}"
            case Operator.NOT:
                return f"{'~' if vector else 'not '}{self.operand(expr.arguments[0], level)}"
            case Operator.FLOOR_DIVIDE | Operator.MODULO:
                return division(expr, self.sides(expr, level), vector)
            case Operator.POWER:
                return power(expr, self.sides(expr, level))
            case _:
                return choice(expr, self.branches(expr, level, vector), vector)

    def rising(self, expr: Expr) -> str:
        """The reals of an integer that rises evenly from key to key: the first key's, and what is added."""
        self.names.add("k_first")
        rises = rise(expr)
        if expr not in self.columns:
            start = self.operand(at_key_zero(expr), Level.COLUMN)
            first = "k_first" if rises == 1 else f"{rises} * k_first"
            self.columns[expr] = self.assign("part", Level.COLUMN, f"real({start} + {first})")
        return f"{self.columns[expr]} + {'{i}' if rises == 1 else f'({rises} * {{i}})'}"

    def is_rising(self, expr: Expr) -> bool:
        is_whole = expr.kind is Kind.INTEGER and self.lanes is Lanes.QUERIES
        return is_whole and level_of(expr, self.lanes) is Level.CELL and rise(expr) is not None

    def product_in(self, total: Apply) -> Apply | None:
        """A product among the two sides that nobody else reads, and that depends on the cell."""
        for side in total.arguments:
            if not isinstance(side, Apply) or side.operator is not Operator.MULTIPLY or self.uses[side] > 1:
                continue
            if level_of(side, self.lanes) is Level.CELL:
                return side
        return None

    def multiply_add(self, total: Apply, product: Apply, level: Level) -> str:
        """One instruction, and one rounding."""
        other = next(side for side in total.arguments if side is not product)
        operands = (*product.arguments, other)
        return f"fma({', '.join(self.real_value(each, level) for each in operands)})"

    def real_value(self, expr: Expr, level: Level) -> str:
        return self.rising(expr) if self.is_rising(expr) else self.as_real(expr, self.value(expr, level))

    def cheaper(self, expr: Apply, level: Level) -> str | None:
        """Operators on lanes that one instruction does together, or that another does in less time."""
        if expr.operator is Operator.ADD and expr.kind is Kind.REAL:
            product = self.product_in(expr)
            return None if product is None else self.multiply_add(expr, product, level)
        if self.score_scale and is_score_by_number(expr):
            left, right = self.sides(expr, level)
            return f"{left} * ({self.score_scale} {expr.operator.value} {right})"
        if expr.operator is Operator.DIVIDE and expr in self.smooth and is_number(expr.arguments[1]):
            # A division takes ten times as long as a product, and one rounding more is all it saves.
            left, right = self.sides(expr, level)
            return f"{left} * (1.0 / {right})"
        return None

    def branches(self, expr: Apply, level: Level, vector: bool) -> list[str]:
        """The operands of a choice; if it begins with plain numbers, the first is repeated in all lanes."""
        texts = [self.value(argument, level) for argument in expr.arguments]
        first = 1 if expr.operator is Operator.WHERE else 0
        if vector and not any(map(self.is_vector, expr.arguments[first : first + 2])):
            texts[first] = in_lanes(expr.kind, texts[first], self.wide)
        return texts

    def sides(self, expr: Apply, level: Level) -> list[str]:
        return self.fitting(expr.arguments, self.texts_of_sides(expr, level), level)

    def fitting(self, parts: tuple[Expr, ...], texts: list[str], level: Level) -> list[str]:
        """Side by side they fit a line: the longest of them get names."""
        texts = list(texts)
        while sum(map(len, texts)) + 3 * len(texts) > LINE_WIDTH:
            longest = max(range(len(texts)), key=lambda i: len(texts[i]))
            if len(texts[longest]) <= NAME_WIDTH:
                break
            stem = "part" if parts[longest].kind is Kind.INTEGER and "real(" in texts[longest] else None
            texts[longest] = self.assign(stem or STEMS[parts[longest].kind], level, texts[longest])
        return texts

    def texts_of_sides(self, expr: Apply, level: Level) -> list[str]:
        if expr.operator is Operator.DIVIDE:
            return [grouped(self.real_value(argument, level)) for argument in expr.arguments]
        if expr.operator in REAL_ARITHMETIC and expr.kind is Kind.REAL:
            return [
                grouped(self.rising(each)) if self.is_rising(each) else self.operand(each, level)
                for each in expr.arguments
            ]
        return [self.operand(argument, level) for argument in expr.arguments]

    def as_real(self, expr: Expr, text: str) -> str:
        return f"real({text})" if expr.kind is Kind.INTEGER and self.is_vector(expr) else text

    def element(self, expr: Element, level: Level) -> str:
        array = self.arrays[expr.array]
        self.names.add(expr.array)
        one, many = LOADS[array.dtype]
        *outer, last = expr.indices
        if not any(self.is_vector(index) for index in expr.indices):
            place = self.flat(expr.indices, array.shape, level)
            return f"{one}({self.address(array, place)})"
        shift = self.shift_in_lanes(last)
        is_run = array.dtype in RUNS and not any(self.is_vector(index) for index in outer)
        if is_run and shift is not None:
            lanes = self.run(array, tuple(outer), shift, level)
        else:
            lanes = f"{many}({array.parameter}, {self.flat(expr.indices, array.shape, level, lanes=True)})"
        return f"wide({lanes})" if self.wide and array.dtype is DType.INT32 else lanes

    def run(
        self, array: Captured, outer: tuple[Expr, ...], shift: list[tuple[str, Expr]], level: Level
    ) -> str:
        """Lanes that read neighbours, as `x[..., q]` or `x[..., q - k]` for queries, are one load."""
        self.runs.add(array.dtype)
        self.names.add(f"{self.lanes.value}_first")
        length = self.size(array.shape[-1])
        row = array.parameter
        if outer:
            row += f" + {array.dtype.bytes} * {length} * {grouped(self.flat(outer, array.shape[:-1], level))}"
        start = (
            f"{self.lanes.value}_first"
            + " + {j} * LANES"
            + "".join(f" {sign} {self.operand(part, level)}" for sign, part in shift)
        )
        return f"{RUNS[array.dtype]}({row}, {start}, {length})"

    def address(self, array: Captured, place: str) -> str:
        return (
            array.parameter if place == "0" else f"{array.parameter} + {array.dtype.bytes} * {grouped(place)}"
        )

    def flat(
        self, indices: tuple[Expr, ...], axes: tuple[int | str, ...], level: Level, *, lanes: bool = False
    ) -> str:
        """The row-major place of clamped indices; a long one gets a name."""
        place = ""
        for index, axis in zip(indices, axes, strict=True):
            inside = self.clamped(index, axis, level, lanes=lanes)
            if place and len(place) + len(inside) > LINE_WIDTH:
                place = self.assign("place", level, place)
            place = f"{grouped(place)} * {self.size(axis)} + {inside}" if place else inside
        return self.assign("place", level, place) if len(place) > INLINE_WIDTH else place

    def clamped(self, index: Expr, axis: int | str, level: Level, *, lanes: bool) -> str:
        text = self.value(index, level)
        if lanes and self.is_vector(index):
            return f"minimum(maximum({text if self.wide else f'wide({text})'}, 0), {self.limit(axis)})"
        return text if stays_inside(index, axis) else f"min(max({text}, 0), {self.limit(axis)})"

    def is_vector(self, expr: Expr) -> bool:
        """Do lanes differ, or does a function make it a vector? Everything else is a plain number."""
        if level_of(expr, self.lanes) >= Level.COLUMN:
            return True
        return any(isinstance(part, Apply) and makes_vector(part) for part in walk(expr))

    def shift_in_lanes(self, index: Expr) -> list[tuple[str, Expr]] | None:
        """For `q`, `q + x`, `x + q`, `q - x` with x the same in all lanes: the signed parts besides q.

        q here is the axis in lanes, whichever it is.
        """
        match index:
            case Name(name=self.lanes.value):
                return []
            case Apply(operator=Operator.ADD, arguments=(left, right)):
                for query, other in ((left, right), (right, left)):
                    shift = self.shift_in_lanes(query)
                    if shift is not None and not self.is_vector(other):
                        return [*shift, ("+", other)]
            case Apply(operator=Operator.SUBTRACT, arguments=(left, right)):
                shift = self.shift_in_lanes(left)
                if shift is not None and not self.is_vector(right):
                    return [*shift, ("-", right)]
        return None

    def size(self, axis: int | str) -> str:
        if isinstance(axis, int):
            return str(axis)
        if axis in LENGTHS:
            self.names.add(axis)
            return axis
        return axis.upper()

    def limit(self, axis: int | str) -> str:
        return str(axis - 1) if isinstance(axis, int) else f"{self.size(axis)} - 1"


def is_condition(expr: Expr) -> bool:
    return expr.kind is Kind.CONDITION


def stays_inside(index: Expr, axis: int | str) -> bool:
    """Indices that lie inside their axis by what they are; rows past the last key repeat it."""
    if isinstance(index, Literal):
        return isinstance(axis, int) and 0 <= index.value < axis
    symbol = {"b": "batch", "k": "keys"}
    return isinstance(index, Name) and symbol.get(index.name) == axis


def emit_cells(
    roots: Mapping[str, Expr],
    arrays: Mapping[str, Captured],
    constants: Mapping[str, str],
    heads: int,
    lanes: Lanes,
    *,
    short: bool = False,
    score_scale: str = "",
) -> Code:
    """Code that sets each target, such as `s{i}_{j}`, to its expression, in order."""
    uses = Counter(part for expr in roots.values() for part in walk(expr))
    wide = any(needs_wide_lanes(expr, arrays, heads) for expr in roots.values())
    scales = bool(score_scale) and scales_on_reading(roots.values())
    smooth = smooth_parts(roots.values())
    emitter = Emitter(arrays, constants, uses, wide, lanes, short, smooth, score_scale if scales else "")
    for target, expr in roots.items():
        emitter.lines[Level.CELL].append(f"{target} = {emitter.root(expr)}")
    lines = {level: tuple(found) for level, found in emitter.lines.items()}
    return Code(
        tile=lines[Level.TILE],
        rows=lines[Level.ROW],
        columns=lines[Level.COLUMN],
        cells=lines[Level.CELL],
        names=frozenset(emitter.names),
        wide=wide,
        runs=frozenset(emitter.runs),
        scales=scales,
    )
