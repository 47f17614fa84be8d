"""What a word of simd means to a machine: the code it emits, and the types that it takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from llvmlite import ir
from numba.core import types

from .target import Target
from .registers import F32, F64, I32


class Slot(Enum):
    """Types of a signature that depend on the kernel: vectors, or the operands' joined type."""

    REAL = "real"
    INT32 = "int32"
    INT64 = "int64"
    MASK = "mask"
    SHARED = "shared"
    NUMBER = "number"  # one real number, the same in all lanes


REAL, INT32, INT64, MASK, SHARED, NUMBER = Slot
ADDRESS = types.intp
Kind = Slot | types.Type


@dataclass(frozen=True)
class Machine:
    """Where an operation is emitted: the builder, the target it builds for, and what it computes in."""

    builder: ir.IRBuilder
    target: Target
    computed: str  # float32 or float64

    @property
    def real(self) -> ir.Type:
        return F64 if self.computed == "float64" else F32

    @property
    def lanes(self) -> int:
        return self.target.lanes_of(self.computed)

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(self.real, self.lanes)

    @property
    def whole(self) -> ir.VectorType:
        return ir.VectorType(I32, self.lanes)


@dataclass(frozen=True)
class Meaning:
    """What a word lowers to: `emit(machine, *values)`, with this signature."""

    emit: Callable[..., ir.Value | None]
    result: Kind
    parameters: tuple[Kind, ...]


def meaning(result: Kind, *parameters: Kind) -> Callable[[Callable[..., ir.Value | None]], Meaning]:
    """Make the function below the meaning of the word that has its name."""
    return lambda emit: Meaning(emit, result, parameters)
