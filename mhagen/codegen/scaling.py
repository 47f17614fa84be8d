"""What of an expression may be rounded in another way: scales are moved, divisions become products."""

from __future__ import annotations

from collections.abc import Iterable

from ..expr.tree import Apply, Constant, Expr, Kind, Literal, Name, Operator, children, walk

SCORE = Name("score")
# What comes out changes little where what goes in does: no step, no choice.
SMOOTH = frozenset(
    {
        *(Operator.NEGATE, Operator.ADD, Operator.SUBTRACT, Operator.MULTIPLY, Operator.DIVIDE),
        *(Operator.EXP, Operator.LOG, Operator.SQRT, Operator.TANH, Operator.SIGMOID),
        *(Operator.ABS, Operator.MIN, Operator.MAX),
    }
)


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


def smooth_parts(roots: Iterable[Expr]) -> frozenset[Expr]:
    """The parts of scores that reach them through nothing but smooth operators.

    Where a quotient is compared or rounded down, one that is exact must stay so: floor(q * (1 / 41)) is not
    floor(q / 41).
    """
    smooth: set[Expr] = set()
    other: set[Expr] = set()
    for root in roots:
        sort_parts(root, root.kind is Kind.REAL, smooth, other)
    return frozenset(smooth - other)


def sort_parts(expr: Expr, is_smooth: bool, smooth: set[Expr], other: set[Expr]) -> None:
    (smooth if is_smooth else other).add(expr)
    operator = expr.operator if isinstance(expr, Apply) else None
    for number, part in enumerate(children(expr)):
        is_chosen = operator is Operator.WHERE and number > 0
        sort_parts(part, is_smooth and (operator in SMOOTH or is_chosen), smooth, other)
