"""PTX for what expressions of a spec say of reals."""

from __future__ import annotations

import numpy as np

from .ptx_instruction import F32, F64, U64, Effect, Memory, instruction
from .ptx_memory import one

PURE = Effect.NONE


@instruction("min.NaN.f32 $0, $1, $2;", PURE)
def minimum_or_nan(x: F32, y: F32) -> F32:
    """The less; NaN if one is."""
    return np.minimum(x, y)


@instruction("div.full.f32 $0, $1, $2;", PURE)
def divide(x: F32, y: F32) -> F32:
    """To 2 ulp."""
    with np.errstate(all="ignore"):
        return x / y


@instruction("sqrt.rn.f32 $0, $1;", PURE)
def square_root(x: F32) -> F32:
    with np.errstate(invalid="ignore"):
        return np.sqrt(x)


@instruction("cvt.rmi.f32.f32 $0, $1;", PURE)
def round_down(x: F32) -> F32:
    """The greatest whole number that is not above x."""
    return np.floor(x)


@instruction("cvt.rn.f32.f64 $0, $1;", PURE)
def to_f32(x: F64) -> F32:
    with np.errstate(over="ignore"):
        return x.astype(np.float32)


@instruction("ld.global.f64 $0, [$1];")
def ld_global_f64(memory: Memory, address: U64) -> F64:
    return one(memory, address, np.float64)
