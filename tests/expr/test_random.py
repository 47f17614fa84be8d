"""What must hold for every expression, tried on random ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from numpy.typing import NDArray

from mhagen.expr.evaluate import evaluate
from mhagen.expr.intervals import Interval, bounds
from mhagen.expr.parse import ExpressionErrors, parse_expression
from mhagen.expr.simplify import simplify
from mhagen.expr.tree import Expr, Kind, replace, to_text

from .random_expressions import ARRAYS, CONSTANTS, Data, expressions, points

THOROUGH = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
# What a correct text can still be refused for: it is about values and sizes, not about reading.
_VALUES = {"integer-overflow", "divisor-can-be-zero", "expression-too-large"}


def parsed(text: str) -> Expr | None:
    try:
        return parse_expression(text, constants=CONSTANTS, arrays=ARRAYS)
    except ExpressionErrors as errors:
        assert {found.code for found in errors.diagnostics} <= _VALUES, errors
        return None


@THOROUGH
@given(expressions())
def test_the_text_of_an_expression_parses_to_an_equal_one(expr: Expr) -> None:
    read = parsed(to_text(expr))
    assume(read is not None)
    assert read == expr
    assert hash(read) == hash(expr)


@THOROUGH
@given(expressions())
def test_a_simplified_expression_can_be_written_and_read(expr: Expr) -> None:
    assume(parsed(to_text(expr)) is not None)
    simpler = simplify(expr)
    read = parsed(to_text(simpler))
    assert read is None or read == simpler
    assert simpler.kind is expr.kind


@THOROUGH
@given(expressions(calls=False), points())
def test_simplify_changes_no_value(expr: Expr, data: Data) -> None:
    assume(parsed(to_text(expr)) is not None)  # what can wrap around or divide by 0 never reaches it
    names, arrays = data
    before, after = evaluate(expr, names, arrays), evaluate(simplify(expr), names, arrays)
    np.testing.assert_array_equal(before, np.broadcast_to(after, before.shape))


@THOROUGH
@given(expressions())
def test_simplify_leaves_nothing_to_simplify(expr: Expr) -> None:
    assume(parsed(to_text(expr)) is not None)
    simpler = simplify(expr)
    assert simplify(simpler) == simpler


@THOROUGH
@given(expressions())
def test_replacing_nothing_gives_an_equal_tree(expr: Expr) -> None:
    assert replace(expr, lambda node: node) == expr


def ranges(values: Mapping[str, NDArray[np.generic]]) -> dict[str, Interval]:
    return {name: range_of(array) for name, array in values.items()}


def range_of(array: NDArray[np.generic]) -> Interval:
    if array.dtype.kind != "f":
        return Interval(int(array.min()), int(array.max()))
    known = array[~np.isnan(array)]
    return Interval(float(known.min()), float(known.max()), nan=len(known) < len(array))


@pytest.mark.parametrize("real", [np.float64, np.float32])
@THOROUGH
@given(expressions(), points())
def test_bounds_hold_every_value(real: type[np.floating[Any]], expr: Expr, data: Data) -> None:
    names, arrays = data
    found = bounds(expr, ranges(names), ranges(arrays))
    values = np.atleast_1d(evaluate(expr, names, arrays, real))
    unknown = np.isnan(values) if expr.kind is Kind.REAL else np.zeros(values.shape, bool)
    assert found.nan or not unknown.any(), (to_text(expr), found)
    for value in values[~unknown].tolist():
        assert found.low <= value <= found.high, (to_text(expr), found, value)
