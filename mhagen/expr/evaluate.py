"""What an expression means: its value for given names and arrays, in reals and int64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeAlias, assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .tree import Apply, Constant, Element, Expr, Kind, Literal, Name, Operator

Array: TypeAlias = NDArray[Any]

_EXACT = {Kind.INTEGER: np.int64, Kind.CONDITION: np.bool_}


def evaluate(
    expr: Expr,
    names: Mapping[str, ArrayLike],
    arrays: Mapping[str, Array],
    real: type[np.floating[Any]] = np.float64,
) -> Array:
    """The value, with names broadcast against each other.

    Numbers  int64 wraps around, // and % floor; reals, float64 or what `real` says, follow IEEE 754 without
             complaint; min and max of a NaN are NaN. An index outside an axis is clamped to it, and an empty
             axis reads as 0.
    """
    with np.errstate(all="ignore"):
        return _evaluate(expr, names, arrays, {**_EXACT, Kind.REAL: real})


def _evaluate(
    expr: Expr, names: Mapping[str, ArrayLike], arrays: Mapping[str, Array], dtypes: Mapping[Kind, type]
) -> Array:
    match expr:
        case Literal(value=value) | Constant(value=value):
            return np.asarray(value, dtypes[expr.kind])
        case Name(name=name):
            return np.asarray(names[name], dtypes[expr.kind])
        case Element(array=array, indices=indices):
            positions = [_evaluate(index, names, arrays, dtypes) for index in indices]
            return _gather(np.asarray(arrays[array], dtypes[expr.kind]), positions)
        case Apply(operator=operator, arguments=arguments):
            operands = [_evaluate(argument, names, arrays, dtypes) for argument in arguments]
            if expr.kind is Kind.REAL and operator is not Operator.WHERE:
                operands = [operand.astype(dtypes[Kind.REAL], copy=False) for operand in operands]
            return np.asarray(_RULES[operator](*operands), dtypes[expr.kind])
        case _:
            assert_never(expr)


def _gather(array: Array, indices: list[Array]) -> Array:
    if array.size == 0:
        return np.zeros(np.broadcast_shapes(*(index.shape for index in indices)), array.dtype)
    clamped = (np.clip(index, 0, length - 1) for index, length in zip(indices, array.shape, strict=True))
    return np.asarray(array[tuple(clamped)])


def _sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


_RULES: Mapping[Operator, Callable[..., Any]] = {
    Operator.NEGATE: np.negative,
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: np.true_divide,
    Operator.FLOOR_DIVIDE: np.floor_divide,
    Operator.MODULO: np.remainder,
    Operator.POWER: np.power,
    Operator.LESS: np.less,
    Operator.LESS_EQUAL: np.less_equal,
    Operator.GREATER: np.greater,
    Operator.GREATER_EQUAL: np.greater_equal,
    Operator.EQUAL: np.equal,
    Operator.NOT_EQUAL: np.not_equal,
    Operator.AND: lambda *operands: reduce(np.logical_and, operands),
    Operator.OR: lambda *operands: reduce(np.logical_or, operands),
    Operator.NOT: np.logical_not,
    Operator.WHERE: np.where,
    Operator.ABS: np.absolute,
    Operator.MIN: lambda *operands: reduce(np.minimum, operands),
    Operator.MAX: lambda *operands: reduce(np.maximum, operands),
    Operator.EXP: np.exp,
    Operator.LOG: np.log,
    Operator.SQRT: np.sqrt,
    Operator.TANH: np.tanh,
    Operator.SIGMOID: _sigmoid,
    Operator.FLOOR: np.floor,
}
