"""Elementary functions on vectors in registers: exp2, exp, log, tanh, sigmoid, power; division.

Source   polynomials are minimax fits by iterated reweighting, coefficients rounded to float32 and then
         searched nearby for the least error of the rounded evaluation. Their constant terms are exact, so
         that exp2(0) = exp(0) = 1.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from ..base.target import Target
from . import elementary_double as double
from .exponents import SINGLE, power_of_two, precision_of, scale_by_power, scalef, split, without_powers
from .registers import (
    F64,
    I16,
    I32,
    at_least,
    at_most,
    call,
    constant,
    floats,
    integers,
    lanewise,
    polynomial,
)

EXP2 = {
    3: (
        1.0,
        0.693282961845398,
        0.2422109693288803,
        0.055008936673402786,
    ),  # relative error 1.0e-4
    4: (
        1.0,
        0.6931241750717163,
        0.24024097621440887,
        0.05590641871094704,
        0.009582852013409138,
    ),  # relative error 2.9e-6
    5: (
        1.0,
        0.6931469440460205,
        0.24022242426872253,
        0.05550752207636833,
        0.009671454317867756,
        0.0013264477020129561,
    ),  # relative error 9.1e-8
}  # 2**f, |f| <= 1/2, by degree
EXP2_EIGHTH = (
    0.6931471824645996,
    0.2402576357126236,
    0.055511474609375,
)  # 2**f - 1 = f P(f), |f| <= 1/16, relative error 2.5e-8 of 2**f
# The bits of 2**(i / 8), less the exponent of 1 and i where shifted up it meets them.
EIGHTHS = (0, -289342, -509968, -655657, -719629, -694486, -572163, -343865)
EXP = (
    1.0,
    1.0,
    0.4999999403953552,
    0.1666652113199234,
    0.04166838899254799,
    0.008368573151528835,
    0.001381459878757596,
)  # e**r, |r| <= ln(2) / 2, relative error 3.1e-9
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
LOG2 = (
    2.8853900817667424,
    0.9617966858006544,
    0.5770819593327893,
    0.41174895494770886,
    0.3395539566173215,
)  # float64: log2 m = s P(s^2), s = (m - 1) / (m + 1), relative error 5.6e-12
EXPM1 = (
    1.0,
    0.4999999701976776,
    0.16666541993618011,
    0.04166720435023308,
    0.008366691879928112,
    0.0013882488710805774,
)  # e**r - 1 = r P(r), |r| <= ln(2) / 2, relative error 1.4e-8
LARGEST_TANH = 9.02  # from here on it is 1
TANH_SHORT = (
    (0.9999940991401672, 0.12058348953723907, 0.002066739834845066, 3.0233554753067438e-06),
    (1.0, 0.45387914776802063, 0.020067747682332993, 0.0001203798019560054),
)  # tanh x = x P(x^2) / Q(x^2), |x| <= 9, relative error 5.9e-6
LARGEST_TANH_SHORT = 9.0
LOG2_E, LN_2 = 1.4426950408889634, 0.6931471805599453
INFINITY, NAN = float("inf"), float("nan")


def is_double(x: ir.Value) -> bool:
    return bool(x.type.element == F64)


def emit_exp2(builder: ir.IRBuilder, x: ir.Value, target: Target, degree: int = 5) -> ir.Value:
    """2 ** x; in float32 a polynomial of degree 3 or 4 does where results end up in 16 bits."""
    # x = n + f with |f| <= 1/2; 2**x = 2**f * 2**n.
    terms = double.EXP2 if is_double(x) else EXP2[degree]
    if target.scales_by_exponent:
        # No clamp: -inf - -inf is NaN, and vscalefps makes 0 of NaN * 2**-inf, but keeps NaN * 2**NaN.
        whole = lanewise(builder, "rint", x)
        return scalef(builder, polynomial(builder, builder.fsub(x, whole), terms), whole)
    # The bits of 2**n are (n + 127) << 23. Adding 1.5 * 2**23 + 127 rounds x to n and leaves n + 127 in the
    # lowest bits. From -127 down they give 0, as does 0 times anything finite; NaN goes its own way.
    # For float64 read 1023 and 52.
    precision = precision_of(x)
    x = at_least(builder, x, -float(precision.bias))
    shifter = constant(x.type, 1.5 * 2.0**precision.mantissa_bits + precision.bias)
    shifted = builder.fadd(x, shifter)
    fraction = polynomial(builder, builder.fsub(x, builder.fsub(shifted, shifter)), terms)
    bits = integers(builder, shifted)
    power = floats(builder, builder.shl(bits, constant(bits.type, precision.mantissa_bits)))
    return builder.fmul(fraction, power)


def emit_exp2_weight(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    """2 ** x; where lanes can be looked up in float32, a table makes two multiply-adds of five needless."""
    if is_double(x) or not target.looks_up:
        return emit_exp2(builder, x, target)
    # x = n / 8 + f with |f| <= 1/16; 2**x = 2**f * 2**(n / 8). As above, the lowest bits of `shifted` are
    # n + 8 * 127. Shifted up, they are an exponent and three bits, which choose the mantissa from the table.
    x = at_least(builder, x, -float(SINGLE.bias))
    shifter = constant(x.type, 1.5 * 2.0 ** (SINGLE.mantissa_bits - 3) + SINGLE.bias)
    shifted = builder.fadd(x, shifter)
    rest = builder.fsub(x, builder.fsub(shifted, shifter))
    bits = integers(builder, shifted)
    table = floats(builder, ir.Constant(bits.type, [ir.Constant(I32, entry) for entry in EIGHTHS]))
    entry = integers(builder, call(builder, "llvm.x86.avx2.permps", x.type, [table, bits]))
    exponent = builder.shl(bits, constant(bits.type, SINGLE.mantissa_bits - 3))
    power = floats(builder, builder.add(exponent, entry))
    slope = polynomial(builder, rest, EXP2_EIGHTH)
    return lanewise(builder, "fma", builder.fmul(power, rest), slope, power)


def emit_exp(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    # e**x = 2**n * e**r; the ends lie where the result is 0 or inf already.
    lowest, highest, terms = (-760.0, 720.0, double.EXP) if is_double(x) else (-120.0, 100.0, EXP)
    x = at_least(builder, at_most(builder, x, highest), lowest)
    whole, rest = without_powers(builder, x)
    return scale_by_power(builder, polynomial(builder, rest, terms), whole, target)


def emit_log(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    result = (double.log_of_positive if is_double(x) else log_of_positive)(builder, x)
    return with_ends_of_log(builder, x, result)


def log_of_positive(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    mantissa, exponent = split(builder, x)
    r = builder.fsub(mantissa, constant(x.type, 1.0))
    square = builder.fmul(r, r)
    tail = builder.fmul(builder.fmul(square, r), polynomial(builder, r, LOG1P))
    tail = lanewise(builder, "fma", exponent, constant(x.type, SINGLE.ln_2_low), tail)
    tail = lanewise(builder, "fma", square, constant(x.type, -0.5), tail)
    return lanewise(builder, "fma", exponent, constant(x.type, SINGLE.ln_2_high), builder.fadd(r, tail))


def with_ends_of_log(builder: ir.IRBuilder, x: ir.Value, result: ir.Value) -> ir.Value:
    """The result where x is a positive number; -inf at 0, inf at inf, NaN elsewhere."""
    zero, infinity = constant(x.type, 0.0), constant(x.type, INFINITY)
    low, high, nan = (constant(result.type, value) for value in (-INFINITY, INFINITY, NAN))
    result = builder.select(builder.fcmp_ordered("==", x, infinity), high, result)
    result = builder.select(builder.fcmp_ordered("==", x, zero), low, result)
    return builder.select(builder.fcmp_ordered(">=", x, zero), result, nan)


def emit_tanh(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    size = lanewise(builder, "fabs", x)
    result = (double.tanh_of_size if is_double(x) else tanh_of_size)(builder, size, target)
    return lanewise(builder, "copysign", result, x)


def tanh_of_size(builder: ir.IRBuilder, size: ir.Value, target: Target) -> ir.Value:
    # tanh x = d / (d + 2) with d = e**2x - 1 = 2**n (e**r - 1) + (2**n - 1): nothing cancels.
    size = at_most(builder, size, LARGEST_TANH)
    doubled = builder.fadd(size, size)
    whole = lanewise(builder, "rint", builder.fmul(doubled, constant(size.type, LOG2_E)))
    rest = lanewise(builder, "fma", whole, constant(size.type, -LN_2), doubled)
    grown = builder.fmul(rest, polynomial(builder, rest, EXPM1))
    one, two = constant(size.type, 1.0), constant(size.type, 2.0)
    power = power_of_two(builder, whole, target)
    difference = lanewise(builder, "fma", power, grown, builder.fsub(power, one))
    return quotient(builder, difference, builder.fadd(difference, two), target)


def emit_tanh_short(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    """As tanh, where results end up in 16 bits."""
    x = at_least(builder, at_most(builder, x, LARGEST_TANH_SHORT), -LARGEST_TANH_SHORT)
    square = builder.fmul(x, x)
    above, below = (polynomial(builder, square, terms) for terms in TANH_SHORT)
    return quotient(builder, builder.fmul(x, above), below, target)


def quotient(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, target: Target) -> ir.Value:
    """x / y in float32 for y of ordinary size: 14 digits of 1 / y from a table, and one step of Newton's."""
    if not target.scales_by_exponent:
        return builder.fdiv(x, y)
    arguments = [y, constant(x.type, 0.0), ir.Constant(I16, -1)]
    near = call(builder, "llvm.x86.avx512.rcp14.ps.512", x.type, arguments)
    rest = lanewise(builder, "fma", builder.fneg(y), near, constant(x.type, 1.0))
    first = builder.fmul(x, near)
    return lanewise(builder, "fma", rest, first, first)


