"""Traced values: what a function is run with, so that each operation on them becomes a node of a tree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NoReturn

from .kinds import CONDITIONS, INTEGERS, KIND_IN_WORDS, NUMBERS, OF_ALIKE, OF_CONDITIONS, applied, takes
from .reader import ArrayType
from .refusals import PYTHON_NAMES, Refusals, TraceError, foreign, refusal
from .syntax import MOST_NODES
from .tree import (
    INTEGER_LIMIT,
    REAL_LIMIT,
    Apply,
    Element,
    Expr,
    Kind,
    Literal,
    Number,
    Operator,
    to_text,
    walk,
)

_SHOWN = 48  # characters of an expression in an error
_WRONG_KIND = {
    NUMBERS: ("needs-number", "write mhagen.where(condition, 1, 0)"),
    CONDITIONS: ("needs-condition", "compare it, for instance `!= 0`"),
    INTEGERS: ("needs-integer", "divide with //, choose with mhagen.where"),
}
_IN_PYTHON = {Operator.AND: "&", Operator.OR: "|", Operator.NOT: "~", Operator.NEGATE: "-"}
_JOINING = (Operator.AND, Operator.OR)
_OF_BITS = "& and | bind tighter than comparisons: put these into parentheses; of bits, write // and %"
# NumPy's functions that mean what an operator of expressions means.
_UFUNCS: Mapping[str, Operator] = {
    "add": Operator.ADD,
    "subtract": Operator.SUBTRACT,
    "multiply": Operator.MULTIPLY,
    "divide": Operator.DIVIDE,
    "true_divide": Operator.DIVIDE,
    "floor_divide": Operator.FLOOR_DIVIDE,
    "remainder": Operator.MODULO,
    "power": Operator.POWER,
    "negative": Operator.NEGATE,
    "absolute": Operator.ABS,
    "less": Operator.LESS,
    "less_equal": Operator.LESS_EQUAL,
    "greater": Operator.GREATER,
    "greater_equal": Operator.GREATER_EQUAL,
    "equal": Operator.EQUAL,
    "not_equal": Operator.NOT_EQUAL,
    **dict.fromkeys(("logical_and", "bitwise_and"), Operator.AND),
    **dict.fromkeys(("logical_or", "bitwise_or"), Operator.OR),
    **dict.fromkeys(("logical_not", "invert"), Operator.NOT),
    "minimum": Operator.MIN,
    "maximum": Operator.MAX,
    "exp": Operator.EXP,
    "log": Operator.LOG,
    "sqrt": Operator.SQRT,
    "tanh": Operator.TANH,
    "floor": Operator.FLOOR,
    "expit": Operator.SIGMOID,  # SciPy's
}


def apply(operator: Operator, *operands: object) -> Traced:
    """The operator with these operands: traced values and numbers.

    Raises   TraceError if an operand is neither, or not what the operator takes
    """
    parts = tuple(lifted(operand) for operand in operands)
    _require_kinds(operator, parts)
    return Traced(_small(applied(operator, *_flat(operator, parts))))


def _flat(operator: Operator, parts: tuple[Expr, ...]) -> tuple[Expr, ...]:
    # a & b & c is one `and` of three, as `a and b and c` is.
    match parts[0]:
        case Apply(operator=inner, arguments=left) if inner is operator and operator in _JOINING:
            return (*left, *parts[1:])
        case _:
            return parts


def _require_kinds(operator: Operator, parts: tuple[Expr, ...]) -> None:
    name = _spelling(operator)
    if operator in _JOINING:
        _require(parts, CONDITIONS, f"{name} takes conditions", _OF_BITS)
    elif operator in OF_CONDITIONS:
        _require(parts, CONDITIONS, f"{name} takes conditions")
    elif operator in OF_ALIKE:
        _require(parts, _common(parts), f"{name} compares two numbers or two conditions")
    elif operator is Operator.WHERE:
        _require(parts[:1], CONDITIONS, f"{name} chooses by a condition")
        choices = parts[1:]
        _require(choices, _common(choices), f"the choices of {name} are numbers, or are conditions")
    else:
        _require(parts, NUMBERS, f"{name} takes numbers")


def _spelling(operator: Operator) -> str:
    name = operator.value
    if name.isalpha() and operator not in _IN_PYTHON:
        return f"mhagen.{PYTHON_NAMES.get(name, name)}"
    return f"`{_IN_PYTHON.get(operator, name)}`"


def _common(parts: tuple[Expr, ...]) -> frozenset[Kind]:
    return NUMBERS if any(part.kind in NUMBERS for part in parts) else CONDITIONS


def _require(parts: tuple[Expr, ...], kinds: frozenset[Kind], message: str, instead: str = "") -> None:
    code, remedy = _WRONG_KIND[kinds]
    for part in parts:
        if part.kind not in kinds:
            raise refusal(code, message, f"`{_short(part)}` is {KIND_IN_WORDS[part.kind]}", instead or remedy)


def _short(expr: Expr) -> str:
    text = to_text(expr)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _small(expr: Expr) -> Expr:
    # A value used twice stands twice in the text: thirty squarings in a row would be a billion nodes.
    if sum(1 for _ in walk(expr)) > MOST_NODES:
        label = f"at most {MOST_NODES} operations and operands; what is used twice counts twice"
        raise refusal("expression-too-large", "the traced expression is too large", label)
    return expr


def lifted(value: object) -> Expr:
    """The expression of a value in a traced function.

    Raises   TraceError for what is neither traced nor a number
    """
    match value:
        case Traced(expr):
            return expr
        case TracedArray():
            raise refusal("needs-index", f"`{value.name}` is an array", "index it", value.example)
        case bool():
            return Literal(value)
        case Integral():
            return _literal(int(value))
        case Real():
            return _literal(float(value))
        case _:
            return _outside(value)


def _outside(value: object) -> Expr:
    if not hasattr(value, "shape"):
        message = f"a {type(value).__name__} takes part in an expression"
        raise refusal("not-a-number", message, "write numbers, and what the function is given")
    if value.shape == () and hasattr(value, "item"):  # an array or a tensor of no axes
        return lifted(value.item())
    raise array_from_outside(value)


def array_from_outside(value: object) -> TraceError:
    """The error of an array that is not an input."""
    message = f"a {type(value).__name__} from outside takes part in an expression"
    label = "declare it under inputs=, take it as a parameter of the function, and index it"
    return refusal("array-from-outside", message, label, "of one number, write .item()")


def _literal(value: Number) -> Literal:
    if isinstance(value, float) and not math.isfinite(value):
        label = "to hide a key, let `keep` be False there" if value else ""
        raise refusal("not-finite", f"{value} cannot stand in an expression", label)
    limit = REAL_LIMIT if isinstance(value, float) else INTEGER_LIMIT
    if abs(value) > limit:
        label = f"at most {limit} in magnitude"
        raise refusal("number-out-of-range", f"the number {value:.6g} is too large", label)
    return Literal(value)


class Operations(Refusals):
    """Python's operators and NumPy's functions, as far as expressions have them."""

    __slots__ = ()

    def __add__(self, other: object) -> Traced:
        return apply(Operator.ADD, self, other)

    def __radd__(self, other: object) -> Traced:
        return apply(Operator.ADD, other, self)

    def __sub__(self, other: object) -> Traced:
        return apply(Operator.SUBTRACT, self, other)

    def __rsub__(self, other: object) -> Traced:
        return apply(Operator.SUBTRACT, other, self)

    def __mul__(self, other: object) -> Traced:
        return apply(Operator.MULTIPLY, self, other)

    def __rmul__(self, other: object) -> Traced:
        return apply(Operator.MULTIPLY, other, self)

    def __truediv__(self, other: object) -> Traced:
        return apply(Operator.DIVIDE, self, other)

    def __rtruediv__(self, other: object) -> Traced:
        return apply(Operator.DIVIDE, other, self)

    def __floordiv__(self, other: object) -> Traced:
        return apply(Operator.FLOOR_DIVIDE, self, other)

    def __rfloordiv__(self, other: object) -> Traced:
        return apply(Operator.FLOOR_DIVIDE, other, self)

    def __mod__(self, other: object) -> Traced:
        return apply(Operator.MODULO, self, other)

    def __rmod__(self, other: object) -> Traced:
        return apply(Operator.MODULO, other, self)

    def __pow__(self, other: object) -> Traced:
        return apply(Operator.POWER, self, other)

    def __rpow__(self, other: object) -> Traced:
        return apply(Operator.POWER, other, self)

    def __neg__(self) -> Traced:
        return apply(Operator.NEGATE, self)

    def __pos__(self) -> Traced:
        return Traced(lifted(self))

    def __abs__(self) -> Traced:
        return apply(Operator.ABS, self)

    def __floor__(self) -> Traced:
        return apply(Operator.FLOOR, self)

    def __lt__(self, other: object) -> Traced:
        return apply(Operator.LESS, self, other)

    def __le__(self, other: object) -> Traced:
        return apply(Operator.LESS_EQUAL, self, other)

    def __gt__(self, other: object) -> Traced:
        return apply(Operator.GREATER, self, other)

    def __ge__(self, other: object) -> Traced:
        return apply(Operator.GREATER_EQUAL, self, other)

    def __eq__(self, other: object) -> Traced:  # type: ignore[override]
        return apply(Operator.EQUAL, self, other)

    def __ne__(self, other: object) -> Traced:  # type: ignore[override]
        return apply(Operator.NOT_EQUAL, self, other)

    __hash__ = Refusals.__hash__

    def __and__(self, other: object) -> Traced:
        return apply(Operator.AND, self, other)

    def __rand__(self, other: object) -> Traced:
        return apply(Operator.AND, other, self)

    def __or__(self, other: object) -> Traced:
        return apply(Operator.OR, self, other)

    def __ror__(self, other: object) -> Traced:
        return apply(Operator.OR, other, self)

    def __invert__(self) -> Traced:
        return apply(Operator.NOT, self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: object, **options: object) -> Traced:
        operator = _UFUNCS.get(ufunc.__name__)
        if operator is None or method != "__call__" or options:
            raise foreign("numpy", ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}")
        return apply(operator, *inputs)

    def __array_function__(
        self, function: Any, types: object, inputs: tuple[object, ...], options: Mapping[str, object]
    ) -> Traced:
        if function.__name__ == "where" and takes(Operator.WHERE, len(inputs)) and not options:
            return apply(Operator.WHERE, *inputs)
        raise foreign("numpy", function.__name__)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: object, inputs: tuple[object, ...] = (), options: object = None
    ) -> NoReturn:
        for each in inputs:
            if not isinstance(each, Operations) and hasattr(each, "shape"):
                raise array_from_outside(each)
        raise foreign("torch", getattr(function, "__name__", "this function"))


@dataclass(frozen=True, eq=False, repr=False)
class Traced(Operations):
    """A value of which only the expression is known."""

    expr: Expr

    def __repr__(self) -> str:
        return f"<traced: {to_text(self.expr)}>"

    def __getitem__(self, indices: object) -> NoReturn:
        raise refusal("not-an-array", f"`{_short(self.expr)}` cannot be indexed", "only inputs can be")


@dataclass(frozen=True, eq=False, repr=False)
class TracedArray(Operations):
    """An entry of [inputs], which a function can only index."""

    name: str
    type: ArrayType

    @property
    def example(self) -> str:
        return f"for instance {self.name}[{self.type.indices}]"

    def __repr__(self) -> str:
        return f"<traced array: {self.name}>"

    def __getitem__(self, indices: object) -> Traced:
        given = indices if isinstance(indices, tuple) else (indices,)
        for index in given:
            if index is None or index is Ellipsis or isinstance(index, slice):
                raise refusal("needs-integer", "an index is an integer", "slices make arrays", self.example)
        parts = tuple(lifted(index) for index in given)
        if len(parts) != self.type.rank:
            message, label = f"`{self.name}` takes one index for each of its axes", "all in one pair of []"
            remedy = f"{self.type.rank}, not {len(parts)}: {self.example}"
            raise refusal("wrong-index-count", message, label, remedy)
        _require(parts, INTEGERS, "an index is an integer")
        return Traced(_small(Element(self.name, parts, self.type.kind)))
