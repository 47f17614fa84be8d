"""What simplifying does to single expressions. That it changes no value is tried on random ones."""

from __future__ import annotations

import math

import pytest

from mhagen.expr.parse import parse_expression
from mhagen.expr.simplify import simplify
from mhagen.expr.tree import Literal, to_text

from .random_expressions import ARRAYS, CONSTANTS


def simplified(text: str) -> str:
    return to_text(simplify(parse_expression(text, constants=CONSTANTS, arrays=ARRAYS)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1 + 2 * 3", "7"),
        ("7 // -2", "-4"),
        ("-7 % 3", "2"),
        ("1 / 4", "0.25"),
        ("2 ** 10", "1024"),
        ("min(3, 1, 2)", "1"),
        ("3 < 2 or 2 < 3", "True"),
        ("q * 1 + 0", "q"),
        ("q - 0 - q", "0"),
        ("0 * q", "0"),
        ("q // 1 + q % 1", "q"),
        ("q ** 1", "q"),
        ("q ** 0", "1"),
        ("--q", "q"),
        ("abs(-abs(q))", "abs(q)"),
        ("floor(q)", "q"),
        ("floor(floor(score))", "floor(score)"),
        ("score * 1.0 / 1 - 0", "score"),
        ("min(q, min(k, q))", "min(q, k)"),
        ("not not k <= q", "k <= q"),
        ("not k <= q", "k > q"),
        ("not score == 1.0", "score != 1.0"),
        ("k <= q and True and k <= q", "k <= q"),
        ("k <= q or True", "True"),
        ("k <= q and k > q", "False"),
        ("k <= q and (k <= q or h == 3)", "k <= q"),
        ("k <= q and causal", "k <= q"),
        ("(k <= q and h < 3) and b < 2", "k <= q and h < 3 and b < 2"),
        ("q <= q and q == q", "True"),
        ("(k <= q) == True", "k <= q"),
        ("where(causal, q, k)", "q"),
        ("where(k <= q, 2, 2)", "2"),
        ("where(k <= q, True, False)", "k <= q"),
        ("where(not k <= q, 1, 2)", "where(k > q, 1, 2)"),
        ("where(not visible[q, k], 1, 2)", "where(visible[q, k], 2, 1)"),
        ("where(3 < 2, 1, 2.5)", "2.5"),
        ("where(2 < 3, 1, 2.5)", "1.0"),
    ],
)
def test_what_changes_nothing_is_dropped(before: str, after: str) -> None:
    assert simplified(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "score + 0.0",  # -0.0 would become 0.0
        "score * 0.0",  # NaN and infinity would vanish
        "score - score",
        "score == score",  # false of a NaN
        "not score < 1.0",  # holds for a NaN
        "min(score, 0.0)",
        "window - 1",  # the name is worth more than what LLVM does as well
        "exp(1000.0)",  # no literal is infinite
        "q * 1.0",  # makes a real of an integer
        "where(causal, q, 0.5)",
    ],
)
def test_what_could_change_a_value_or_hide_a_name_stays(text: str) -> None:
    assert simplified(text).replace("True", "causal") == text


def test_calls_of_constants_are_computed_once_for_all() -> None:
    assert simplified("log(cap) * score") == f"{math.log(30.0)!r} * score"
    assert simplify(parse_expression("exp(cap / 3)", constants=CONSTANTS, arrays={})) == Literal(
        math.exp(10.0)
    )


def test_a_real_power_of_integers_stays_real() -> None:
    assert simplified("q ** (1 + 1)") == "q ** 2.0"
