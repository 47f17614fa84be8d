"""The functions of expressions, for Python functions that are traced: `mhagen.where` and the others."""

from __future__ import annotations

from .traced import Traced, apply
from .tree import Operator


def where(condition: object, x: object, y: object) -> Traced:
    """`x` where the condition holds, else `y`."""
    return apply(Operator.WHERE, condition, x, y)


def exp(x: object) -> Traced:
    """e to the power of x."""
    return apply(Operator.EXP, x)


def log(x: object) -> Traced:
    """The natural logarithm."""
    return apply(Operator.LOG, x)


def tanh(x: object) -> Traced:
    """The hyperbolic tangent."""
    return apply(Operator.TANH, x)


def sigmoid(x: object) -> Traced:
    """1 / (1 + exp(-x))."""
    return apply(Operator.SIGMOID, x)


def sqrt(x: object) -> Traced:
    """The square root."""
    return apply(Operator.SQRT, x)


def floor(x: object) -> Traced:
    """The greatest whole number that is not above x: of a real, a real."""
    return apply(Operator.FLOOR, x)


def abs(x: object) -> Traced:
    """The magnitude."""
    return apply(Operator.ABS, x)


def minimum(x: object, y: object, *more: object) -> Traced:
    """The least of these numbers."""
    return apply(Operator.MIN, x, y, *more)


def maximum(x: object, y: object, *more: object) -> Traced:
    """The greatest of these numbers."""
    return apply(Operator.MAX, x, y, *more)
