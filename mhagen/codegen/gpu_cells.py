"""Expressions to the code of CUDA kernels: every thread computes its own cells of a score tile, one by one.

Each part of an expression is computed as seldom as it can be: once per task when it knows neither query nor
key; once per row of the thread, before the loop over keys, when it knows the query alone (such parts wait in
local arrays, which become registers); once per column of a tile when it knows the key; else once per cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from ..base.dtypes import DType
from ..expr.shift import Split
from ..expr.tree import Apply, Constant, Element, Expr, Kind, Literal, Name, Operator, walk
from .cells import INLINE_WIDTH, LENGTHS, LETTERS, LINE_WIDTH, STEMS
from .levels import Captured, Lanes, Level, level_of, needs_wide_lanes
from .words import INFIX, MOST_FACTORS, grouped, is_real_power, is_single

# What is computed once per column, of all that threads share, knows the key: keys are the axis in lanes.
LANES = Lanes.KEYS
PLACE_WIDTH = 40  # beyond it, a place in an array gets a name
LOADS = {
    DType.FLOAT32: "load_float32",
    DType.FLOAT64: "load_float64",
    DType.BFLOAT16: "load_bfloat16",
    DType.FLOAT16: "load_float16",
    DType.INT32: "load_int32",
    DType.INT64: "load_int64",
    DType.BOOL: "load_bool",
}
FUNCTIONS = {
    Operator.EXP: "exp",
    Operator.LOG: "log",
    Operator.SQRT: "square_root",
    Operator.TANH: "hyperbolic_tangent",
    Operator.SIGMOID: "sigmoid",
    Operator.FLOOR: "round_down",
}
# Where results are float32, all digits of it count.
FINE = {**FUNCTIONS, Operator.LOG: "fine_log", Operator.TANH: "fine_hyperbolic_tangent"}
EXTREMES = {Operator.MIN: "minimum_or_nan", Operator.MAX: "maximum_or_nan"}
WORDS_OF_LOGIC = {Operator.AND: "and", Operator.OR: "or"}
REAL_DIVISIONS = {Operator.FLOOR_DIVIDE: "real_floor_divide", Operator.MODULO: "real_modulo"}


@dataclass(frozen=True)
class Cells:
    """What sets one value of each cell of a tile."""

    columns: tuple[str, ...]
    cells: tuple[str, ...]
    result: str
    reads: frozenset[str]  # of the built-in names, captured arrays, lengths, and values named outside


NO_CHANGE = Cells((), (), "score", frozenset({"score"}))


@dataclass(frozen=True)
class Changes:
    """What makes scores of the products of a tile: see expr/shift.py. None for a part that is not there."""

    cell: Cells | None
    rise: Cells | None  # reads `ahead`: how far a key lies behind the first one of a thread
    shift: Cells | None  # of a row, at `k_first`
    whole: Cells | None = None  # of each cell, all there is of a score, for where `is_steep`

    @property
    def parts(self) -> tuple[Cells, ...]:
        return tuple(part for part in (self.cell, self.rise, self.shift, self.whole) if part is not None)

    @property
    def reads(self) -> frozenset[str]:
        return frozenset().union(*(part.reads for part in self.parts))


@dataclass(frozen=True)
class RowValue:
    """A value of each row of a thread that cells read."""

    name: str
    array: str  # that holds it
    kind: str  # Numba's type of an element


@dataclass(frozen=True)
class Before:
    """What is computed before the loop over keys."""

    task: tuple[str, ...]
    rows: tuple[str, ...]
    kept: tuple[RowValue, ...]
    task_names: tuple[str, ...]
    reads: frozenset[str]


@dataclass
class Emitter:
    """Writes the lines of one kernel."""

    arrays: Mapping[str, Captured]
    constants: Mapping[str, str]
    heads: int
    wide: bool  # integers need 64 bits
    heads_lie_in_rows: bool  # so h is known to a row, as q is
    functions: Mapping[Operator, str]
    uses: Counter[Expr]
    lines: dict[Level, list[str]] = field(default_factory=lambda: {level: [] for level in Level})
    named: dict[Expr, str] = field(default_factory=dict)
    levels: dict[str, Level] = field(default_factory=dict)  # of names
    kinds: dict[str, str] = field(default_factory=dict)  # Numba's types of names
    reads: dict[Level, set[str]] = field(default_factory=lambda: {level: set() for level in Level})
    kept: dict[str, RowValue] = field(default_factory=dict)
    stems: Counter[str] = field(default_factory=Counter)
    key: str = "k"  # what the position of a key is called

    def cells(self, root: Expr, kind: Kind, key: str = "k") -> Cells:
        """The lines that compute an expression in every cell. `key`: what the position of keys is called."""
        self.key = key
        result = self.converted(root, kind, Level.CELL)
        found = Cells(
            tuple(self.lines[Level.COLUMN]),
            tuple(self.lines[Level.CELL]),
            result,
            frozenset(self.reads[Level.COLUMN] | self.reads[Level.CELL]),
        )
        for level in (Level.COLUMN, Level.CELL):
            self.lines[level], self.reads[level] = [], set()
        # The next expression computes its own columns and cells; what is known before, it finds by name.
        self.named = {each: name for each, name in self.named.items() if self.levels[name] <= Level.ROW}
        return found

    def changes(self, modify: Expr, parts: Split) -> Changes:
        """The lines that make scores of products."""
        found = Changes(
            cell=None if parts.cell is None else self.cells(parts.cell, Kind.REAL),
            rise=None if parts.rise is None else self.cells(parts.rise, Kind.REAL, "ahead"),
            shift=None if parts.shift is None else self.cells(parts.shift, Kind.REAL, "k_first"),
        )
        if parts.is_steep is None:
            return found
        self.tell_steep(parts.is_steep)
        return replace(found, whole=self.cells(modify, Kind.REAL))

    def tell_steep(self, condition: Expr) -> None:
        """Set `is_steep`, for all lanes of a warp together; a vote is asked once, and not in every block."""
        level = self.level(condition)
        lines, vote = self.lines[level], "vote_any(steep) != uint32(0)"
        text = self.value(condition, level)
        lines.append(f"steep = uint32(1) if {text} else uint32(0)")
        if level is Level.TILE:
            lines.append(f"is_steep = {vote}")
        else:
            self.lines[Level.TILE].append("is_steep = False")
            lines.append(f"is_steep = is_steep or {vote}")

    def of_row(self, root: Expr) -> tuple[tuple[str, ...], str, frozenset[str]]:
        """The lines that compute an expression without keys for one row, its text, and what they read."""
        result = self.converted(root, Kind.REAL, Level.ROW)
        lines = (*self.lines[Level.TILE], *self.lines[Level.ROW])
        return lines, result, frozenset(self.reads[Level.TILE] | self.reads[Level.ROW])

    def before(self) -> Before:
        """What all expressions so far need to have been computed before the loop over keys."""
        wanted = sorted(name for name, level in self.levels.items() if level is Level.TILE)
        return Before(
            tuple(self.lines[Level.TILE]),
            tuple(self.lines[Level.ROW]),
            tuple(self.kept.values()),
            tuple(wanted),
            frozenset(self.reads[Level.TILE] | self.reads[Level.ROW]),
        )

    def value(self, expr: Expr, user: Level) -> str:
        """The text of an expression, for a user at some level."""
        if isinstance(expr, Literal | Constant | Name):
            return self.atom(expr, user)
        if expr in self.named:
            return self.read(self.named[expr], user)
        level = self.level(expr)
        text = self.element(expr, level) if isinstance(expr, Element) else self.apply(expr, level)
        if isinstance(expr, Apply) and level == user and self.uses[expr] < 2 and len(text) < INLINE_WIDTH:
            return text
        stem = expr.array if isinstance(expr, Element) else STEMS[expr.kind]
        self.named[expr] = self.assign(stem, level, text, self.type_of(expr.kind))
        return self.read(self.named[expr], user)

    def level(self, expr: Expr) -> Level:
        found = level_of(expr, LANES)
        if self.heads_lie_in_rows and Name("h") in walk(expr):
            return {Level.TILE: Level.ROW, Level.COLUMN: Level.CELL}.get(found, found)
        return found

    def type_of(self, kind: Kind) -> str:
        match kind:
            case Kind.REAL:
                return "float32"
            case Kind.INTEGER:
                return "int64" if self.wide else "int32"
            case Kind.CONDITION:
                return "boolean"
            case _:
                assert_never(kind)

    def read(self, name: str, user: Level) -> str:
        """The text by which a user at some level reads a named value."""
        level = self.levels[name]
        if level is Level.ROW and user > Level.ROW:
            kept = self.kept.setdefault(name, RowValue(name, f"{name}_of_rows", self.kinds[name]))
            self.reads[user].add(kept.array)
            return f"{kept.array}[row]"
        if level is Level.TILE and user > Level.TILE:
            self.reads[user].add(name)
        return name

    def assign(self, stem: str, level: Level, text: str, kind: str) -> str:
        """A new name for a text, assigned at a level."""
        number = self.stems[stem]
        self.stems[stem] += 1
        name = f"{stem}_{LETTERS[number % 26]}{number // 26 or ''}"
        if text.startswith("(") and is_single(text):
            text = text[1:-1]
        self.levels[name], self.kinds[name] = level, kind
        self.lines[level].append(f"{name} = {text}")
        return name

    def operand(self, expr: Expr, kind: Kind, user: Level) -> str:
        return grouped(self.converted(expr, kind, user))

    def converted(self, expr: Expr, kind: Kind, user: Level) -> str:
        """The text of an expression as a real where one is asked for."""
        text = self.value(expr, user)
        return f"float32({text})" if kind is Kind.REAL and expr.kind is Kind.INTEGER else text

    def atom(self, expr: Literal | Constant | Name, user: Level) -> str:
        match expr:
            case Literal():
                return f"float32({expr.value!r})" if expr.kind is Kind.REAL else repr(expr.value)
            case Constant():
                name = self.constants[expr.name]
                return f"float32({name})" if expr.kind is Kind.REAL else name
            case Name():
                name = self.key if expr.name == "k" else expr.name
                self.reads[user].add(name)
                return name
            case _:
                assert_never(expr)

    def apply(self, expr: Apply, level: Level) -> str:
        text = self.applied(expr, level)
        return f"{self.type_of(expr.kind)}({text})" if expr.kind is Kind.INTEGER else text

    def applied(self, expr: Apply, level: Level) -> str:
        operator, arguments = expr.operator, expr.arguments
        if operator in self.functions:
            return f"{self.functions[operator]}({self.converted(arguments[0], Kind.REAL, level)})"
        if operator is Operator.DIVIDE:
            return f"divide({self.reals(arguments, level)})"
        if operator in REAL_DIVISIONS and expr.kind is Kind.REAL:
            return f"{REAL_DIVISIONS[operator]}({self.reals(arguments, level)})"
        if operator in WORDS_OF_LOGIC:
            return f" {WORDS_OF_LOGIC[operator]} ".join(self.sides(arguments, Kind.CONDITION, level))
        if operator in INFIX:
            return f" {INFIX[operator]} ".join(self.sides(arguments, together(arguments), level))
        match operator:
            case Operator.NEGATE:
                return f"-{self.operand(arguments[0], expr.kind, level)}"
            case Operator.NOT:
                return f"not {self.operand(arguments[0], Kind.CONDITION, level)}"
            case Operator.FLOOR_DIVIDE | Operator.MODULO:
                return self.whole_division(expr, level)
            case Operator.POWER:
                return self.power(expr, level)
            case _:
                return self.choice(expr, level)

    def sides(self, arguments: Iterable[Expr], kind: Kind, level: Level) -> list[str]:
        """Side by side they fit a line: the longest of them get names."""
        parts = tuple(arguments)
        texts = [self.operand(part, kind, level) for part in parts]
        while sum(map(len, texts)) + 3 * len(texts) > LINE_WIDTH:
            longest = max(range(len(texts)), key=lambda i: len(texts[i]))
            kind_of_part = kind if kind is Kind.REAL else parts[longest].kind
            stem = STEMS[kind_of_part]
            texts[longest] = self.assign(stem, level, texts[longest], self.type_of(kind_of_part))
        return texts

    def reals(self, arguments: Iterable[Expr], level: Level) -> str:
        return ", ".join(self.sides(arguments, Kind.REAL, level))

    def whole_division(self, expr: Apply, level: Level) -> str:
        """By 0 the quotient and the rest are 0: a divisor that is known is not."""
        sides = self.sides(expr.arguments, Kind.INTEGER, level)
        if isinstance(expr.arguments[1], Literal | Constant):
            return f" {expr.operator.value} ".join(sides)
        name = "floor_divide" if expr.operator is Operator.FLOOR_DIVIDE else "modulo"
        return f"{name}({', '.join(sides)})"

    def power(self, expr: Apply, level: Level) -> str:
        base, exponent = expr.arguments
        if is_real_power(expr):
            return f"power({self.reals(expr.arguments, level)})"
        assert isinstance(exponent, Literal | Constant)
        times = int(exponent.value)
        if times > MOST_FACTORS:  # an integer that stays within 64 bits is then -1, 0 or 1: parity counts
            times = MOST_FACTORS - times % 2
        factor = self.operand(base, expr.kind, level)
        if times > 1 and len(factor) * times > LINE_WIDTH:
            factor = self.assign(STEMS[expr.kind], level, factor, self.type_of(expr.kind))
        unit = "1" if expr.kind is Kind.INTEGER else "float32(1.0)"
        return " * ".join([factor] * times) or unit

    def choice(self, expr: Apply, level: Level) -> str:
        if expr.operator is Operator.WHERE:
            condition, *choices = expr.arguments
            test = self.operand(condition, Kind.CONDITION, level)
            one, other = self.sides(choices, expr.kind, level)
            return f"{one} if {test} else {other}"
        if expr.operator is Operator.ABS:
            return f"abs({self.converted(expr.arguments[0], expr.kind, level)})"
        name = EXTREMES[expr.operator] if expr.kind is Kind.REAL else expr.operator.value
        first, *others = self.sides(expr.arguments, expr.kind, level)
        text = first
        for other in others:
            text = f"{name}({text}, {other})"
        return text

    def element(self, expr: Element, level: Level) -> str:
        array = self.arrays[expr.array]
        self.reads[level].add(array.parameter)
        place = self.flat(expr.indices, array.shape, level)
        if len(place) > PLACE_WIDTH:
            place = self.assign("place", level, place, "int64")
        address = f"{array.parameter} + {array.dtype.bytes} * {grouped(place)}"
        return f"{LOADS[array.dtype]}({array.parameter if place == '0' else address})"

    def flat(self, indices: tuple[Expr, ...], axes: tuple[int | str, ...], level: Level) -> str:
        """The row-major place of clamped indices; what is known before the last one gets a name there."""
        *outer, last = indices
        inside = self.clamped(last, axes[-1], level)
        if not outer:
            return inside
        known = max(map(self.level, outer))
        joined = set(map(self.level, outer)) >= {Level.ROW, Level.COLUMN}
        known = Level.CELL if joined else known
        row = f"{grouped(self.flat(tuple(outer), axes[:-1], known))} * {self.size(axes[-1], known)}"
        if known < level or len(row) + len(inside) > LINE_WIDTH:
            row = self.read(self.assign("place", known, row, "int64"), level)
        return f"{row} + {inside}"

    def clamped(self, index: Expr, axis: int | str, level: Level) -> str:
        text = self.value(index, level)
        if self.stays_inside(index, axis):
            return text
        limit = str(axis - 1) if isinstance(axis, int) else f"{self.size(axis, level)} - 1"
        return f"min(max({text}, 0), {limit})"

    def stays_inside(self, index: Expr, axis: int | str) -> bool:
        """Does the index lie inside the axis by what it is? A key may lie behind the last."""
        if isinstance(index, Literal):
            return isinstance(axis, int) and 0 <= index.value < axis
        return (index == Name("b") and axis == "batch") or (index == Name("h") and axis == self.heads)

    def size(self, axis: int | str, level: Level) -> str:
        if isinstance(axis, int):
            return str(axis)
        if axis not in LENGTHS:
            return axis.upper()
        self.reads[level].add(axis)
        return axis


def together(arguments: Iterable[Expr]) -> Kind:
    """The kind that operands side by side become: reals, if one of them is."""
    kinds = {each.kind for each in arguments}
    return Kind.REAL if Kind.REAL in kinds else next(iter(kinds))


def emitter_for(
    roots: Iterable[Expr],
    arrays: Mapping[str, Captured],
    constants: Mapping[str, str],
    heads: int,
    dtype: DType,
    heads_lie_in_rows: bool = False,
) -> Emitter:
    """An emitter for expressions that one kernel computes."""
    roots = tuple(roots)
    wide = any(needs_wide_lanes(root, arrays, heads) for root in roots)
    uses = Counter(part for root in roots for part in walk(root))
    functions = FINE if dtype is DType.FLOAT32 else FUNCTIONS
    return Emitter(arrays, constants, heads, wide, heads_lie_in_rows, functions, uses)
