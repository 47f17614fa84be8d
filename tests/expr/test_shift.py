"""Scores in parts: what keys of a row have in common, and what rises from key to key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from mhagen.expr.evaluate import evaluate
from mhagen.expr.parse import parse_expression
from mhagen.expr.shift import Split, split
from mhagen.expr.tree import Expr, Kind, to_text

from .random_expressions import ARRAYS, CONSTANTS, expressions

SLOPE = np.array([1.0, 0.5, 0.25])
SEGMENT = np.array([[0, 0, 1, 1], [2, 2, 2, 3]], np.int32)
VISIBLE = np.array([[True, False], [False, True]])
POSITIONS = {"b": 1, "h": np.arange(3)[:, None, None], "q": np.array([[3], [90]])}
FIRST, AHEAD = 40, np.arange(0, 31, 5)


def parsed(text: str) -> Expr:
    return parse_expression(text, constants=CONSTANTS, arrays=ARRAYS)


def value(expr: Expr | None, key: object) -> object:
    if expr is None:
        return 0.0
    names = {"score": np.linspace(-2, 3, len(AHEAD)), **POSITIONS, "k": key}
    return evaluate(expr, names, {"slope": SLOPE, "segment": SEGMENT, "visible": VISIBLE})  # type: ignore[arg-type]


def total(parts: Split) -> object:
    """In cells at their keys, rises by how far these are ahead, and a shift at the first key."""
    rest = value(parts.cell, FIRST + AHEAD)
    return rest + value(parts.rise, AHEAD) + value(parts.shift, FIRST)  # type: ignore[operator]


SPLITS = {
    "score + slope[h] * (k - q)": ("score", "slope[h] * k", "slope[h] * (k - q)"),
    "score - slope[h] * (q - k) / cap": ("score", "slope[h] / cap * k", "slope[h] / cap * (k - q)"),
    "score + 2 * (1.0 * (q - k)) - 3.0": ("score", "-(2.0 * 1.0) * k", "-(2.0 * 1.0) * (k - q) + -3.0"),
    "score + (q - k)": ("score", "-1 * k", "q - k"),
    "score + (k - q)": ("score", "k", "k - q"),
    "0.5 * (3 * k - q + slope[h]) - score": ("-score", "0.5 * 3 * k", "0.5 * (3 * k - q) + 0.5 * slope[h]"),
    "cap * (3 * k - q) + slope[h] - score": ("cap * (3 * k - q) + -score", None, "slope[h]"),
    "tanh(score) + slope[q] - 1.5": ("tanh(score)", None, "slope[q] + -1.5"),
    "score * slope[h] * k": ("score * slope[h] * k", None, None),
    "score - abs(k - q) * 0.5": ("score + -(abs(k - q) * 0.5)", None, None),
    "score + where(k < q, 0.5, 1.0) * k": ("score + where(k < q, 0.5, 1.0) * k", None, None),
    "score + k * k": ("score + k * k", None, None),
    "score + 2000 * k": ("score + 2000 * k", None, None),
    "score + 9 * (k - q) - 8.0 * k": ("score + 9 * (k - q)", "-8.0 * k", "-8.0 * k"),
    "k - q": (None, "k", "k - q"),
}


@pytest.mark.parametrize("text", SPLITS)
def test_what_rises_evenly_is_told_from_the_rest(text: str) -> None:
    parts = split(parsed(text))
    texts = tuple(part and to_text(part) for part in (parts.cell, parts.rise, parts.shift))
    assert texts == SPLITS[text]


STEEP = {
    "score + slope[h] * (k - q)": "not abs(slope[h]) <= 8.0",
    "score + slope[h] * (2 * k - q) - 3.0": "not abs(slope[h]) <= 4.0",
    "score + slope[h] * (q - k) / cap": "not abs(-(slope[h] / cap)) <= 8.0",
    "score + slope[q]": "not slope[q] <= 3.4028234663852886e+38",
    "score + slope[h] * k + slope[q]": "not (abs(slope[h]) <= 8.0 and slope[q] <= 3.4028234663852886e+38)",
    "score + 0.5 * (k - q) + segment[b, q]": None,
    "score + 9.5 * (k - q)": None,
    "score * slope[h]": None,
}


@pytest.mark.parametrize("text", STEEP)
def test_what_is_steep_or_not_finite_is_told(text: str) -> None:
    told = split(parsed(text)).is_steep
    assert (told and to_text(told)) == STEEP[text]


@pytest.mark.parametrize("cap", [30.0, -30.0, np.inf, np.nan])
def test_known_numbers_that_are_steep_stay_in_cells(cap: float) -> None:
    expr = parse_expression("score + cap * (k - q)", constants={"cap": cap}, arrays={})
    assert split(expr) == Split(expr, None, None)


@pytest.mark.parametrize("text", SPLITS)
def test_parts_add_up_to_the_whole(text: str) -> None:
    expr = parsed(text)
    np.testing.assert_allclose(total(split(expr)), value(expr, FIRST + AHEAD), rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(expressions(kind=Kind.REAL))
def test_parts_of_whatever_expression_add_up_to_it(expr: Expr) -> None:
    whole, parts = value(expr, FIRST + AHEAD), total(split(expr))
    moderate = np.isfinite(whole) & np.isfinite(parts) & (np.abs(whole) < 1e6)  # type: ignore[call-overload, operator]
    size = np.maximum(1.0, np.abs(value(split(expr).shift, FIRST)))  # type: ignore[call-overload]
    error = np.abs(np.subtract(parts, whole, where=moderate, out=np.zeros(moderate.shape)))  # type: ignore[call-overload]
    assert (error <= 1e-9 * np.nan_to_num(size, nan=np.inf, posinf=np.inf)).all()
