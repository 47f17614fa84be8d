"""Which kind of number an operator gives, and how many operands it takes."""

from __future__ import annotations

from .tree import COMPARISONS, Apply, Constant, Expr, Kind, Literal, Operator

# What operands may be; `==` and `!=` and both choices of `where` are numbers all, or conditions all.
NUMBERS = frozenset({Kind.INTEGER, Kind.REAL})
CONDITIONS = frozenset({Kind.CONDITION})
INTEGERS = frozenset({Kind.INTEGER})
OF_CONDITIONS = frozenset({Operator.AND, Operator.OR, Operator.NOT})
OF_ALIKE = frozenset({Operator.EQUAL, Operator.NOT_EQUAL})
KIND_IN_WORDS = {Kind.INTEGER: "an integer", Kind.REAL: "a real number", Kind.CONDITION: "a condition"}
_CONDITIONS = COMPARISONS | OF_CONDITIONS
_REALS = frozenset(
    {Operator.DIVIDE, Operator.EXP, Operator.LOG, Operator.SQRT, Operator.TANH, Operator.SIGMOID}
)


def result_kind(operator: Operator, operands: tuple[Expr, ...]) -> Kind:
    """The kind of the result: real if any operand is, for whatever can be exact.

    An integer to a power stays an integer where the exponent is known and not negative.
    """
    if operator in _CONDITIONS:
        return Kind.CONDITION
    if operator in _REALS or (operator is Operator.POWER and not _is_count(operands[1])):
        return Kind.REAL
    kinds = {operand.kind for operand in (operands[1:] if operator is Operator.WHERE else operands)}
    if Kind.REAL in kinds:
        return Kind.REAL
    return Kind.INTEGER if Kind.INTEGER in kinds else Kind.CONDITION


def _is_count(exponent: Expr) -> bool:
    return isinstance(exponent, Literal | Constant) and exponent.kind is Kind.INTEGER and exponent.value >= 0


def applied(operator: Operator, *operands: Expr) -> Apply:
    """The operator with these operands, of the kind that follows."""
    return Apply(operator, operands, result_kind(operator, operands))


def takes(operator: Operator, count: int) -> bool:
    if operator in (Operator.MIN, Operator.MAX):
        return count >= 2
    return count == (3 if operator is Operator.WHERE else 1)


def arguments_in_words(operator: Operator) -> str:
    match operator:
        case Operator.MIN | Operator.MAX:
            return "2 arguments or more"
        case Operator.WHERE:
            return "3 arguments: a condition, and what to take if it holds and if not"
        case _:
            return "1 argument"
