"""How the two ends of reals pass through operators, as text for `visibility`.

Every result goes through `widened`, a function of the module: it moves the ends apart by more than a kernel
rounds, in float32 and however it multiplies, adds and divides, and gives -inf and inf for what may have
overflowed or be NaN. So either both ends are finite, and the number lies between them, or nothing is known.
Comparisons are certain only of finite ends: NaN is less than nothing, and unequal to everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import pack, unpack

from ..expr.tree import REAL_LIMIT, Constant, Expr, Literal, Operator
from .tile_rules import RULES, Pair, UnboundedError, compared, product, truth

SMALLEST_DIVISOR = 1e-30  # widened, it is still far from 0


def rounded(low: str, high: str) -> str:
    return f"widened({low}, {high})"


def is_exact(value: float) -> bool:
    """Is it the same in float32?"""
    return abs(value) <= REAL_LIMIT and unpack("f", pack("f", value))[0] == value


def as_real(pair: Pair) -> Pair:
    return f"1.0 * {pair[0]}", f"1.0 * {pair[1]}"


def quotient(x: Pair, y: Pair) -> Pair:
    corners = ", ".join(f"{a} / {b}" for a in dict.fromkeys(x) for b in dict.fromkeys(y))
    return (f"min({corners})", f"max({corners})") if ", " in corners else (corners, corners)


def check_divisor(divisor: Expr) -> None:
    """Raises   UnboundedError for a divisor that is not known before, or that may be 0 by its bounds"""
    is_known = isinstance(divisor, Literal | Constant) and abs(float(divisor.value)) >= SMALLEST_DIVISOR
    if not is_known:
        raise UnboundedError


def less(x: Pair, y: Pair) -> Pair:
    """Also less or equal: with a strict test of what is certain, infinite ends say nothing."""
    return truth(compared(x[1], "<", y[0])), truth(compared(x[0], "<=", y[1]))


def equal(x: Pair, y: Pair) -> Pair:
    return "0", truth(f"{compared(x[0], '<=', y[1])} and {compared(y[0], '<=', x[1])}")


def unequal(x: Pair, y: Pair) -> Pair:
    return truth(f"{compared(x[1], '<', y[0])} or {compared(y[1], '<', x[0])}"), "1"


REAL_RULES: Mapping[Operator, Callable[..., Pair]] = {
    operator: RULES[operator]
    for operator in (
        *(Operator.ADD, Operator.SUBTRACT, Operator.NEGATE),
        *(Operator.MIN, Operator.MAX, Operator.WHERE),
    )
} | {
    Operator.ABS: lambda x: (f"max({x[0]}, -{x[1]}, 0.0)", f"max(-{x[0]}, {x[1]})"),
    Operator.MULTIPLY: product,
    Operator.DIVIDE: quotient,
}

REAL_COMPARISONS: Mapping[Operator, Callable[[Pair, Pair], Pair]] = {
    Operator.LESS: less,
    Operator.LESS_EQUAL: less,
    Operator.GREATER: lambda x, y: less(y, x),
    Operator.GREATER_EQUAL: lambda x, y: less(y, x),
    Operator.EQUAL: equal,
    Operator.NOT_EQUAL: unequal,
}
