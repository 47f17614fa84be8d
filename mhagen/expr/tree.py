"""The tree of an expression: five kinds of node, compared by structure, and what every reader of it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from enum import Enum
from typing import TypeAlias, assert_never

from ..base.dtypes import Kind as Kind

Number: TypeAlias = bool | int | float

# What literals and constants may be: integers that leave int64 room for sums and products, and reals that
# stay finite in float32.
INTEGER_LIMIT = 2**31 - 1
REAL_LIMIT = 3.4028234663852886e38


class Operator(Enum):
    """What an `Apply` node does; the value is its spelling (`neg` is the minus before one operand).

    AND, OR, MIN and MAX take two operands or more; WHERE three; `neg`, `not` and the other functions one;
    all else two.
    """

    NEGATE = "neg"
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    FLOOR_DIVIDE = "//"
    MODULO = "%"
    POWER = "**"
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    EQUAL = "=="
    NOT_EQUAL = "!="
    AND = "and"
    OR = "or"
    NOT = "not"
    WHERE = "where"
    ABS = "abs"
    MIN = "min"
    MAX = "max"
    EXP = "exp"
    LOG = "log"
    SQRT = "sqrt"
    TANH = "tanh"
    SIGMOID = "sigmoid"
    FLOOR = "floor"


COMPARISONS = frozenset(
    {
        Operator.LESS,
        Operator.LESS_EQUAL,
        Operator.GREATER,
        Operator.GREATER_EQUAL,
        Operator.EQUAL,
        Operator.NOT_EQUAL,
    }
)
FUNCTIONS = {
    operator.value: operator
    for operator in (
        Operator.WHERE,
        Operator.ABS,
        Operator.MIN,
        Operator.MAX,
        Operator.EXP,
        Operator.LOG,
        Operator.SQRT,
        Operator.TANH,
        Operator.SIGMOID,
        Operator.FLOOR,
    )
}
# The built-in names: the score, and which batch entry, query head, query position and key position it is of.
NAMES = {
    "score": Kind.REAL,
    "b": Kind.INTEGER,
    "h": Kind.INTEGER,
    "q": Kind.INTEGER,
    "k": Kind.INTEGER,
}


def kind_of(value: Number) -> Kind:
    if isinstance(value, bool):
        return Kind.CONDITION
    return Kind.INTEGER if isinstance(value, int) else Kind.REAL


def _place() -> int:
    # Where in the text of the expression a node stands, for carets. Not part of its value.
    return field(default=0, compare=False, repr=False)


class _Exact:
    # Python calls 1, 1.0 and True equal, and 0.0 and -0.0: as expressions they are different values.
    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


@dataclass(frozen=True, eq=False)
class Literal(_Exact):
    """A number that stands in the expression: `2`, `0.5`, `True`."""

    value: Number
    column: int = _place()
    length: int = _place()

    @property
    def kind(self) -> Kind:
        return kind_of(self.value)


@dataclass(frozen=True, eq=False)
class Constant(_Exact):
    """An entry of [constants]; it keeps its name, so that generated code can be read."""

    name: str
    value: Number
    column: int = _place()
    length: int = _place()

    @property
    def kind(self) -> Kind:
        return kind_of(self.value)


@dataclass(frozen=True)
class Name:
    """One of the built-in `NAMES`."""

    name: str
    column: int = _place()
    length: int = _place()

    @property
    def kind(self) -> Kind:
        return NAMES[self.name]


@dataclass(frozen=True)
class Element:
    """One element of a run-time array: `slope[h]`. Each index is clamped to its axis."""

    array: str
    indices: tuple[Expr, ...]
    kind: Kind
    column: int = _place()
    length: int = _place()


@dataclass(frozen=True)
class Apply:
    """An operator with its operands."""

    operator: Operator
    arguments: tuple[Expr, ...]
    kind: Kind
    column: int = _place()
    length: int = _place()


Expr: TypeAlias = Literal | Constant | Name | Element | Apply


def children(expr: Expr) -> tuple[Expr, ...]:
    """The operands or indices of a node, from left to right."""
    match expr:
        case Literal() | Constant() | Name():
            return ()
        case Element(indices=indices):
            return indices
        case Apply(arguments=arguments):
            return arguments
        case _:
            assert_never(expr)


def walk(expr: Expr) -> Iterator[Expr]:
    """Every node, before its operands, and these from left to right."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def replace(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The tree with `change` applied to every node, from the leaves up."""
    match expr:
        case Literal() | Constant() | Name():
            return change(expr)
        case Element(indices=indices):
            return change(replace_fields(expr, indices=tuple(replace(index, change) for index in indices)))
        case Apply(arguments=arguments):
            changed = tuple(replace(argument, change) for argument in arguments)
            return change(replace_fields(expr, arguments=changed))
        case _:
            assert_never(expr)


