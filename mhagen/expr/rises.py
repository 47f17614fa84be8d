"""Integers that rise evenly from key to key: by how much, and what they are at key 0.

`slope[h] * (k - q)` is then a vector for each column of a tile, a number for each row, and one addition for
each cell.
"""

from __future__ import annotations

from .tree import Apply, Constant, Expr, Literal, Name, Operator, names, replace

STEEPEST = 1 << 10  # what is added to the integer of the first key stays small beside what rounds


def rise(expr: Expr) -> int | None:
    """By how much the integer rises from one key to the next; None where that is not the same everywhere."""
    if "k" not in names(expr):
        return 0
    match expr:
        case Name():
            return 1
        case Apply(operator=Operator.NEGATE, arguments=(inner,)):
            return scaled(rise(inner), -1)
        case Apply(operator=Operator.ADD, arguments=(left, right)):
            return together(rise(left), rise(right))
        case Apply(operator=Operator.SUBTRACT, arguments=(left, right)):
            return together(rise(left), scaled(rise(right), -1))
        case Apply(operator=Operator.MULTIPLY, arguments=(left, right)):
            for factor, other in ((left, right), (right, left)):
                if isinstance(factor, Literal | Constant) and isinstance(factor.value, int):
                    return scaled(rise(other), factor.value)
    return None


def together(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else within(first + second)


def scaled(rises: int | None, factor: int) -> int | None:
    return None if rises is None else within(rises * factor)


def within(rises: int) -> int | None:
    return rises if abs(rises) <= STEEPEST else None


def at_key_zero(expr: Expr) -> Expr:
    """The expression for the key at position 0."""
    return replace(expr, lambda node: Literal(0) if node == Name("k") else node)
