"""What values an expression can take: an interval; of a condition never, always or unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from .exact_rules import CONDITION_RULES, INTEGER_RULES
from .interval import ALWAYS as ALWAYS
from .interval import ANY_REAL as ANY_REAL
from .interval import INT32 as INT32
from .interval import INT64 as INT64
from .interval import NAME_RANGES as NAME_RANGES
from .interval import NEVER as NEVER
from .interval import UNKNOWN as UNKNOWN
from .interval import Interval as Interval
from .interval import Operands as Operands
from .real_rules import REAL_RULES, of_integers, of_real
from .tree import Apply, Constant, Element, Expr, Kind, Literal, Name, Number


def bounds(expr: Expr, env: Mapping[str, Interval], arrays: Mapping[str, Interval]) -> Interval:
    """An interval that holds every value of the expression, for names and array elements within theirs.

    Numbers  sound for float64 and for float32; an integer operation that can leave int64 gives all of int64,
             because it wraps around.
    """
    match expr:
        case Literal(value=value) | Constant(value=value):
            return _of_value(value)
        case Name(name=name):
            return env[name]
        case Element(array=array):
            return arrays[array]
        case Apply(arguments=arguments):
            found = bounds_of_result(expr, tuple(bounds(argument, env, arrays) for argument in arguments))
            return INT64 if expr.kind is Kind.INTEGER and leaves_int64(found) else found
        case _:
            assert_never(expr)


def bounds_of_result(expr: Apply, operands: Operands) -> Interval:
    """An interval of one operation's results from its operands'; of integers as if they had no size."""
    match expr.kind:
        case Kind.INTEGER:
            return INTEGER_RULES[expr.operator](operands)
        case Kind.REAL:
            return REAL_RULES[expr.operator](_as_real(expr, operands))
        case Kind.CONDITION:
            kinds = {argument.kind for argument in expr.arguments}
            mixed = kinds == {Kind.INTEGER, Kind.REAL}
            return CONDITION_RULES[expr.operator](_as_real(expr, operands) if mixed else operands)
        case _:
            assert_never(expr.kind)


def leaves_int64(found: Interval) -> bool:
    """Can one of these integers not be held in 64 bits, so that it would wrap around?"""
    return found.low < INT64.low or found.high > INT64.high


def _of_value(value: Number) -> Interval:
    return of_real(value) if isinstance(value, float) else Interval(int(value), int(value))


def _as_real(expr: Apply, operands: Operands) -> Operands:
    return tuple(
        of_integers(operand) if argument.kind is Kind.INTEGER else operand
        for argument, operand in zip(expr.arguments, operands, strict=True)
    )
