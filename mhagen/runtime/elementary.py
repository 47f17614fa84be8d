"""Elementary functions on vectors in registers: exp2, exp, log, tanh, sigmoid, power, and the transpose.

Source   polynomials are minimax fits by iterated reweighting, coefficients rounded to float32.
"""

from __future__ import annotations

from llvmlite import ir

from ..base.target import Target
from .registers import I16, I32, call, constant, floats, integers, lanewise, polynomial

EXP2 = (
    1.0000001192092896,
    0.6931469440460205,
    0.24022120237350464,
    0.05550713092088699,
    0.009675540961325169,
    0.0013276472454890609,
)  # 2**f, |f| <= 1/2, relative error 7.5e-8
LOG1P = (
    0.3333333134651184,
    -0.2500081956386566,
    0.20001226663589478,
    -0.16623356938362122,
    0.14201757311820984,
    -0.13160182535648346,
    0.1276157796382904,
    -0.07634497433900833,
)  # log(1+r) = r - r^2/2 + r^3 P(r), error 6e-9
TANH = (
    -0.3333328068256378,
    0.13331441581249237,
    -0.05373970419168472,
    0.020639052614569664,
    -0.00570494681596756,
)  # tanh(x) = x + x^3 P(x^2), |x| < 0.625, error 4.4e-9
LOG2_E, LN_2 = 1.4426950408889634, 0.6931471805599453
LN_2_HIGH, LN_2_LOW = 0.693359375, -2.12194440e-4  # ln 2 in two parts: n * LN_2_HIGH is exact
EXPONENT_BIAS, MANTISSA_BITS = 127, 23
SMALLEST_NORMAL = 2.0**-126


