"""Floor division of vectors in registers: quotients and remainders of integers and of reals."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from .exponents import DOUBLE, SINGLE, precision_of
from .registers import constant, floats, integers, lanewise

# A quotient below 2**STEP_BITS is found exactly but for one: that, and the product with it, fit a mantissa.
STEP_BITS = 20


@dataclass(frozen=True)
class Far:
    """How far a dividend is scaled down and a divisor up, where their quotient overflows, to lose nothing."""

    down: int
    up: int


FAR = {SINGLE: Far(down=100, up=50), DOUBLE: Far(down=900, up=250)}


def emit_floor_division(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Quotient and remainder as Python's: the remainder has the divisor's sign.

    Numbers   x // 0 = x, x % 0 = 0, the least integer // -1 is itself: the instruction would end the process
    """
    zero, one = constant(x.type, 0), constant(x.type, 1)
    faults = builder.icmp_unsigned("<=", builder.add(y, one), one)  # y is -1 or 0
    negate = builder.icmp_signed("==", y, constant(x.type, -1))
    x = builder.select(negate, builder.neg(x), x)
    y = builder.select(faults, one, y)
    quotient, remainder = builder.sdiv(x, y), builder.srem(x, y)
    signs_differ = builder.icmp_signed("<", builder.xor(remainder, y), zero)
    off = builder.and_(signs_differ, builder.icmp_signed("!=", remainder, zero))
    quotient = builder.sub(quotient, builder.zext(off, x.type))
    return quotient, builder.add(remainder, builder.select(off, y, zero))


def emit_real_floor_division(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Quotient and remainder as NumPy's: the remainder has the divisor's sign.

    Numbers   the remainder is exact, but for one rounding where x and y differ in sign; x // 0 = x / 0,
              x % 0 and inf % y are NaN, x % inf is x or inf
    """
    zero, one = constant(x.type, 0.0), constant(x.type, 1.0)
    rest = emit_truncated_remainder(builder, x, y)
    signs_differ = builder.fcmp_unordered("!=", lanewise(builder, "copysign", one, rest), sign(builder, y))
    is_off = builder.and_(signs_differ, builder.fcmp_unordered("!=", rest, zero))
    remainder = builder.select(is_off, builder.fadd(rest, y), rest)
    remainder = builder.select(
        builder.fcmp_ordered("==", rest, zero), lanewise(builder, "copysign", zero, y), remainder
    )
    whole = builder.fdiv(builder.fsub(x, rest), y)
    whole = builder.select(is_off, builder.fsub(whole, one), whole)
    floored = lanewise(builder, "floor", whole)
    is_short = builder.fcmp_ordered(">", builder.fsub(whole, floored), constant(x.type, 0.5))
    floored = builder.select(is_short, builder.fadd(floored, one), floored)
    plain = builder.fdiv(x, y)
    is_zero = builder.fcmp_ordered("==", whole, zero)
    floored = builder.select(is_zero, lanewise(builder, "copysign", zero, plain), floored)
    return builder.select(builder.fcmp_ordered("==", y, zero), plain, floored), remainder


def sign(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    return lanewise(builder, "copysign", constant(x.type, 1.0), x)


def emit_truncated_remainder(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """x - y * trunc(x / y), exactly: C's fmod.

    Long division by digits of STEP_BITS bits: as long as a lane is not below its divisor, it loses the
    product of its leading digit and the divisor times a power of two. Most lanes need one step or none.
    """
    size = lanewise(builder, "fabs", x)
    divisor = lanewise(builder, "fabs", y)
    infinity = constant(x.type, float("inf"))
    is_defined = builder.and_(
        builder.fcmp_ordered("<", size, infinity), builder.fcmp_ordered(">", divisor, constant(x.type, 0.0))
    )
    before = builder.block
    head, body, behind = (
        builder.append_basic_block(f"remainder.{name}") for name in ("head", "body", "behind")
    )
    builder.branch(head)
    builder.position_at_end(head)
    left = builder.phi(x.type)
    left.add_incoming(size, before)
    goes_on = builder.and_(is_defined, builder.fcmp_ordered(">=", left, divisor))
    lanes = ir.IntType(x.type.count)
    any_lane = builder.icmp_unsigned("!=", builder.bitcast(goes_on, lanes), ir.Constant(lanes, 0))
    builder.cbranch(any_lane, body, behind)
    builder.position_at_end(body)
    less = builder.select(goes_on, without_leading_digit(builder, left, divisor), left)
    left.add_incoming(less, builder.block)
    builder.branch(head)
    builder.position_at_end(behind)
    return builder.select(is_defined, lanewise(builder, "copysign", left, x), constant(x.type, float("nan")))


def without_leading_digit(builder: ir.IRBuilder, left: ir.Value, divisor: ir.Value) -> ir.Value:
    """left, which is not below the divisor, minus a multiple of it: both are positive, so is what is left."""
    scaled = divisor_of_leading_digit(builder, left, divisor)
    digit = lanewise(builder, "trunc", builder.fdiv(left, scaled))
    rest = lanewise(builder, "fma", builder.fneg(digit), scaled, left)
    # The quotient may have been rounded up to the next integer.
    off = builder.fcmp_ordered("<", rest, constant(left.type, 0.0))
    return builder.select(off, builder.fadd(rest, scaled), rest)


def divisor_of_leading_digit(builder: ir.IRBuilder, left: ir.Value, divisor: ir.Value) -> ir.Value:
    """The divisor times a power of two, such that the quotient has at most STEP_BITS + 1 bits."""
    quotient = builder.fdiv(left, divisor)
    is_long = builder.fcmp_ordered(">=", quotient, constant(left.type, 2.0**STEP_BITS))
    power = builder.fmul(power_of_exponent(builder, quotient), constant(left.type, 2.0**-STEP_BITS))
    scaled = builder.select(is_long, builder.fmul(divisor, power), divisor)
    # A quotient that overflows is found in two parts, and the divisor multiplied in three, all of them exact.
    far = FAR[precision_of(left)]
    near = builder.fdiv(
        builder.fmul(left, constant(left.type, 2.0**-far.down)),
        builder.fmul(divisor, constant(left.type, 2.0**far.up)),
    )
    half = constant(left.type, 2.0 ** ((far.down + far.up - STEP_BITS) // 2))
    lifted = builder.fmul(builder.fmul(builder.fmul(divisor, half), power_of_exponent(builder, near)), half)
    overflows = builder.fcmp_ordered("==", quotient, constant(left.type, float("inf")))
    return builder.select(overflows, lifted, scaled)


def power_of_exponent(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The greatest power of two that a positive x is not below."""
    bits = integers(builder, x)
    mask = constant(bits.type, ~precision_of(x).mantissa_mask)
    return floats(builder, builder.and_(bits, mask))
