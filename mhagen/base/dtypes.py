"""The number formats that specs, the IR and kernels speak of."""

from __future__ import annotations

from enum import Enum
from typing import assert_never


class Kind(Enum):
    """What a number is to an expression: exact, rounded, or true and false."""

    INTEGER = "integer"
    REAL = "real"
    CONDITION = "condition"


class DType(Enum):
    """A number format; the value is its name in specs and in NumPy."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT32 = "int32"
    INT64 = "int64"
    BOOL = "bool"

    @property
    def bytes(self) -> int:
        return _BYTES[self]

    @property
    def kind(self) -> Kind:
        match self:
            case DType.FLOAT32 | DType.FLOAT64 | DType.BFLOAT16 | DType.FLOAT16:
                return Kind.REAL
            case DType.INT32 | DType.INT64:
                return Kind.INTEGER
            case DType.BOOL:
                return Kind.CONDITION
            case _:
                assert_never(self)


_BYTES = {
    DType.FLOAT32: 4,
    DType.FLOAT64: 8,
    DType.BFLOAT16: 2,
    DType.FLOAT16: 2,
    DType.INT32: 4,
    DType.INT64: 8,
    DType.BOOL: 1,
}
