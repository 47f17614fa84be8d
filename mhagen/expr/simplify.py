"""The same expression with less to compute. Every rule is exact, for NaN, infinities and signed zeros too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .fold import known_value
from .kinds import applied
from .logic import parts_of, simplify_and_or, simplify_comparison, simplify_not, simplify_where
from .tree import COMPARISONS, Apply, Constant, Expr, Kind, Literal, Operator, replace

_ZERO, _ONE = Literal(0), Literal(1)


def simplify(expr: Expr) -> Expr:
    """Fold what is known and drop what changes nothing, until nothing more can be done.

    A named constant stays as long as the machine's compiler folds it as well: `window - 1` is left, and
    `log(cap)` becomes a number.
    Numbers  integers exactly; reals as Python computes them in float64.
    """
    while (simpler := replace(expr, _step)) != expr:
        expr = simpler
    return expr


def _step(expr: Expr) -> Expr:
    if isinstance(expr, Constant) and expr.kind is Kind.CONDITION:  # a switch
        return Literal(expr.value, expr.column, expr.length)
    if not isinstance(expr, Apply):
        return expr
    value = known_value(expr) if _is_to_fold(expr) else None
    if value is not None:
        return Literal(value, expr.column, expr.length)
    rule = _RULES.get(expr.operator)
    return expr if rule is None else rule(expr)


def _is_to_fold(expr: Apply) -> bool:
    # Calls and powers would cost time at every element. Sums and products of constants LLVM folds too.
    if expr.kind is Kind.CONDITION or expr.operator in _COSTLY:
        return True
    return all(isinstance(argument, Literal) for argument in expr.arguments)


_COSTLY = frozenset(
    {Operator.EXP, Operator.LOG, Operator.SQRT, Operator.TANH, Operator.SIGMOID, Operator.POWER}
)


def _applies(expr: Expr, *operators: Operator) -> bool:
    return isinstance(expr, Apply) and expr.operator in operators


def _operand_of(expr: Expr, operator: Operator) -> Expr | None:
    return expr.arguments[0] if isinstance(expr, Apply) and expr.operator is operator else None


def _negate(expr: Apply) -> Expr:
    return _operand_of(expr.arguments[0], Operator.NEGATE) or expr


def _add(expr: Apply) -> Expr:
    if expr.kind is Kind.INTEGER:  # a real -0.0 + 0 is 0.0
        left, right = expr.arguments
        if left == _ZERO:
            return right
        if right == _ZERO:
            return left
    return expr


def _subtract(expr: Apply) -> Expr:
    left, right = expr.arguments
    if right in (_ZERO, Literal(0.0)) and left.kind is expr.kind:
        return left
    if expr.kind is Kind.INTEGER and left == right:
        return _ZERO
    return expr


def _multiply(expr: Apply) -> Expr:
    left, right = expr.arguments
    for factor, other in ((left, right), (right, left)):
        if _is_one(factor) and other.kind is expr.kind:
            return other
        if factor == _ZERO and expr.kind is Kind.INTEGER:
            return _ZERO
    return expr


def _is_one(expr: Expr) -> bool:
    return expr in (_ONE, Literal(1.0))


def _divide(expr: Apply) -> Expr:
    left, right = expr.arguments
    return left if _is_one(right) and left.kind is Kind.REAL else expr


def _floor_divide(expr: Apply) -> Expr:
    left, right = expr.arguments
    return left if right == _ONE and expr.kind is Kind.INTEGER else expr


def _modulo(expr: Apply) -> Expr:
    return _ZERO if expr.arguments[1] == _ONE and expr.kind is Kind.INTEGER else expr


def _power(expr: Apply) -> Expr:
    base, exponent = expr.arguments
    if _is_one(exponent) and base.kind is expr.kind:
        return base
    if exponent == _ZERO and expr.kind is Kind.INTEGER:
        return _ONE
    if expr.kind is Kind.REAL and isinstance(exponent, Literal) and exponent.kind is Kind.INTEGER:
        return applied(Operator.POWER, base, Literal(float(exponent.value)))  # an integer one would be exact
    return expr


def _abs(expr: Apply) -> Expr:
    (operand,) = expr.arguments
    if _applies(operand, Operator.ABS):
        return operand
    negated = _operand_of(operand, Operator.NEGATE)
    return expr if negated is None else applied(Operator.ABS, negated)


def _floor(expr: Apply) -> Expr:
    (operand,) = expr.arguments
    return operand if expr.kind is Kind.INTEGER or _applies(operand, Operator.FLOOR) else expr


def _least_or_greatest(expr: Apply) -> Expr:
    if expr.kind is Kind.REAL:  # which of 0.0 and -0.0 is left depends on the order
        return expr.arguments[0] if len(set(expr.arguments)) == 1 else expr
    parts = parts_of(expr.arguments, expr.operator)
    if parts == expr.arguments:
        return expr
    return parts[0] if len(parts) == 1 else applied(expr.operator, *parts)


_RULES: Mapping[Operator, Callable[[Apply], Expr]] = {
    Operator.NEGATE: _negate,
    Operator.ADD: _add,
    Operator.SUBTRACT: _subtract,
    Operator.MULTIPLY: _multiply,
    Operator.DIVIDE: _divide,
    Operator.FLOOR_DIVIDE: _floor_divide,
    Operator.MODULO: _modulo,
    Operator.POWER: _power,
    Operator.ABS: _abs,
    Operator.FLOOR: _floor,
    Operator.MIN: _least_or_greatest,
    Operator.MAX: _least_or_greatest,
    Operator.NOT: simplify_not,
    Operator.AND: simplify_and_or,
    Operator.OR: simplify_and_or,
    Operator.WHERE: simplify_where,
    **dict.fromkeys(COMPARISONS, simplify_comparison),
}
