"""Scores that are scaled where they are read: the scale goes into the number that they meet there."""

from __future__ import annotations

from collections.abc import Iterable

from ..expr.tree import Apply, Constant, Expr, Literal, Name, Operator, walk

SCORE = Name("score")


def is_number(expr: Expr) -> bool:
    """Is it known now, and not 0?"""
    return isinstance(expr, Literal | Constant) and expr.value != 0


def is_score_by_number(expr: Expr) -> bool:
    """Is it score / x or score * x for a number x that is known now?"""
    return (
        isinstance(expr, Apply)
        and expr.operator in (Operator.MULTIPLY, Operator.DIVIDE)
        and expr.arguments[0] == SCORE
        and is_number(expr.arguments[1])
    )


def scales_on_reading(roots: Iterable[Expr]) -> bool:
    """Is every score multiplied or divided by a number as it is read? Then that can take the scale in."""
    parts = [part for root in roots for part in walk(root)]
    reads = sum(part == SCORE for part in parts)
    return 0 < reads == sum(map(is_score_by_number, parts))
