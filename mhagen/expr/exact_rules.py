"""How intervals pass through the operators that are exact: on integers, and on conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

from .interval import (
    ALWAYS,
    INT64,
    NEVER,
    UNKNOWN,
    Interval,
    Operands,
    absolute,
    chosen,
    greatest,
    hull,
    least,
    negative,
)
from .tree import Operator

# Beyond this exponent every power of 2 or more has left int64, and computing it would take for ever.
_MOST_EXPONENT = 64


def _add(a: Interval, b: Interval) -> Interval:
    return Interval(a.low + b.low, a.high + b.high)


def _multiply(a: Interval, b: Interval) -> Interval:
    return hull(x * y for x, y in product((a.low, a.high), (b.low, b.high)))


def _floor_divide(a: Interval, b: Interval) -> Interval:
    if 0 in b:
        return INT64
    return hull(x // y for x, y in product((a.low, a.high), (b.low, b.high)))


def _modulo(a: Interval, b: Interval) -> Interval:
    if 0 in b:
        return INT64
    if b.high < 0:
        return negative(_modulo(negative(a), negative(b)))
    if b.is_single and a.low // b.low == a.high // b.low:  # within one period
        return Interval(a.low % b.low, a.high % b.low)
    if a.low >= 0:
        return a if a.high < b.low else Interval(0, min(a.high, b.high - 1))
    return Interval(0, b.high - 1)


def _power(a: Interval, b: Interval) -> Interval:
    exponent = int(b.low)  # a literal or a constant: the parser makes any other power real
    if exponent > _MOST_EXPONENT and max(-a.low, a.high) > 1:
        return Interval(-(2**64), 2**64)
    ends = [a.low**exponent, a.high**exponent]
    if 0 in a:
        ends.append(0**exponent)
    return hull(ends)


INTEGER_RULES: Mapping[Operator, Callable[[Operands], Interval]] = {
    Operator.NEGATE: lambda args: negative(args[0]),
    Operator.ADD: lambda args: _add(*args),
    Operator.SUBTRACT: lambda args: _add(args[0], negative(args[1])),
    Operator.MULTIPLY: lambda args: _multiply(*args),
    Operator.FLOOR_DIVIDE: lambda args: _floor_divide(*args),
    Operator.MODULO: lambda args: _modulo(*args),
    Operator.POWER: lambda args: _power(*args),
    Operator.ABS: lambda args: absolute(args[0]),
    Operator.MIN: least,
    Operator.MAX: greatest,
    Operator.FLOOR: lambda args: args[0],
    Operator.WHERE: lambda args: chosen(*args),
}


def _conclude(always: bool, never: bool) -> Interval:
    if always:
        return ALWAYS
    return NEVER if never else UNKNOWN


def _less(a: Interval, b: Interval) -> Interval:
    return _conclude(a.high < b.low and not (a.nan or b.nan), a.low >= b.high)


def _less_equal(a: Interval, b: Interval) -> Interval:
    return _conclude(a.high <= b.low and not (a.nan or b.nan), a.low > b.high)


def _equal(a: Interval, b: Interval) -> Interval:
    same = a.is_single and b.is_single and a.low == b.low
    return _conclude(same and not (a.nan or b.nan), a.high < b.low or b.high < a.low)


def _not(a: Interval) -> Interval:
    return Interval(1 - a.high, 1 - a.low)


CONDITION_RULES: Mapping[Operator, Callable[[Operands], Interval]] = {
    Operator.LESS: lambda args: _less(*args),
    Operator.LESS_EQUAL: lambda args: _less_equal(*args),
    Operator.GREATER: lambda args: _less(args[1], args[0]),
    Operator.GREATER_EQUAL: lambda args: _less_equal(args[1], args[0]),
    Operator.EQUAL: lambda args: _equal(*args),
    Operator.NOT_EQUAL: lambda args: _not(_equal(*args)),  # NaN is unequal to all: `_equal` never says always
    Operator.AND: least,
    Operator.OR: greatest,
    Operator.NOT: lambda args: _not(args[0]),
    Operator.WHERE: lambda args: chosen(*args),
}
