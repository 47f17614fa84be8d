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


@instruction("div.rn.f32 $0, $1, $2;", PURE)
def divide_exactly(x: F32, y: F32) -> F32:
    """Rounded to the nearest number."""
    with np.errstate(all="ignore"):
        return x / y


# Long division as in `divisions`: as long as what is left is not below the divisor, it loses the product of
# its leading 20 bits and the divisor times a power of two, exactly. A quotient that overflows is found in two
# parts. A loop of the compiler's would keep it from unrolling those of tiles around it.
REMAINDER = (
    "{ .reg .f32 left, divisor, scaled, digit, far; .reg .pred p; "
    "abs.f32 left, $1; abs.f32 divisor, $2; "
    "setp.lt.f32 p, left, 0f7F800000; setp.gt.and.f32 p, divisor, 0f00000000, p; "
    "@!p mov.f32 left, 0f7FFFFFFF; "
    "again: setp.ge.f32 p, left, divisor; @!p bra done; "
    "div.rn.f32 digit, left, divisor; mov.f32 scaled, divisor; "
    "setp.lt.f32 p, digit, 0f49800000; @p bra take; "  # 2**20
    "setp.lt.f32 p, digit, 0f7F800000; @!p bra overflows; "
    "and.b32 digit, digit, 0xFF800000; mul.rn.f32 digit, digit, 0f35800000; "  # 2**-20
    "mul.rn.f32 scaled, divisor, digit; bra take; "
    "overflows: mul.rn.f32 digit, left, 0f0D800000; mul.rn.f32 far, divisor, 0f58800000; "  # 2**-100, 2**50
    "div.rn.f32 digit, digit, far; and.b32 digit, digit, 0xFF800000; "
    "mul.rn.f32 scaled, divisor, 0f60000000; mul.rn.f32 scaled, scaled, digit; "  # 2**65
    "mul.rn.f32 scaled, scaled, 0f60000000; "
    "take: div.rn.f32 digit, left, scaled; cvt.rzi.f32.f32 digit, digit; neg.f32 digit, digit; "
    "fma.rn.f32 left, digit, scaled, left; setp.lt.f32 p, left, 0f00000000; "
    "@p add.rn.f32 left, left, scaled; bra again; "
    "done: copysign.f32 $0, $1, left; }"
)


@instruction(REMAINDER, PURE)
def remainder(x: F32, y: F32) -> F32:
    """x less the multiple of y that is nearest to it on the side of 0, exactly: C's fmod."""
    with np.errstate(all="ignore"):
        return np.fmod(x, y)


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
