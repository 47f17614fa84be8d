"""Rules of two-valued logic, and of choices by a condition, that leave less to compute."""

from __future__ import annotations

from collections.abc import Iterable

from .kinds import applied
from .tree import Apply, Expr, Kind, Literal, Operator, children

TRUE, FALSE = Literal(True), Literal(False)
_OPPOSITE = {
    Operator.LESS: Operator.GREATER_EQUAL,
    Operator.LESS_EQUAL: Operator.GREATER,
    Operator.GREATER: Operator.LESS_EQUAL,
    Operator.GREATER_EQUAL: Operator.LESS,
    Operator.EQUAL: Operator.NOT_EQUAL,
    Operator.NOT_EQUAL: Operator.EQUAL,
}
_HOLDS_FOR_EQUALS = frozenset({Operator.LESS_EQUAL, Operator.GREATER_EQUAL, Operator.EQUAL})


def negation(condition: Expr) -> Expr:
    """`not condition`, without a `not` where there is a way."""
    if isinstance(condition, Literal):
        return FALSE if condition == TRUE else TRUE
    if not isinstance(condition, Apply):
        return applied(Operator.NOT, condition)
    if condition.operator is Operator.NOT:
        return condition.arguments[0]
    opposite = _OPPOSITE.get(condition.operator)
    ordered = opposite not in (None, Operator.EQUAL, Operator.NOT_EQUAL)
    has_real = any(operand.kind is Kind.REAL for operand in condition.arguments)
    if opposite is None or (ordered and has_real):  # `not x < y` holds for NaN, `x >= y` does not
        return applied(Operator.NOT, condition)
    return applied(opposite, *condition.arguments)


def simplify_not(expr: Apply) -> Expr:
    simpler = negation(expr.arguments[0])
    return expr if simpler == expr else simpler


def simplify_comparison(expr: Apply) -> Expr:
    left, right = expr.arguments
    if left == right and left.kind is not Kind.REAL:  # a NaN is not equal to itself
        return TRUE if expr.operator in _HOLDS_FOR_EQUALS else FALSE
    if left.kind is not Kind.CONDITION:
        return expr
    for side, other in ((left, right), (right, left)):
        if isinstance(side, Literal):
            same = (side == TRUE) == (expr.operator is Operator.EQUAL)
            return other if same else negation(other)
    return expr


def simplify_and_or(expr: Apply) -> Expr:
    neutral, absorbing = (TRUE, FALSE) if expr.operator is Operator.AND else (FALSE, TRUE)
    parts = [part for part in parts_of(expr.arguments, expr.operator) if part != neutral]
    if absorbing in parts or any(negation(part) in parts for part in parts):
        return absorbing
    kept = tuple(part for part in parts if not _is_implied(part, parts, expr.operator))
    if len(kept) > 1:
        return expr if kept == expr.arguments else applied(expr.operator, *kept)
    return kept[0] if kept else neutral


def parts_of(operands: Iterable[Expr], operator: Operator) -> tuple[Expr, ...]:
    """The operands, those of a nested same operator among them, each once."""
    parts: dict[Expr, None] = {}
    for operand in operands:
        is_nested = isinstance(operand, Apply) and operand.operator is operator
        parts.update(dict.fromkeys(children(operand) if is_nested else (operand,)))
    return tuple(parts)


def _is_implied(part: Expr, parts: list[Expr], operator: Operator) -> bool:
    # a and (a or b) -> a;  a or (a and b) -> a
    dual = Operator.OR if operator is Operator.AND else Operator.AND
    return (
        isinstance(part, Apply) and part.operator is dual and any(inner in parts for inner in part.arguments)
    )


def simplify_where(expr: Apply) -> Expr:
    condition, if_true, if_false = expr.arguments
    if if_true == if_false:
        return _of_kind(if_true, expr)
    if isinstance(condition, Literal):
        return _of_kind(if_true if condition == TRUE else if_false, expr)
    if (if_true, if_false) == (TRUE, FALSE):
        return condition
    if (if_true, if_false) == (FALSE, TRUE):
        return negation(condition)
    if isinstance(condition, Apply) and condition.operator is Operator.NOT:
        return applied(Operator.WHERE, condition.arguments[0], if_false, if_true)
    return expr


def _of_kind(choice: Expr, expr: Apply) -> Expr:
    if choice.kind is expr.kind:
        return choice
    return Literal(float(choice.value)) if isinstance(choice, Literal) else expr
