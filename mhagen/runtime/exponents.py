"""Exponents of real lanes: split off, rounded to and scaled by, the same way for float32 and float64."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from ..base.target import Target
from .registers import F64, I8, I16, I32, I64, call, constant, floats, integers, lanewise

LOG2_E = 1.4426950408889634


@dataclass(frozen=True)
class Precision:
    """A format of IEEE 754, by what exponents and logarithms need to know of it."""

    integer: ir.IntType
    mantissa_bits: int
    bias: int
    sqrt_half_bits: int
    ln_2_high: float  # ln 2 in two parts: n * ln_2_high is exact for every exponent n
    ln_2_low: float

    @property
    def mantissa_mask(self) -> int:
        return (1 << self.mantissa_bits) - 1

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)


SINGLE = Precision(
    integer=I32,
    mantissa_bits=23,
    bias=127,
    sqrt_half_bits=0x3F3504F3,
    ln_2_high=0.693359375,
    ln_2_low=-2.12194440e-4,
)
DOUBLE = Precision(
    integer=I64,
    mantissa_bits=52,
    bias=1023,
    sqrt_half_bits=0x3FE6A09E667F3BCD,
    ln_2_high=0.6931471803691238,
    ln_2_low=1.9082149292705877e-10,
)


def precision_of(x: ir.Value) -> Precision:
    return DOUBLE if x.type.element == F64 else SINGLE


def scalef(builder: ir.IRBuilder, x: ir.Value, power: ir.Value) -> ir.Value:
    """x * 2**power, in one instruction of AVX-512."""
    letters, bits = ("pd", I8) if x.type.element == F64 else ("ps", I16)
    every, rounding = ir.Constant(bits, -1), ir.Constant(I32, 4)
    arguments = [x, power, constant(x.type, 0.0), every, rounding]
    return call(builder, f"llvm.x86.avx512.mask.scalef.{letters}.512", x.type, arguments)


def scale_by_power(builder: ir.IRBuilder, x: ir.Value, whole: ir.Value, target: Target) -> ir.Value:
    """x * 2**whole for whole numbers of magnitude below twice the bias."""
    if target.scales_by_exponent:
        return scalef(builder, x, whole)
    # Two steps of half the exponent, so that 2**-200 underflows and 2**200 overflows by themselves.
    power = builder.fptosi(whole, ir.VectorType(I32, x.type.count))
    half = builder.ashr(power, constant(power.type, 1))
    first, second = (two_to_the(builder, part, x.type) for part in (half, builder.sub(power, half)))
    return builder.fmul(builder.fmul(x, first), second)


def power_of_two(builder: ir.IRBuilder, whole: ir.Value, target: Target) -> ir.Value:
    """2**whole for whole numbers, as lanes of reals, whose result is a normal number."""
    if target.scales_by_exponent:
        return scalef(builder, constant(whole.type, 1.0), whole)
    integer = ir.VectorType(I32, whole.type.count)
    return two_to_the(builder, builder.fptosi(whole, integer), whole.type)


def two_to_the(builder: ir.IRBuilder, power: ir.Value, kind: ir.VectorType) -> ir.Value:
    """2**power as lanes of that kind, for int32 powers of normal numbers."""
    precision = DOUBLE if kind.element == F64 else SINGLE
    biased = builder.add(power, constant(power.type, precision.bias))
    biased = builder.sext(biased, ir.VectorType(precision.integer, kind.count))
    return floats(builder, builder.shl(biased, constant(biased.type, precision.mantissa_bits)))


def without_powers(builder: ir.IRBuilder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """n and r with x = n ln 2 + r and |r| <= ln(2) / 2: ln 2 in two parts, so that large x lose no digits."""
    precision = precision_of(x)
    whole = lanewise(builder, "rint", builder.fmul(x, constant(x.type, LOG2_E)))
    rest = lanewise(builder, "fma", whole, constant(x.type, -precision.ln_2_high), x)
    return whole, lanewise(builder, "fma", whole, constant(x.type, -precision.ln_2_low), rest)


def split(builder: ir.IRBuilder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """m in [sqrt(1/2), sqrt(2)) and n with x = m * 2**n, for finite x > 0."""
    precision = precision_of(x)
    kind, lift = ir.VectorType(precision.integer, x.type.count), precision.mantissa_bits + 2
    tiny = builder.fcmp_ordered("<", x, constant(x.type, precision.smallest_normal))
    normal = builder.select(tiny, builder.fmul(x, constant(x.type, 2.0**lift)), x)
    # Taking off the bits of sqrt(1/2) rounds the exponent.
    sqrt_half = constant(kind, precision.sqrt_half_bits)
    bits = builder.sub(integers(builder, normal), sqrt_half)
    mantissa = builder.add(builder.and_(bits, constant(kind, precision.mantissa_mask)), sqrt_half)
    exponent = builder.ashr(bits, constant(kind, precision.mantissa_bits))
    # It fits int32, from which every target converts in one instruction.
    exponent = builder.sitofp(builder.trunc(exponent, ir.VectorType(I32, x.type.count)), x.type)
    exponent = builder.select(tiny, builder.fsub(exponent, constant(x.type, float(lift))), exponent)
    return floats(builder, mantissa), exponent
