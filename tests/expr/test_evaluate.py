"""What expressions mean, as claims about numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mhagen.expr.evaluate import evaluate
from mhagen.expr.parse import parse_expression

from .random_expressions import ARRAYS, CONSTANTS

SLOPE = np.array([1.0, 0.5, 0.25], np.float32)
SEGMENT = np.array([[0, 0, 1, 1], [2, 2, 2, 3]], np.int32)
VISIBLE = np.array([[True, False], [False, True]])


def value(text: str, **names: object) -> NDArray[np.generic]:
    given_names = {"score": 0.0, "b": 0, "h": 0, "q": 0, "k": 0, **names}
    expr = parse_expression(text, constants=CONSTANTS, arrays=ARRAYS)
    return evaluate(expr, given_names, {"slope": SLOPE, "segment": SEGMENT, "visible": VISIBLE})  # type: ignore[arg-type]


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_integers_divide_and_take_remainders_as_in_python(q: int, divisor: int) -> None:
    divisor = divisor or 1
    assert value(f"q // {divisor}", q=q) == q // divisor
    assert value(f"q % {divisor}", q=q) == q % divisor


@given(st.floats(-1e6, 1e6, width=32))
def test_reals_divide_and_take_remainders_as_in_python(score: float) -> None:
    assert value("score // 2.5", score=score) == score // 2.5
    assert value("score % 2.5", score=score) == score % 2.5


def test_integers_are_exact_beyond_what_a_float_holds() -> None:
    assert value("q * k + 1", q=2**31 - 1, k=2**31 - 1) == (2**31 - 1) ** 2 + 1


def test_powers_of_integers_are_integers() -> None:
    assert value("(q % 9 - 9) ** 3", q=2) == -343
    assert value("2 ** -1") == 0.5


def test_a_division_of_integers_is_real() -> None:
    assert value("q / 2", q=3) == 1.5


def test_an_index_outside_an_axis_is_clamped_to_it() -> None:
    np.testing.assert_array_equal(value("slope[h]", h=np.array([-5, 0, 2, 99])), [1.0, 1.0, 0.25, 0.25])
    assert value("segment[b, q]", b=7, q=-1) == 2


def test_an_empty_axis_reads_as_zero() -> None:
    expr = parse_expression("slope[q]", constants={}, arrays=ARRAYS)
    np.testing.assert_array_equal(evaluate(expr, {"q": np.arange(3)}, {"slope": np.empty(0)}), [0.0] * 3)


def test_names_are_broadcast() -> None:
    q, k = np.arange(3)[:, None], np.arange(4)[None, :]
    np.testing.assert_array_equal(value("k <= q", q=q, k=k), np.tri(3, 4, dtype=bool))


def test_a_division_by_zero_and_a_bad_log_follow_ieee_754_in_silence() -> None:
    assert value("1.0 / score", score=-0.0) == -math.inf
    assert value("log(score)", score=0.0) == -math.inf
    assert np.isnan(value("log(score)", score=-1.0))
    assert np.isnan(value("sqrt(score)", score=-1.0))


def test_min_and_max_of_a_nan_are_nan() -> None:
    assert np.isnan(value("min(score, 1.0)", score=math.nan))
    assert np.isnan(value("max(1.0, 2.0, score)", score=math.nan))


def test_a_comparison_with_a_nan_fails() -> None:
    assert not value("score < 0 or score >= 0 or score == score", score=math.nan)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh"])
def test_functions_are_those_of_mathematics(name: str) -> None:
    assert value(f"{name}(score)", score=0.7) == pytest.approx(getattr(math, name)(0.7), rel=1e-15)


def test_sigmoid_saturates_without_overflow() -> None:
    np.testing.assert_array_equal(
        value("sigmoid(score)", score=np.array([-1e30, 0.0, 1e30])), [0.0, 0.5, 1.0]
    )


def test_where_takes_the_choice_of_each_element() -> None:
    np.testing.assert_array_equal(value("where(q < 2, 0.0, 1)", q=np.arange(4)), [0.0, 0.0, 1.0, 1.0])


def test_conditions_can_be_compared() -> None:
    assert value("visible[q, k] == (q == k)", q=1, k=1)