def emit_exp2(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    # x = n + f with |f| <= 1/2; 2**x = 2**f * 2**n. The clamp keeps -inf - -inf out and lets NaN through.
    lowest = constant(x.type, -200.0)
    x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
    whole = lanewise(builder, "rint", x)
    fraction = polynomial(builder, builder.fsub(x, whole), EXP2)
    return scale_by_power(builder, fraction, whole, target)


def scale_by_power(builder: ir.IRBuilder, x: ir.Value, whole: ir.Value, target: Target) -> ir.Value:
    """x * 2**whole for whole numbers of magnitude up to 250."""
    if target.scales_by_exponent and x.type.count == 16:
        every, rounding = ir.Constant(I16, -1), ir.Constant(I32, 4)
        arguments = [x, whole, constant(x.type, 0.0), every, rounding]
        return call(builder, "llvm.x86.avx512.mask.scalef.ps.512", x.type, arguments)
    # Two steps of half the exponent, so that 2**-200 underflows and 2**200 overflows by themselves.
    power = builder.fptosi(whole, ir.VectorType(I32, x.type.count))
    half = builder.ashr(power, constant(power.type, 1))
    first, second = (two_to_the(builder, part) for part in (half, builder.sub(power, half)))
    return builder.fmul(builder.fmul(x, first), second)


def two_to_the(builder: ir.IRBuilder, power: ir.Value) -> ir.Value:
    biased = builder.add(power, constant(power.type, EXPONENT_BIAS))
    return floats(builder, builder.shl(biased, constant(power.type, MANTISSA_BITS)))


def emit_exp(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    # e**x = 2**n * e**r with r = x - n ln 2 in two parts, so that no digits of a large x are lost.
    highest = constant(x.type, 100.0)
    lowest = constant(x.type, -120.0)
    x = builder.select(builder.fcmp_ordered(">", x, highest), highest, x)
    x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
    scaled = builder.fmul(x, constant(x.type, LOG2_E))
    whole = lanewise(builder, "rint", scaled)
    rest = lanewise(builder, "fma", whole, constant(x.type, -LN_2_HIGH), x)
    rest = lanewise(builder, "fma", whole, constant(x.type, -LN_2_LOW), rest)
    return scale_by_power(
        builder, polynomial(builder, builder.fmul(rest, constant(x.type, LOG2_E)), EXP2), whole, target
    )


def emit_log(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    kind = ir.VectorType(I32, x.type.count)
    tiny = builder.fcmp_ordered("<", x, constant(x.type, SMALLEST_NORMAL))
    normal = builder.select(tiny, builder.fmul(x, constant(x.type, 2.0**25)), x)
    # x = m * 2**n with m in [sqrt(1/2), sqrt(2)): taking off the bits of sqrt(1/2) rounds the exponent.
    bits = builder.sub(integers(builder, normal), constant(kind, 0x3F3504F3))
    power = builder.ashr(bits, constant(kind, MANTISSA_BITS))
    mantissa = builder.add(builder.and_(bits, constant(kind, 0x007FFFFF)), constant(kind, 0x3F3504F3))
    exponent = builder.sitofp(power, x.type)
    exponent = builder.select(tiny, builder.fsub(exponent, constant(x.type, 25.0)), exponent)
    r = builder.fsub(floats(builder, mantissa), constant(x.type, 1.0))
    square = builder.fmul(r, r)
    tail = builder.fmul(builder.fmul(square, r), polynomial(builder, r, LOG1P))
    tail = lanewise(builder, "fma", exponent, constant(x.type, LN_2_LOW), tail)
    tail = lanewise(builder, "fma", square, constant(x.type, -0.5), tail)
    result = lanewise(builder, "fma", exponent, constant(x.type, LN_2_HIGH), builder.fadd(r, tail))
    zero, infinity = constant(x.type, 0.0), constant(x.type, float("inf"))
    result = builder.select(builder.fcmp_ordered("==", x, infinity), infinity, result)
    result = builder.select(builder.fcmp_ordered("==", x, zero), constant(x.type, float("-inf")), result)
    return builder.select(builder.fcmp_ordered(">=", x, zero), result, constant(x.type, float("nan")))


def emit_tanh(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    size = lanewise(builder, "fabs", x)
    square = builder.fmul(x, x)
    small = lanewise(builder, "fma", builder.fmul(square, x), polynomial(builder, square, TANH), x)
    # tanh|x| = 1 - 2 / (e**(2|x|) + 1); no cancellation from 0.625 up
    one = constant(x.type, 1.0)
    power = emit_exp(builder, builder.fadd(size, size), target)
    large = builder.fsub(one, builder.fdiv(constant(x.type, 2.0), builder.fadd(power, one)))
    large = lanewise(builder, "copysign", large, x)
    return builder.select(builder.fcmp_ordered(">=", size, constant(x.type, 0.625)), large, small)


def emit_sigmoid(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    one = constant(x.type, 1.0)
    return builder.fdiv(one, builder.fadd(one, emit_exp(builder, builder.fneg(x), target)))


def emit_floor_division(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Quotient and remainder as Python's: the remainder has the divisor's sign."""
    zero = constant(x.type, 0)
    quotient, remainder = builder.sdiv(x, y), builder.srem(x, y)
    signs_differ = builder.icmp_signed("<", builder.xor(remainder, y), zero)
    off = builder.and_(signs_differ, builder.icmp_signed("!=", remainder, zero))
    quotient = builder.sub(quotient, builder.zext(off, x.type))
    return quotient, builder.add(remainder, builder.select(off, y, zero))


def emit_power(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, target: Target) -> ir.Value:
    zero, one = constant(x.type, 0.0), constant(x.type, 1.0)
    size = emit_exp2_of_product(builder, y, lanewise(builder, "fabs", x), target)
    whole = builder.fcmp_ordered("==", lanewise(builder, "floor", y), y)
    half = builder.fmul(y, constant(x.type, 0.5))
    odd = builder.and_(whole, builder.fcmp_ordered("!=", lanewise(builder, "floor", half), half))
    signed = builder.select(odd, lanewise(builder, "copysign", size, x), size)
    invalid = builder.and_(builder.fcmp_ordered("<", x, zero), builder.not_(whole))
    result = builder.select(invalid, constant(x.type, float("nan")), signed)
    trivial = builder.or_(builder.fcmp_ordered("==", y, zero), builder.fcmp_ordered("==", x, one))
    return builder.select(trivial, one, result)


def emit_exp2_of_product(builder: ir.IRBuilder, y: ir.Value, size: ir.Value, target: Target) -> ir.Value:
    """size ** y for size >= 0, as 2 ** (y log2 size) with the product kept in two float32 parts."""
    log = builder.fmul(emit_log(builder, size), constant(y.type, LOG2_E))
    product = builder.fmul(y, log)
    highest = constant(y.type, 200.0)
    product = builder.select(builder.fcmp_ordered(">", product, highest), highest, product)
    rest = lanewise(builder, "fma", y, log, builder.fneg(product))
    rest = builder.select(builder.fcmp_ordered("==", rest, rest), rest, constant(y.type, 0.0))
    correction = lanewise(builder, "fma", rest, constant(y.type, LN_2), constant(y.type, 1.0))
    return builder.fmul(emit_exp2(builder, product, target), correction)


def transpose(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """A square of lanes turned over: log2(lanes) rounds that swap ever larger blocks (Eklundh)."""
    lanes, step = len(rows), 1
    while step < lanes:
        low = [i if not i & step else lanes + (i ^ step) for i in range(lanes)]
        high = [i | step if not i & step else lanes + i for i in range(lanes)]
        turned = list(rows)
        for i in (i for i in range(lanes) if not i & step):
            for place, mask in ((i, low), (i | step, high)):
                order = ir.Constant(ir.VectorType(I32, lanes), mask)
                turned[place] = builder.shuffle_vector(rows[i], rows[i | step], order)
        rows, step = turned, 2 * step
    return rows