def names(expr: Expr) -> tuple[str, ...]:
    """The built-in names that occur, in order of first use."""
    return tuple(dict.fromkeys(node.name for node in walk(expr) if isinstance(node, Name)))


def arrays(expr: Expr) -> tuple[str, ...]:
    """The arrays that are indexed, in order of first use."""
    return tuple(dict.fromkeys(node.array for node in walk(expr) if isinstance(node, Element)))


def constants(expr: Expr) -> tuple[Constant, ...]:
    """The named constants that occur, in order of first use."""
    return tuple(dict.fromkeys(node for node in walk(expr) if isinstance(node, Constant)))


# How tightly an operator holds its operands together, as in Python.
_STRENGTH = {
    Operator.OR: 1,
    Operator.AND: 2,
    Operator.NOT: 3,
    **dict.fromkeys(COMPARISONS, 4),
    Operator.ADD: 5,
    Operator.SUBTRACT: 5,
    Operator.MULTIPLY: 6,
    Operator.DIVIDE: 6,
    Operator.FLOOR_DIVIDE: 6,
    Operator.MODULO: 6,
    Operator.NEGATE: 7,
    Operator.POWER: 8,
}
_TIGHTEST = 9


def to_text(expr: Expr) -> str:
    """Write the expression with no more parentheses than it needs; parsing it gives an equal tree."""
    match expr:
        case Literal(value=value):
            return repr(value)
        case Constant(name=name) | Name(name=name):
            return name
        case Element(array=array, indices=indices):
            return f"{array}[{_listed(indices)}]"
        case Apply(operator=operator, arguments=arguments):
            if operator not in _STRENGTH:
                return f"{operator.value}({_listed(arguments)})"
            return _operation(operator, arguments)
        case _:
            assert_never(expr)


def _listed(parts: tuple[Expr, ...]) -> str:
    return ", ".join(to_text(part) for part in parts)


def _operation(operator: Operator, arguments: tuple[Expr, ...]) -> str:
    strength = _STRENGTH[operator]
    match operator:
        case Operator.NEGATE:
            return "-" + _held(arguments[0], strength)
        case Operator.NOT:
            return "not " + _held(arguments[0], strength)
        case Operator.AND | Operator.OR:  # a nested `and` is a node of its own, so it keeps its parentheses
            return f" {operator.value} ".join(_held(argument, strength + 1) for argument in arguments)
        case Operator.POWER:  # the one operator that groups from the right
            left, right = _held(arguments[0], strength + 1), _held(arguments[1], _STRENGTH[Operator.NEGATE])
        case _:
            chains = operator in COMPARISONS  # a < b < c would be read as a < b and b < c
            left, right = _held(arguments[0], strength + chains), _held(arguments[1], strength + 1)
    return f"{left} {operator.value} {right}"


def _held(expr: Expr, strength: int) -> str:
    text = to_text(expr)
    return text if _strength(expr) >= strength else f"({text})"


def _strength(expr: Expr) -> int:
    if isinstance(expr, Apply):
        return _STRENGTH.get(expr.operator, _TIGHTEST)
    if isinstance(expr, Literal) and repr(expr.value).startswith("-"):
        return _STRENGTH[Operator.NEGATE]
    return _TIGHTEST
