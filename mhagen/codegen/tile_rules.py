"""How the two ends of integers and of conditions pass through operators: as text for `visibility`."""

from __future__ import annotations

from collections.abc import Callable

from ..expr.tree import Operator


class UnboundedError(Exception):
    """This part has no cheap bounds; the condition around it is unknown."""


Pair = tuple[str, str]


def product(x: Pair, y: Pair) -> Pair:
    corners = ", ".join(f"{a} * {b}" for a in dict.fromkeys(x) for b in dict.fromkeys(y))
    return (f"min({corners})", f"max({corners})") if ", " in corners else (corners, corners)


def quotient(x: Pair, y: Pair) -> Pair:
    """Between those of the ends. No divisor is 0; where its ends lie around that, it may be 1 or -1."""
    corners = ", ".join(f"{a} // {b}" for a in dict.fromkeys(x) for b in dict.fromkeys(y))
    if y[0] == y[1]:
        return (f"min({corners})", f"max({corners})") if ", " in corners else (corners, corners)
    one_sign, most = f"{y[0]} > 0 or {y[1]} < 0", f"max(abs({x[0]}), abs({x[1]}))"
    return f"min({corners}) if {one_sign} else -{most}", f"max({corners}) if {one_sign} else {most}"


def remainder(x: Pair, y: Pair) -> Pair:
    """Exact where both ends lie in one period of the divisor; else anything between 0 and it."""
    divisor = y[0]
    if divisor != y[1]:
        raise UnboundedError
    least, most = f"min(0, {divisor} + 1)", f"max(0, {divisor} - 1)"
    if divisor.isdigit():
        least, most = "0", str(int(divisor) - 1)
    one_period = f"{x[0]} // {divisor} == {x[1]} // {divisor}"
    return (
        f"{x[0]} % {divisor} if {one_period} else {least}",
        f"{x[1]} % {divisor} if {one_period} else {most}",
    )


MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def compared(left: str, sign: str, right: str) -> str:
    """The test, with what is constant on the right."""
    if left.upper() == left and right.upper() != right:
        return f"{right} {MIRRORED[sign]} {left}"
    return f"{left} {sign} {right}"


def one_value(x: Pair, y: Pair) -> str:
    """The test that both can only have one value, and the same."""
    texts = tuple(dict.fromkeys((*x, *y)))
    return " == ".join(texts) if len(texts) > 1 else "True"


def minimum_of(*pairs: Pair) -> Pair:
    return tuple(f"min({', '.join(pair[i] for pair in pairs)})" for i in (0, 1))  # type: ignore[return-value]


def maximum_of(*pairs: Pair) -> Pair:
    return tuple(f"max({', '.join(pair[i] for pair in pairs)})" for i in (0, 1))  # type: ignore[return-value]


def absolute(x: Pair) -> Pair:
    if x[0] == x[1]:
        return (f"abs({x[0]})",) * 2
    return f"max({x[0]}, -{x[1]}, 0)", f"max(-{x[0]}, {x[1]})"


def equal(x: Pair, y: Pair) -> Pair:
    if x[0] == x[1] and y[0] == y[1]:
        return (truth(f"{x[0]} == {y[0]}"),) * 2
    return truth(one_value(x, y)), truth(f"{compared(x[0], '<=', y[1])} and {compared(y[0], '<=', x[1])}")


def unequal(x: Pair, y: Pair) -> Pair:
    if x[0] == x[1] and y[0] == y[1]:
        return (truth(f"{x[0]} != {y[0]}"),) * 2
    return truth(f"{compared(x[1], '<', y[0])} or {compared(y[1], '<', x[0])}"), truth(
        f"not ({one_value(x, y)})"
    )


def choose(condition: Pair, x: Pair, y: Pair) -> Pair:
    sure, possible = condition
    if sure == possible:
        return f"{x[0]} if {sure} == 1 else {y[0]}", f"{x[1]} if {sure} == 1 else {y[1]}"
    low, high = f"min({x[0]}, {y[0]})", f"max({x[1]}, {y[1]})"
    return (
        f"{x[0]} if {sure} == 1 else {y[0]} if {possible} == 0 else {low}",
        f"{x[1]} if {sure} == 1 else {y[1]} if {possible} == 0 else {high}",
    )


def truth(test: str) -> str:
    return f"1 if {test} else 0"


RULES: dict[Operator, Callable[..., Pair]] = {
    Operator.ADD: lambda x, y: (f"{x[0]} + {y[0]}", f"{x[1]} + {y[1]}"),
    Operator.SUBTRACT: lambda x, y: (f"{x[0]} - {y[1]}", f"{x[1]} - {y[0]}"),
    Operator.NEGATE: lambda x: (f"-{x[1]}", f"-{x[0]}"),
    Operator.MULTIPLY: product,
    Operator.FLOOR_DIVIDE: quotient,
    Operator.MODULO: remainder,
    Operator.ABS: absolute,
    Operator.MIN: minimum_of,
    Operator.MAX: maximum_of,
    Operator.WHERE: choose,
    Operator.LESS: lambda x, y: (truth(compared(x[1], "<", y[0])), truth(compared(x[0], "<", y[1]))),
    Operator.LESS_EQUAL: lambda x, y: (truth(compared(x[1], "<=", y[0])), truth(compared(x[0], "<=", y[1]))),
    Operator.GREATER: lambda x, y: (truth(compared(x[0], ">", y[1])), truth(compared(x[1], ">", y[0]))),
    Operator.GREATER_EQUAL: lambda x, y: (
        truth(compared(x[0], ">=", y[1])),
        truth(compared(x[1], ">=", y[0])),
    ),
    Operator.EQUAL: equal,
    Operator.NOT_EQUAL: unequal,
    Operator.AND: minimum_of,
    Operator.OR: maximum_of,
    Operator.NOT: lambda x: (f"1 - {x[1]}", f"1 - {x[0]}"),
}