def emit_sigmoid(builder: ir.IRBuilder, x: ir.Value, target: Target) -> ir.Value:
    # 1 / (1 + e**-x), below 0 as e**x / (1 + e**x): nothing overflows, and small results keep their digits.
    one = constant(x.type, 1.0)
    power = emit_exp(builder, builder.fneg(lanewise(builder, "fabs", x)), target)
    below = builder.fcmp_ordered("<", x, constant(x.type, 0.0))
    above = builder.select(below, power, one)
    divide = builder.fdiv if is_double(x) else partial(quotient, builder, target=target)
    return divide(above, builder.fadd(one, power))


def emit_power(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, target: Target) -> ir.Value:
    """The cases of C's pow around |x| ** y."""
    zero, one, infinity = (constant(x.type, value) for value in (0.0, 1.0, INFINITY))
    size = lanewise(builder, "fabs", x)
    result = builder.select(
        builder.fcmp_ordered("==", size, one), one, emit_power_of_size(builder, size, y, target)
    )
    whole = builder.fcmp_ordered("==", lanewise(builder, "floor", y), y)
    half = builder.fmul(y, constant(x.type, 0.5))
    odd = builder.and_(whole, builder.fcmp_ordered("!=", lanewise(builder, "floor", half), half))
    result = builder.select(odd, lanewise(builder, "copysign", result, x), result)
    finite = builder.fcmp_ordered("<", size, infinity)
    invalid = builder.and_(builder.and_(finite, builder.fcmp_ordered("<", x, zero)), builder.not_(whole))
    result = builder.select(invalid, constant(x.type, NAN), result)
    trivial = builder.or_(builder.fcmp_ordered("==", y, zero), builder.fcmp_ordered("==", x, one))
    return builder.select(trivial, one, result)


