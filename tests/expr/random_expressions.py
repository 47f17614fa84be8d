"""Random expressions of every operator, and arrays and positions to evaluate them at."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from mhagen.base.dtypes import DType
from mhagen.expr.kinds import applied
from mhagen.expr.parse import ArrayType
from mhagen.expr.tree import Constant, Element, Expr, Kind, Literal, Name, Number, Operator, replace

CONSTANTS: dict[str, Number] = {"cap": 30.0, "window": 256, "causal": True}
ARRAYS = {
    "slope": ArrayType(DType.FLOAT32, 1),
    "segment": ArrayType(DType.INT32, 2),
    "visible": ArrayType(DType.BOOL, 2),
}
POINTS = 24

_LEAVES: dict[Kind, list[Expr]] = {
    Kind.INTEGER: [
        Name("b"),
        Name("h"),
        Name("q"),
        Name("k"),
        Constant("window", 256),
        Literal(0),
        Literal(1),
    ],
    Kind.REAL: [
        Name("score"),
        Constant("cap", 30.0),
        Literal(0.0),
        Literal(-0.0),
        Literal(1.0),
        Literal(0.5),
    ],
    Kind.CONDITION: [Literal(True), Literal(False), Constant("causal", True)],
}
Numbers = dict[Kind, st.SearchStrategy[Number]]
_NUMBERS: Numbers = {
    Kind.INTEGER: st.one_of(st.integers(-9, 9), st.integers(-(2**31) + 1, 2**31 - 1)),
    Kind.REAL: st.floats(width=32, allow_infinity=False, allow_nan=False),
    Kind.CONDITION: st.booleans(),
}
# Numbers near those that positions have in tests, so that conditions hold for some of them.
_NEAR: Numbers = {
    **_NUMBERS,
    Kind.INTEGER: st.one_of(st.integers(-9, 9), st.sampled_from([16, 32, 64])),
    Kind.REAL: st.floats(-9, 9, width=32),
}
_OPERATORS = {
    Kind.INTEGER: "ADD SUBTRACT MULTIPLY FLOOR_DIVIDE MODULO POWER MIN MAX NEGATE ABS FLOOR WHERE",
    Kind.REAL: "ADD SUBTRACT MULTIPLY DIVIDE FLOOR_DIVIDE MODULO MIN MAX NEGATE ABS FLOOR SQRT WHERE",
    Kind.CONDITION: "LESS LESS_EQUAL GREATER GREATER_EQUAL EQUAL NOT_EQUAL AND OR NOT WHERE",
}
_CALLS = "EXP LOG TANH SIGMOID POWER"
_SINGLE = frozenset(
    Operator[name] for name in ("NEGATE", "ABS", "FLOOR", "SQRT", "EXP", "LOG", "TANH", "SIGMOID", "NOT")
)
_MANY = {Operator.MIN, Operator.MAX, Operator.AND, Operator.OR}


class _Maker:
    """Draws one expression, node by node."""

    def __init__(self, draw: st.DrawFn, calls: bool, numbers: Numbers = _NUMBERS) -> None:
        self.draw = draw
        self.calls = calls
        self.numbers = numbers

    def make(self, kind: Kind, depth: int) -> Expr:
        choice = self.draw(st.integers(0, 9)) if depth else self.draw(st.integers(0, 1))
        if choice == 0:
            return Literal(self.draw(self.numbers[kind]))
        if choice == 1:
            return self.draw(st.sampled_from(_LEAVES[kind]))
        if choice == 2:
            return self.element(kind, depth - 1)
        names = _OPERATORS[kind] + (f" {_CALLS}" if self.calls and kind is Kind.REAL else "")
        return self.apply(kind, Operator[self.draw(st.sampled_from(names.split()))], depth - 1)

    def element(self, kind: Kind, depth: int) -> Expr:
        name = {Kind.INTEGER: "segment", Kind.REAL: "slope", Kind.CONDITION: "visible"}[kind]
        indices = tuple(self.make(Kind.INTEGER, depth) for _ in range(ARRAYS[name].rank))
        return Element(name, indices, kind)

    def apply(self, kind: Kind, operator: Operator, depth: int) -> Expr:
        if operator is Operator.WHERE:
            return applied(operator, self.make(Kind.CONDITION, depth), *self.alike(kind, depth))
        if operator in _SINGLE:
            operand = self.make(kind, depth)
            return negated(operand) if operator is Operator.NEGATE else applied(operator, operand)
        if operator is Operator.POWER and kind is Kind.INTEGER:
            exponent = Literal(self.draw(st.sampled_from([0, 1, 2, 3, 70])))
            return applied(operator, self.make(kind, depth), exponent)
        if kind is Kind.CONDITION and operator not in _MANY:
            kind = self.draw(st.sampled_from([Kind.INTEGER, Kind.INTEGER, Kind.REAL]))
        operands = self.alike(kind, depth)
        if operator in _MANY and self.draw(st.booleans()):
            operands += (self.make(kind, depth),)
        return applied(operator, *operands)

    def alike(self, kind: Kind, depth: int) -> tuple[Expr, ...]:
        """Two operands whose kinds join to this one."""
        other = self.draw(st.sampled_from([Kind.INTEGER, kind])) if kind is Kind.REAL else kind
        pair = (self.make(kind, depth), self.make(other, depth))
        return pair if self.draw(st.booleans()) else pair[::-1]


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3, calls: bool = True, kind: Kind | None = None) -> Expr:
    """Expressions of a kind, or any; without calls, only of operators whose result is rounded in one way."""
    return _Maker(draw, calls).make(kind or draw(st.sampled_from(list(Kind))), depth)


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> Expr:
    """Conditions on positions, as masks are: they read no scores."""
    made = _Maker(draw, True, _NEAR).make(Kind.CONDITION, depth)
    return replace(made, lambda node: Literal(0.5) if node == Name("score") else node)


def negated(expr: Expr) -> Expr:
    # As the parser reads it: the minus of a plain number is part of the literal.
    if isinstance(expr, Literal) and not repr(expr.value).startswith("-"):
        return Literal(-expr.value)
    return applied(Operator.NEGATE, expr)


Data = tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.generic]]]
_ODD_SCORES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1e-45, -3e38], np.float32)


@st.composite
def points(draw: st.DrawFn) -> Data:
    """Positions and scores to evaluate at, and arrays: sometimes small and tame, sometimes anything."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = draw(st.sampled_from([3, 100, 2**31 - 1]))
    names: dict[str, NDArray[np.generic]] = {
        name: generator.integers(0, reach, POINTS, dtype=np.int64) for name in ("b", "h", "k")
    }
    names["q"] = generator.integers(-reach, reach, POINTS, dtype=np.int64)
    scores = generator.normal(0, draw(st.sampled_from([1.0, 1e6])), POINTS).astype(np.float32)
    if draw(st.booleans()):
        scores[: len(_ODD_SCORES)] = _ODD_SCORES
    names["score"] = scores
    arrays: dict[str, NDArray[np.generic]] = {
        "slope": generator.normal(size=5).astype(np.float32),
        "segment": generator.integers(-reach, reach, (2, 7), dtype=np.int32),
        "visible": generator.integers(0, 2, (3, 4)).astype(np.bool_),
    }
    return names, arrays
