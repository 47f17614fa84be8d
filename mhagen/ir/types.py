"""Tensor types: an element type and a shape whose axes are numbers or named lengths."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ..base.dtypes import DType

Dimension: TypeAlias = int | str

SHORT_NAMES = {
    DType.FLOAT32: "f32",
    DType.FLOAT64: "f64",
    DType.BFLOAT16: "bf16",
    DType.FLOAT16: "f16",
    DType.INT32: "i32",
    DType.INT64: "i64",
    DType.BOOL: "bool",
}


class Base(Enum):
    """The number whose powers a softmax takes: exp2 costs less than exp, so passes move to TWO."""

    E = "e"
    TWO = "2"


@dataclass(frozen=True)
class TensorType:
    """An element type and a shape.

    Shapes   an axis is an int (decided by the spec) or a name (a length known when the kernel runs);
             axes of one name have one length throughout a graph.
    """

    dtype: DType
    shape: tuple[Dimension, ...]

    def __str__(self) -> str:
        axes = ", ".join(str(dimension) for dimension in self.shape)
        return f"{SHORT_NAMES[self.dtype]}[{axes}]"


class TypeRuleError(ValueError):
    """Operand types that break an operation's shape rule; the verifier adds where it happened."""


def axes(tensor: TensorType, count: int, name: str) -> tuple[Dimension, ...]:
    """The shape of an operand that must have `count` axes. Raises TypeRuleError otherwise."""
    if len(tensor.shape) != count:
        raise TypeRuleError(f"{name} is {tensor} and needs {count} axes")
    return tensor.shape


def whole(dimension: Dimension, name: str) -> int:
    """A dimension that the spec decides. Raises TypeRuleError for a run-time length."""
    if isinstance(dimension, str):
        raise TypeRuleError(f"{name} is the run-time length {dimension!r} and needs to be a number")
    return dimension


def same(left: Dimension, right: Dimension, what: str) -> None:
    """Raises TypeRuleError when two axes that must agree differ."""
    if left != right:
        raise TypeRuleError(f"{what}: {left} and {right} differ")
