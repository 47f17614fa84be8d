"""What the elementary functions do otherwise on float64 lanes: longer polynomials, and sums of two numbers.

Terms
    high, low   a number with twice the digits, as high + low with |low| <= ulp(high) / 2

Source   polynomials are minimax fits by iterated reweighting; from the lowest up, each coefficient is rounded
         and the others are fitted again. The errors are those of the rounded polynomials, evaluated exactly.
         The logarithms are series in s = (m - 1) / (m + 1), |s| <= 0.172, with log m = 2 artanh s.
"""

from __future__ import annotations

from llvmlite import ir

from .target import Target
from .exponents import DOUBLE, power_of_two, scale_by_power, split, without_powers
from .registers import at_least, at_most, constant, lanewise, polynomial

EXP2 = (
    1.0,
    0.6931471805599453,
    0.24022650695910108,
    0.055504108664821715,
    0.0096181291076016,
    0.001333355814654839,
    0.0001540353044904195,
    1.5252733631918641e-05,
    1.321543883316909e-06,
    1.0178160889738224e-07,
    7.073233467746137e-09,
    4.4387391300406044e-10,
)  # 2**f, |f| <= 1/2, relative error 4.1e-18
EXP = (
    1.0,
    1.0,
    0.5000000000000011,
    0.16666666666666444,
    0.04166666666652708,
    0.008333333333475862,
    0.0013888888944296625,
    0.00019841269544799658,
    2.4801492506964182e-05,
    2.755755361291987e-06,
    2.7630434006785435e-07,
    2.50100872971885e-08,
)  # e**r, |r| <= ln(2) / 2, relative error 3.7e-18
LOG = (
    0.6666666666666734,
    0.39999999999416785,
    0.28571428741979116,
    0.22222198611222363,
    0.18183562488998326,
    0.15314094899210104,
    0.14795526752491994,
)  # log m = 2 s + s^3 P(s^2), relative error 1.2e-18
LOG2_FIRST = (2.8853900817779268, 4.0710547481862066e-17)  # 2 / ln 2 as high + low
LOG2_THIRD = (0.9617966939259756, 5.0577616648125907e-17)  # a third of it
LOG2 = (
    0.577078016355618,
    0.41219858309194446,
    0.32059890227210597,
    0.26230770129951364,
    0.22198398800639088,
    0.19125542111917143,
    0.19038275842139663,
)  # log2 m = s (first + s^2 (third + s^2 P(s^2))), relative error 1.1e-20
LARGEST_TANH = 20.0  # from here on tanh rounds to 1
LARGEST_POWER = 1100.0  # 2**-1100 is 0, 2**1100 is inf

Pair = tuple[ir.Value, ir.Value]


def log_of_positive(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    # With f = m - 1 and h = f^2 / 2, log m = f - (h - s (h + s^2 P)): f is exact, and the rest is small.
    mantissa, exponent = split(builder, x)
    f = builder.fsub(mantissa, constant(x.type, 1.0))
    s = builder.fdiv(f, builder.fadd(mantissa, constant(x.type, 1.0)))
    square = builder.fmul(s, s)
    h = builder.fmul(builder.fmul(f, f), constant(x.type, 0.5))
    tail = lanewise(builder, "fma", square, polynomial(builder, square, LOG), h)
    low = builder.fmul(exponent, constant(x.type, DOUBLE.ln_2_low))
    tail = builder.fsub(h, lanewise(builder, "fma", s, tail, low))
    return lanewise(builder, "fma", exponent, constant(x.type, DOUBLE.ln_2_high), builder.fsub(f, tail))


def tanh_of_size(builder: ir.IRBuilder, size: ir.Value, target: Target) -> ir.Value:
    # tanh x = d / (d + 2) with d = e**2x - 1 = 2**n (e**r - 1) + (2**n - 1): nothing cancels.
    size = at_most(builder, size, LARGEST_TANH)
    whole, rest = without_powers(builder, builder.fadd(size, size))
    tail = polynomial(builder, rest, EXP[2:])
    grown = lanewise(builder, "fma", builder.fmul(rest, rest), tail, rest)
    one, two = constant(size.type, 1.0), constant(size.type, 2.0)
    power = power_of_two(builder, whole, target)
    difference = lanewise(builder, "fma", power, grown, builder.fsub(power, one))
    return builder.fdiv(difference, builder.fadd(difference, two))


def exact_sum(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> Pair:
    """x + y for |x| >= |y| or x = 0 (Dekker's Fast2Sum)."""
    high = builder.fadd(x, y)
    return high, builder.fsub(y, builder.fsub(high, x))


def exact_product(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> Pair:
    high = builder.fmul(x, y)
    return high, lanewise(builder, "fma", x, y, builder.fneg(high))


def product(builder: ir.IRBuilder, x: Pair, y: Pair) -> Pair:
    """x * y, relative error about 2**-104."""
    high, low = exact_product(builder, x[0], y[0])
    low = lanewise(builder, "fma", x[0], y[1], low)
    return high, lanewise(builder, "fma", x[1], y[0], low)


def increased(builder: ir.IRBuilder, literal: tuple[float, float], x: Pair) -> Pair:
    """literal + x, for numbers below the literal."""
    kind = x[0].type
    high, low = exact_sum(builder, constant(kind, literal[0]), x[0])
    return high, builder.fadd(low, builder.fadd(x[1], constant(kind, literal[1])))


def log2_of_positive(builder: ir.IRBuilder, x: ir.Value) -> Pair:
    """The logarithm with an error of about 2**-64 of it: a product with y magnifies it by up to 1075 ln 2.

    From the fifth power of s on a float64 is enough, for s^4 < 2**-10.
    """
    mantissa, exponent = split(builder, x)
    s = ratio(builder, mantissa)
    square = product(builder, s, s)
    tail = builder.fmul(square[0], polynomial(builder, square[0], LOG2))
    series = increased(builder, LOG2_THIRD, (tail, constant(x.type, 0.0)))
    series = increased(builder, LOG2_FIRST, product(builder, square, series))
    fraction = product(builder, s, series)
    high, low = exact_sum(builder, exponent, fraction[0])
    return high, builder.fadd(low, fraction[1])


def ratio(builder: ir.IRBuilder, m: ir.Value) -> Pair:
    """(m - 1) / (m + 1) for m in [1/2, 2], whose difference from 1 is exact."""
    one = constant(m.type, 1.0)
    top = builder.fsub(m, one)
    bottom, lost = exact_sum(builder, one, m)
    inverse = builder.fdiv(one, bottom)
    high = builder.fmul(top, inverse)
    rest = lanewise(builder, "fma", builder.fneg(high), bottom, top)
    rest = lanewise(builder, "fma", builder.fneg(high), lost, rest)
    return high, builder.fmul(rest, inverse)


def exp2_of_product(
    builder: ir.IRBuilder, y: ir.Value, high: ir.Value, low: ir.Value, target: Target
) -> ir.Value:
    """2 ** (y * (high + low))."""
    total, rest = exact_product(builder, y, high)
    rest = lanewise(builder, "fma", y, low, rest)
    limited = at_least(builder, at_most(builder, total, LARGEST_POWER), -LARGEST_POWER)
    # Where the product overflows its rest is NaN; where it is limited the rest no longer belongs to it.
    is_whole = builder.fcmp_ordered("==", limited, total)
    rest = builder.select(is_whole, rest, constant(y.type, 0.0))
    whole = lanewise(builder, "rint", limited)
    rest = builder.fadd(builder.fsub(limited, whole), rest)
    return scale_by_power(builder, polynomial(builder, rest, EXP2), whole, target)
