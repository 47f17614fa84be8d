"""What is known of values before they are computed. That it is never wrong is tried on random expressions."""

from __future__ import annotations

import math

import pytest

from mhagen.expr.intervals import ALWAYS, ANY_REAL, INT64, NEVER, UNKNOWN, Interval, bounds
from mhagen.expr.parse import ArrayType, parse_expression
from mhagen.expr.tree import Apply, Kind, Literal, Name, Operator

from .random_expressions import CONSTANTS

TILE = {
    "q": Interval(64, 127),
    "k": Interval(0, 63),
    "h": Interval(0, 11),
    "b": Interval(0, 3),
    "score": ANY_REAL,
}
ARRAYS = {"slope": Interval(0.25, 1.0), "segment": Interval(3, 5), "visible": UNKNOWN}


def found(text: str) -> Interval:
    from .random_expressions import ARRAYS as TYPES

    return bounds(parse_expression(text, constants=CONSTANTS, arrays=TYPES), TILE, ARRAYS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k <= q", ALWAYS),
        ("k > q", NEVER),
        ("q - k < window", ALWAYS),
        ("q - k < 100", UNKNOWN),
        ("q - k > 127", NEVER),
        ("k <= q and h < 12", ALWAYS),
        ("k <= q and h < 11", UNKNOWN),
        ("k > q and h < 11", NEVER),
        ("k > q or h >= 0", ALWAYS),
        ("not k <= q", NEVER),
        ("segment[b, q] == segment[b, k]", UNKNOWN),
        ("segment[b, q] > 2", ALWAYS),
        ("q // 64 == 1", ALWAYS),
        ("q % 64 == k", UNKNOWN),
        ("k // 64 == 0 and k % 64 == k + 0", UNKNOWN),
        ("slope[h] > 0", ALWAYS),
        ("slope[h] * (k - q) <= 0", ALWAYS),
        ("score == score", UNKNOWN),
        ("score * score >= 0", UNKNOWN),
        ("abs(score) < 0", NEVER),
        ("tanh(score) <= 1", UNKNOWN),
        ("tanh(slope[h]) <= 1", ALWAYS),
        ("exp(slope[h]) > 1", ALWAYS),
        ("where(k <= q, 1, 5) == 1", ALWAYS),
        ("visible[q, k] or True", ALWAYS),
        ("q ** 2 >= 4096", ALWAYS),
    ],
)
def test_a_condition_is_never_always_or_unknown(text: str, expected: Interval) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("q - k", 1, 127),
        ("k - q", -127, -1),
        ("(q - 100) ** 2", 0, 1296),
        ("(h - 5) ** 3", -125, 216),
        ("abs(q - 100)", 0, 36),
        ("-q // 10", -13, -7),
        ("q % 64", 0, 63),
        ("q % 100", 0, 99),
        ("-q % 1000", 873, 936),
        ("q % -1000", -936, -873),
        ("min(q, k, 5)", 0, 5),
        ("max(q, k, 100)", 100, 127),
        ("where(h < 3, q, k)", 0, 127),
        ("h * (k - 30)", -330, 363),
    ],
)
def test_integers_have_exact_ends(text: str, low: int, high: int) -> None:
    assert found(text) == Interval(low, high)


def test_reals_have_ends_that_a_rounding_cannot_pass() -> None:
    third = found("slope[h] / 3")
    assert third.low < 0.25 / 3 < 1 / 3 < third.high
    assert third.high - third.low < 0.2501
    assert not third.nan


def test_a_difference_of_infinities_can_be_nan() -> None:
    assert found("score - score").nan
    assert not bounds(Name("score"), {"score": Interval(-1.0, 1.0)}, {}).nan


def test_the_log_of_a_negative_number_can_be_nan() -> None:
    assert found("log(slope[h] - 0.5)").nan
    assert not found("log(slope[h])").nan


def test_what_overflows_float32_can_be_infinite() -> None:
    assert found("exp(slope[h] * 100)").high == math.inf


def test_an_integer_that_wraps_around_can_be_anything() -> None:
    square = Apply(Operator.MULTIPLY, (Name("q"), Name("q")), Kind.INTEGER)
    assert bounds(square, {"q": Interval(0, 2**40)}, {}) == INT64
    assert bounds(Literal(True), {}, {}) == ALWAYS


def test_array_types_say_their_kind() -> None:
    from mhagen.base.dtypes import DType

    assert ArrayType(DType.BOOL, 2).kind is Kind.CONDITION
