"""The expressions of a spec as functions of PyTorch, for its compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, assert_never

import torch

from ..expr.tree import Apply, Constant, Element, Expr, Kind, Literal, Name, Operator

DTYPES = {Kind.REAL: torch.float32, Kind.INTEGER: torch.int64, Kind.CONDITION: torch.bool}

RULES: Mapping[Operator, Callable[..., Any]] = {
    Operator.NEGATE: torch.neg,
    Operator.ADD: lambda a, b: a + b,
    Operator.SUBTRACT: lambda a, b: a - b,
    Operator.MULTIPLY: lambda a, b: a * b,
    Operator.DIVIDE: lambda a, b: a / b,
    Operator.FLOOR_DIVIDE: lambda a, b: a // b,
    Operator.MODULO: lambda a, b: a % b,
    Operator.POWER: lambda a, b: a**b,
    Operator.LESS: lambda a, b: a < b,
    Operator.LESS_EQUAL: lambda a, b: a <= b,
    Operator.GREATER: lambda a, b: a > b,
    Operator.GREATER_EQUAL: lambda a, b: a >= b,
    Operator.EQUAL: lambda a, b: a == b,
    Operator.NOT_EQUAL: lambda a, b: a != b,
    Operator.AND: lambda *each: reduce(lambda a, b: a & b, each),
    Operator.OR: lambda *each: reduce(lambda a, b: a | b, each),
    Operator.NOT: torch.logical_not,
    Operator.WHERE: torch.where,
    Operator.ABS: torch.abs,
    Operator.MIN: lambda *each: reduce(torch.minimum, each),
    Operator.MAX: lambda *each: reduce(torch.maximum, each),
    Operator.EXP: torch.exp,
    Operator.LOG: torch.log,
    Operator.SQRT: torch.sqrt,
    Operator.TANH: torch.tanh,
    Operator.SIGMOID: torch.sigmoid,
    Operator.FLOOR: torch.floor,
}


def value_of(expr: Expr, names: Mapping[str, Any], arrays: Mapping[str, torch.Tensor]) -> Any:
    """The value for scalar tensors `score`, `b`, `h`, `q` and `k`.

    Numbers  indices are not clamped: they must lie within the arrays
    """
    match expr:
        case Literal(value=value) | Constant(value=value):
            return value
        case Name(name=name):
            return names[name]
        case Element(array=array, indices=indices):
            return arrays[array][tuple(value_of(index, names, arrays) for index in indices)]
        case Apply(operator=operator, arguments=arguments):
            return RULES[operator](*operands(operator, arguments, names, arrays))
        case _:
            assert_never(expr)


def operands(
    operator: Operator,
    arguments: tuple[Expr, ...],
    names: Mapping[str, Any],
    arrays: Mapping[str, torch.Tensor],
) -> list[Any]:
    """Operators of Python take numbers beside tensors; functions of PyTorch take tensors only."""
    values = [value_of(each, names, arrays) for each in arguments]
    if RULES[operator].__name__ == "<lambda>" and operator not in (Operator.MIN, Operator.MAX):
        return values
    pairs = zip(values, arguments, strict=True)
    return [
        value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=DTYPES[each.kind])
        for value, each in pairs
    ]
