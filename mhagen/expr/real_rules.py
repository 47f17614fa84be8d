"""How intervals pass through the operators on reals, whether these are computed in float64 or in float32.

Each operation widens its interval by more than a float32 rounding, and what is too large for float32
counts as infinite.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from itertools import product

from .interval import ANY_REAL, Interval, Operands, absolute, chosen, greatest, hull, least, negative
from .tree import REAL_LIMIT, Operator

_ROUNDING = 2.0**-22  # relative; float32 rounds by at most 2**-24
_EXACT_INTEGERS = 2**24  # float32 holds every integer up to this
_TINIEST = 2.0**-148  # the least float32 above 0 is 2**-149
_APPROXIMATION = 2.0**-18  # far above the error of any exp, log or tanh in use


def rounded(a: Interval) -> Interval:
    """The interval after its numbers were rounded to float32 or float64."""
    low, high = _moved(a.low, -1), _moved(a.high, 1)
    return Interval(max(low, 0.0) if a.low >= 0 else low, min(high, 0.0) if a.high <= 0 else high, a.nan)


def of_real(value: float) -> Interval:
    """The interval of a number that is written in float64 and may be used in float32."""
    exact = abs(value) <= REAL_LIMIT and struct.unpack("f", struct.pack("f", value))[0] == value
    return Interval(value, value) if exact else rounded(Interval(value, value))


def of_integers(a: Interval) -> Interval:
    """The interval of integers that are converted to float64 or float32."""
    exact = max(-a.low, a.high) <= _EXACT_INTEGERS
    return Interval(float(a.low), float(a.high)) if exact else rounded(a)


def _moved(end: float, direction: int) -> float:
    moved = end + direction * (abs(end) * _ROUNDING + _TINIEST)
    if abs(moved) <= REAL_LIMIT:
        return moved
    return moved * math.inf if moved * direction > 0 else math.copysign(REAL_LIMIT, moved)


def _approximated(low: float, high: float, nan: bool, *, least: float, most: float) -> Interval:
    low -= abs(low) * _APPROXIMATION + _APPROXIMATION
    high += abs(high) * _APPROXIMATION + _APPROXIMATION
    return rounded(Interval(max(low, least), min(high, most), nan))


def _add(a: Interval, b: Interval) -> Interval:
    opposite = (a.high == math.inf and b.low == -math.inf) or (a.low == -math.inf and b.high == math.inf)
    low, high = a.low + b.low, a.high + b.high
    return rounded(
        Interval(
            -math.inf if math.isnan(low) else low,
            math.inf if math.isnan(high) else high,
            a.nan or b.nan or opposite,
        )
    )


def _multiply(a: Interval, b: Interval) -> Interval:
    zero_times_infinity = (0 in a and b.is_unbounded) or (0 in b and a.is_unbounded)
    # 0 times an infinite end: NaN at that end, and 0 for every finite number before it.
    ends = (0.0 if x == 0 or y == 0 else x * y for x, y in product((a.low, a.high), (b.low, b.high)))
    return rounded(hull(ends, a.nan or b.nan or zero_times_infinity))


def _divide(a: Interval, b: Interval) -> Interval:
    if 0 in b:
        return ANY_REAL
    nan = a.nan or b.nan or (a.is_unbounded and b.is_unbounded)
    # Where both ends are infinite the quotient is NaN there, and anything down to 0 before it.
    ends = [x / y for x, y in product((a.low, a.high), (b.low, b.high))]
    return rounded(hull((0.0 if math.isnan(end) else end for end in ends), nan))


def _floor_divide(a: Interval, b: Interval) -> Interval:
    quotient = _divide(a, b)
    # The quotient may have been rounded up to the next integer before it was floored, or not.
    low, high = _floored(quotient.low) - 1, _floored(quotient.high) + 1
    return rounded(Interval(low, high, quotient.nan or a.is_unbounded))


def _floored(end: float) -> float:
    return end if math.isinf(end) else float(math.floor(end))


def _modulo(a: Interval, b: Interval) -> Interval:
    nan = a.nan or b.nan or a.is_unbounded or 0 in b
    return rounded(Interval(min(b.low, 0.0), max(b.high, 0.0), nan))


def _power(a: Interval, b: Interval) -> Interval:
    even = b.is_single and b.low % 2 == 0
    nan = a.nan or b.nan or (a.low < 0 and not even)
    if a.low <= 0:
        return Interval(0.0 if a.low >= 0 or even else -math.inf, math.inf, nan)
    ends = [_pow(x, y) for x, y in product((a.low, a.high), (b.low, b.high))]
    found = hull((*ends, 1.0) if a.is_unbounded or b.is_unbounded else ends)
    return _approximated(found.low, found.high, nan, least=0.0, most=math.inf)


def _pow(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def _exp_of(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _exp(a: Interval) -> Interval:
    return _approximated(_exp_of(a.low), _exp_of(a.high), a.nan, least=0.0, most=math.inf)


def _log_of(x: float) -> float:
    return -math.inf if x <= 0 else math.log(x)


def _log(a: Interval) -> Interval:
    return _approximated(_log_of(a.low), _log_of(a.high), a.nan or a.low < 0, least=-math.inf, most=math.inf)


def _sqrt(a: Interval) -> Interval:
    ends = (math.sqrt(max(a.low, 0.0)), math.sqrt(max(a.high, 0.0)))
    return rounded(Interval(*ends, a.nan or a.low < 0))


def _tanh(a: Interval) -> Interval:
    return _approximated(math.tanh(a.low), math.tanh(a.high), a.nan, least=-1.0, most=1.0)


def _sigmoid_of(x: float) -> float:
    return 0.5 + 0.5 * math.tanh(0.5 * x)


def _sigmoid(a: Interval) -> Interval:
    return _approximated(_sigmoid_of(a.low), _sigmoid_of(a.high), a.nan, least=0.0, most=1.0)


REAL_RULES: Mapping[Operator, Callable[[Operands], Interval]] = {
    Operator.NEGATE: lambda args: negative(args[0]),
    Operator.ADD: lambda args: _add(*args),
    Operator.SUBTRACT: lambda args: _add(args[0], negative(args[1])),
    Operator.MULTIPLY: lambda args: _multiply(*args),
    Operator.DIVIDE: lambda args: _divide(*args),
    Operator.FLOOR_DIVIDE: lambda args: _floor_divide(*args),
    Operator.MODULO: lambda args: _modulo(*args),
    Operator.POWER: lambda args: _power(*args),
    Operator.ABS: lambda args: absolute(args[0]),
    Operator.MIN: least,
    Operator.MAX: greatest,
    Operator.EXP: lambda args: _exp(args[0]),
    Operator.LOG: lambda args: _log(args[0]),
    Operator.SQRT: lambda args: _sqrt(args[0]),
    Operator.TANH: lambda args: _tanh(args[0]),
    Operator.SIGMOID: lambda args: _sigmoid(args[0]),
    Operator.FLOOR: lambda args: Interval(_floored(args[0].low), _floored(args[0].high), args[0].nan),
    Operator.WHERE: lambda args: chosen(*args),
}
