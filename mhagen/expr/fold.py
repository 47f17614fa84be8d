"""The value of an expression that depends on nothing but literals and constants, in Python's arithmetic."""

from __future__ import annotations

import math
import operator as python
from collections.abc import Callable, Mapping
from typing import Any

from .tree import INTEGER_LIMIT, REAL_LIMIT, Apply, Constant, Expr, Kind, Literal, Number, Operator

_RULES: Mapping[Operator, Callable[..., Any]] = {
    Operator.NEGATE: python.neg,
    Operator.ADD: python.add,
    Operator.SUBTRACT: python.sub,
    Operator.MULTIPLY: python.mul,
    Operator.DIVIDE: python.truediv,
    Operator.FLOOR_DIVIDE: python.floordiv,
    Operator.MODULO: python.mod,
    Operator.POWER: python.pow,
    Operator.LESS: python.lt,
    Operator.LESS_EQUAL: python.le,
    Operator.GREATER: python.gt,
    Operator.GREATER_EQUAL: python.ge,
    Operator.EQUAL: python.eq,
    Operator.NOT_EQUAL: python.ne,
    Operator.AND: lambda *operands: all(operands),
    Operator.OR: lambda *operands: any(operands),
    Operator.NOT: python.not_,
    Operator.WHERE: lambda condition, if_true, if_false: if_true if condition else if_false,
    Operator.ABS: abs,
    Operator.MIN: min,
    Operator.MAX: max,
    Operator.EXP: math.exp,
    Operator.LOG: math.log,
    Operator.SQRT: math.sqrt,
    Operator.TANH: math.tanh,
    Operator.SIGMOID: lambda x: 1.0 / (1.0 + math.exp(-x)),
    Operator.FLOOR: lambda x: math.copysign(math.floor(x), x),  # keeps the sign of -0.0
}


def known_value(expr: Expr) -> Number | None:
    """The value if no name and no array takes part and it can be written as a literal; None otherwise."""
    match expr:
        case Literal(value=value) | Constant(value=value):
            return value
        case Apply():
            operands = [known_value(argument) for argument in expr.arguments]
            return None if any(operand is None for operand in operands) else _compute(expr, operands)
        case _:
            return None


def _compute(expr: Apply, operands: list[Number | None]) -> Number | None:
    if expr.kind is Kind.REAL and expr.operator is not Operator.WHERE:
        operands = [None if operand is None else float(operand) for operand in operands]
    try:
        value = _RULES[expr.operator](*operands)
    except (
        ArithmeticError,
        ValueError,
    ):  # a division by 0, the log of 0, an exp that overflows: left to run time
        return None
    match expr.kind:
        case Kind.CONDITION:
            return bool(value)
        case Kind.INTEGER:
            return int(value) if abs(value) <= INTEGER_LIMIT else None
        case Kind.REAL:
            return float(value) if _is_writable(value, expr.operator) else None


def _is_writable(value: complex, operator: Operator) -> bool:
    if operator in (Operator.MIN, Operator.MAX) and value == 0:
        return False  # of 0.0 and -0.0, NumPy and Python take different ones
    return not isinstance(value, complex) and abs(value) <= REAL_LIMIT  # NaN is not
