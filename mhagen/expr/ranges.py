"""Refuses integers that could wrap around and integer divisions that could be by 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..base.dtypes import DType
from ..base.errors import Diagnostic
from ..base.source import Source, Span
from .intervals import (
    ANY_REAL,
    INT32,
    INT64,
    NAME_RANGES,
    UNKNOWN,
    Interval,
    Operands,
    bounds,
    bounds_of_result,
    leaves_int64,
)
from .tree import Apply, Expr, Kind, Operator, to_text, walk

_RANGES = {Kind.REAL: ANY_REAL, Kind.CONDITION: UNKNOWN, Kind.INTEGER: INT64}


def range_of(dtype: DType) -> Interval:
    """All values that an array of this format can hold."""
    return INT32 if dtype is DType.INT32 else _RANGES[dtype.kind]


def range_problems(expr: Expr, source: Source, arrays: Mapping[str, DType]) -> tuple[Diagnostic, ...]:
    """What could go wrong with the integers, for some lengths and offsets that a call may have."""
    ranges = {name: range_of(dtype) for name, dtype in arrays.items()}
    integers = (node for node in walk(expr) if isinstance(node, Apply) and node.kind is Kind.INTEGER)
    return tuple(problem for node in integers for problem in _problems_of(node, source, ranges))


def _problems_of(node: Apply, source: Source, arrays: Mapping[str, Interval]) -> Iterator[Diagnostic]:
    if any(_wraps(argument, arrays) for argument in node.arguments):
        return  # told of the argument
    operands = _operands(node, arrays)
    if node.operator in (Operator.FLOOR_DIVIDE, Operator.MODULO) and 0 in operands[1]:
        divisor = node.arguments[1]
        yield Diagnostic(
            "divisor-can-be-zero",
            f"the divisor of `{node.operator.value}` can be 0",
            f"it goes from {operands[1].low} to {operands[1].high}",
            f"write max(1, {to_text(divisor)}), or another expression that is never 0",
            Span(source, 1, divisor.column, divisor.length),
        )
    elif _wraps(node, arrays):
        yield Diagnostic(
            "integer-overflow",
            "this integer can be too large for 64 bits",
            "narrow its parts with min() and max(), declare arrays int32, or compute with reals",
            "1.0 * ...",
            Span(source, 1, node.column, node.length),
        )


def _wraps(node: Expr, arrays: Mapping[str, Interval]) -> bool:
    if not isinstance(node, Apply) or node.kind is not Kind.INTEGER:
        return False
    return leaves_int64(bounds_of_result(node, _operands(node, arrays)))


def _operands(node: Apply, arrays: Mapping[str, Interval]) -> Operands:
    return tuple(bounds(argument, NAME_RANGES, arrays) for argument in node.arguments)