def emit_power_of_size(builder: ir.IRBuilder, size: ir.Value, y: ir.Value, target: Target) -> ir.Value:
    """size ** y for size >= 0, as 2 ** (y log2 size).

    The logarithm of float32 is float64: the product magnifies its relative error by up to 128 ln 2. That of
    float64 is a sum of two.
    """
    if is_double(size):
        high, low = double.log2_of_positive(builder, size)
        high = with_ends_of_log(builder, size, high)
        return double.exp2_of_product(builder, y, high, low, target)
    wide = ir.VectorType(F64, size.type.count)
    product = builder.fmul(builder.fpext(y, wide), emit_log2(builder, size, wide))
    product = at_least(builder, at_most(builder, product, 200.0), -200.0)
    whole = lanewise(builder, "rint", product)
    rest = builder.fmul(builder.fsub(product, whole), constant(wide, LN_2))
    fraction = polynomial(builder, builder.fptrunc(rest, size.type), EXP)
    return scale_by_power(builder, fraction, builder.fptrunc(whole, size.type), target)


def emit_log2(builder: ir.IRBuilder, x: ir.Value, wide: ir.VectorType) -> ir.Value:
    """The logarithm of float32 lanes as float64 lanes."""
    mantissa, exponent = (builder.fpext(part, wide) for part in split(builder, x))
    one = constant(wide, 1.0)
    s = builder.fdiv(builder.fsub(mantissa, one), builder.fadd(mantissa, one))
    tail = polynomial(builder, builder.fmul(s, s), LOG2)
    return with_ends_of_log(builder, x, lanewise(builder, "fma", s, tail, exponent))
