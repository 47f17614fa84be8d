"""How the operators of expressions are spelled in kernels: for plain numbers, and for vectors."""

from __future__ import annotations

from functools import reduce
from typing import assert_never

from ..expr.tree import Apply, Constant, Kind, Literal, Operator

MOST_FACTORS = 64  # of an integer power: 2 to it leaves 64 bits
MOST_REAL_FACTORS = 16  # of a real power: beyond it, roundings add up to more than those of power()
INFIX = {
    Operator.ADD: "+",
    Operator.SUBTRACT: "-",
    Operator.MULTIPLY: "*",
    Operator.DIVIDE: "/",
    Operator.LESS: "<",
    Operator.LESS_EQUAL: "<=",
    Operator.GREATER: ">",
    Operator.GREATER_EQUAL: ">=",
    Operator.EQUAL: "==",
    Operator.NOT_EQUAL: "!=",
}
LOGIC = {Operator.AND: ("and", "&"), Operator.OR: ("or", "|")}
# Integers: the name for numbers, the name for vectors. Of reals, always vectors, they let a NaN through.
EXTREMES_OF_INTEGERS = {Operator.MIN: ("min", "minimum"), Operator.MAX: ("max", "maximum")}
EXTREMES_OF_REALS = {Operator.MIN: ("", "minimum_or_nan"), Operator.MAX: ("", "maximum_or_nan")}
REAL_LANES = (Operator.FLOOR_DIVIDE, Operator.MODULO, Operator.MIN, Operator.MAX, Operator.ABS)
REAL_FUNCTIONS = {
    Operator.EXP: "exp",
    Operator.LOG: "log",
    Operator.SQRT: "square_root",
    Operator.TANH: "tanh",
    Operator.SIGMOID: "sigmoid",
    Operator.FLOOR: "round_down",
}
SHORT_FUNCTIONS = {**REAL_FUNCTIONS, Operator.TANH: "tanh_short"}  # where results end up in 16 bits


def makes_vector(expr: Apply) -> bool:
    if expr.operator in REAL_FUNCTIONS or is_real_power(expr):
        return True
    return expr.kind is Kind.REAL and expr.operator in REAL_LANES


def in_lanes(kind: Kind, text: str, wide: bool) -> str:
    """A plain number or condition as a vector."""
    match kind:
        case Kind.REAL:
            return f"splat({text})"
        case Kind.INTEGER:
            zeros = "wide(lane_numbers()) * 0" if wide else "lane_numbers() * 0"
            return f"{zeros} + {grouped(text)}"
        case Kind.CONDITION:
            return f"(lane_numbers() >= 0) & {grouped(text)}"
        case _:
            assert_never(kind)


def choice(expr: Apply, values: list[str], vector: bool) -> str:
    match expr.operator, vector:
        case Operator.WHERE, True:
            return f"where({', '.join(values)})"
        case Operator.WHERE, False:
            return f"{grouped(values[1])} if {grouped(values[0])} else {grouped(values[2])}"
        case Operator.ABS, _:
            return f"{'absolute' if vector else 'abs'}({values[0]})"
        case _:
            names = EXTREMES_OF_REALS if expr.kind is Kind.REAL else EXTREMES_OF_INTEGERS
            name = names[expr.operator][vector]
            return reduce(lambda text, value: f"{name}({text}, {value})", values)


def division(expr: Apply, values: list[str], vector: bool) -> str:
    whole = expr.operator is Operator.FLOOR_DIVIDE
    name = "floor_divide" if whole else "modulo"
    if expr.kind is Kind.REAL:
        return f"{name}(splat(1.0) * {values[0]}, splat(1.0) * {values[1]})"
    if vector:
        return f"{name}({values[0]}, {values[1]})"
    return f"{values[0]} {'//' if whole else '%'} {values[1]}"


def power(expr: Apply, values: list[str]) -> str:
    if is_real_power(expr):
        return f"power({values[0]}, {values[1]})"
    exponent = expr.arguments[1]
    assert isinstance(exponent, Literal | Constant)
    times = int(exponent.value)
    if times > MOST_FACTORS:  # an integer that stays within 64 bits is then -1, 0 or 1: only parity counts
        times = MOST_FACTORS - times % 2
    unit = "1" if expr.kind is Kind.INTEGER else "1.0"
    return " * ".join([values[0]] * times) or unit


def is_real_power(expr: Apply) -> bool:
    """Is it a power that repeated multiplication does not give?"""
    if expr.operator is not Operator.POWER or expr.kind is Kind.INTEGER:
        return False
    exponent = expr.arguments[1]
    if not isinstance(exponent, Literal | Constant):
        return True
    return exponent.value != int(exponent.value) or not 0 <= exponent.value <= MOST_REAL_FACTORS


def is_single(text: str) -> bool:
    """Is it a name, a number or one call, which no operator beside it can tear apart?"""
    opened = text.find("(")
    if opened < 0:
        return " " not in text and not text.startswith(("-", "~"))
    depth = 0
    for place, letter in enumerate(text[opened:], opened):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return place == len(text) - 1 and " " not in text[:opened]
    return False


def grouped(text: str) -> str:
    return text if is_single(text) else f"({text})"
