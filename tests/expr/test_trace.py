"""A function is traced into the expression that it computes; what none can do is told with its line."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given

import mhagen
from mhagen.expr.refusals import TraceError
from mhagen.expr.trace import trace
from mhagen.expr.traced import Traced
from mhagen.expr.tree import (
    COMPARISONS,
    NAMES,
    Apply,
    Constant,
    Element,
    Expr,
    Literal,
    Name,
    Operator,
    to_text,
)

from .random_expressions import ARRAYS, CONSTANTS, expressions
from .test_random import THOROUGH, parsed

ALL = tuple(NAMES)
Function = Callable[..., object]


def text(function: Function) -> str:
    return to_text(trace(function, ALL, constants=CONSTANTS, arrays=ARRAYS))


# Random expressions, rendered as the text of a function that Python reads.

SIGNS = {Operator.AND: "&", Operator.OR: "|"}
PREFIXES = {Operator.NOT: "~", Operator.NEGATE: "-"}
FUNCTIONS = {Operator.MIN: "mhagen.minimum", Operator.MAX: "mhagen.maximum"}


def rendered(expr: Expr) -> str:
    match expr:
        case Literal(value=value):
            return f"({value!r})"
        case Constant(name=name) | Name(name=name):
            return name
        case Element(array=array, indices=indices):
            return f"{array}[{', '.join(map(rendered, indices))}]"
        case Apply(operator=operator, arguments=arguments):
            return applied(operator, operands(expr), arguments)


def operands(expr: Apply) -> list[str]:
    """Python computes with plain numbers itself, and asks the right side first of `0 < k`: see `literal`."""
    texts = [rendered(argument) for argument in expr.arguments]
    plain = [isinstance(argument, Literal) for argument in expr.arguments]
    if all(plain[:2]) or (plain[0] and expr.operator in COMPARISONS):
        texts[0] = f"literal({texts[0]})"
    return texts


def applied(operator: Operator, texts: list[str], arguments: tuple[Expr, ...]) -> str:
    if operator in PREFIXES:
        return f"({PREFIXES[operator]}{texts[0]})"
    if operator.value.isalpha() and operator not in SIGNS:
        return f"{FUNCTIONS.get(operator, f'mhagen.{operator.value}')}({', '.join(texts)})"
    return "(" + f" {SIGNS.get(operator, operator.value)} ".join(texts) + ")"


def literal(value: bool | int | float) -> Traced:
    return Traced(Literal(value))


def flat(expr: Expr) -> bool:
    """`(a & b) & c` is what Python makes of `a & b & c`."""
    match expr:
        case Apply(Operator.AND | Operator.OR as operator, (Apply(inner, _), *_)) if inner is operator:
            return False
        case Apply(arguments=arguments) | Element(indices=arguments):
            return all(map(flat, arguments))
        case _:
            return True


@THOROUGH
@given(expressions())
def test_a_function_that_writes_an_expression_is_traced_into_an_equal_one(expr: Expr) -> None:
    assume(parsed(to_text(expr)) is not None and flat(expr))
    parameters = ", ".join((*ALL, *CONSTANTS, *ARRAYS))
    function = eval(f"lambda {parameters}: {rendered(expr)}", {"mhagen": mhagen, "literal": literal})
    assert trace(function, ALL, constants=CONSTANTS, arrays=ARRAYS) == expr


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda score, b, h, q, k: score, "score"),
        (lambda score, b, h, q, k: 0, "0"),
        (lambda s, batch, head, q_idx, kv_idx: s + (kv_idx - q_idx), "score + (k - q)"),
        (lambda score, b, h, q, k, slope: score + slope[h] * (k - q), "score + slope[h] * (k - q)"),
        (lambda score, b, h, q, k, *, cap: cap * mhagen.tanh(score / cap), "cap * tanh(score / cap)"),
        (lambda score, b, h, q, k, cap=2.0: score * cap, "score * cap"),
        (lambda score, b, h, q, k, factor=2.0: score * factor, "score * 2.0"),
        (lambda score, b, h, q, k: 2.0 ** (-8 * (h + 1) / 12), "2.0 ** (-8 * (h + 1) / 12)"),
        (lambda score, b, h, q, k: (k <= q) & (q - k < 8) & ~(h == 0), "k <= q and q - k < 8 and not h == 0"),
        (lambda score, b, h, q, k: (k <= q) | ((q < 4) & (k < 4)), "k <= q or q < 4 and k < 4"),
        (lambda score, b, h, q, k: (k <= q) & ((q < 4) & (k < 4)), "k <= q and (q < 4 and k < 4)"),
        (lambda score, b, h, q, k: True & (k <= q), "True and k <= q"),
        (lambda score, b, h, q, k: 0 * h <= k, "0 * h <= k"),
        (lambda score, b, h, q, k, segment: segment[b, q] == segment[b, k], "segment[b, q] == segment[b, k]"),
        (lambda score, b, h, q, k, visible: ~visible[q // 16, k // 16], "not visible[q // 16, k // 16]"),
        (lambda score, b, h, q, k: mhagen.where(k > q, -1e9, score), "where(k > q, -1000000000.0, score)"),
        (lambda score, b, h, q, k: abs(q - k) % 3 == 0, "abs(q - k) % 3 == 0"),
        (lambda score, b, h, q, k: math.floor(score), "floor(score)"),
        (
            lambda score, b, h, q, k: mhagen.minimum(q, k, 5) - mhagen.maximum(q, 1),
            "min(q, k, 5) - max(q, 1)",
        ),
        (lambda score, b, h, q, k: mhagen.sqrt(2.0) * mhagen.abs(+score), "sqrt(2.0) * abs(score)"),
        (lambda score, b, h, q, k: mhagen.log(mhagen.exp(-score) + 1), "log(exp(-score) + 1)"),
        (lambda score, b, h, q, k: mhagen.floor(mhagen.sigmoid(score) * 4), "floor(sigmoid(score) * 4)"),
    ],
)
def test_python_writes_expressions(function: Function, expected: str) -> None:
    assert text(function) == expected
    assert parsed(expected) is not None


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda score, b, h, q, k: np.exp(score) + np.tanh(score), "exp(score) + tanh(score)"),
        (lambda score, b, h, q, k: np.where(k <= q, score, 0.0), "where(k <= q, score, 0.0)"),
        (lambda score, b, h, q, k: np.minimum(q, k) // np.int64(2), "min(q, k) // 2"),
        (lambda score, b, h, q, k: np.float32(0.5) * score, "0.5 * score"),
        (lambda score, b, h, q, k: score * np.float64(0.1), "score * 0.1"),
        (lambda score, b, h, q, k: score + np.array(3.0), "score + 3.0"),
        (lambda score, b, h, q, k: np.bool_(True) & (k <= q), "True and k <= q"),
        (lambda score, b, h, q, k: np.logical_not(np.less(k, q)), "not k < q"),
        (lambda score, b, h, q, k: np.abs(score) ** 2, "abs(score) ** 2"),
    ],
)
def test_functions_and_numbers_of_numpy_mean_what_they_say(function: Function, expected: str) -> None:
    assert text(function) == expected


def test_whatever_a_function_calls_is_traced_too() -> None:
    def causal(b: Any, h: Any, q: Any, k: Any) -> Any:
        return k <= q

    def together(*masks: Function) -> Function:
        def mask(b: object, h: object, q: object, k: object) -> object:
            return functools.reduce(lambda a, b: a & b, (each(b, h, q, k) for each in masks))

        return mask

    window = functools.partial(lambda b, h, q, k, width: q - k < width, width=64)
    found = trace(together(causal, window), ALL[1:], constants={}, arrays={})
    assert to_text(found) == "k <= q and q - k < 64"


FLOAT_ARRAY, LIST = np.ones(8), [1, 2, 3]
CALLS: list[int] = []


def counting(score: Any, b: object, h: object, q: object, k: object) -> Any:
    CALLS.append(0)
    return score + len(CALLS)


def growing(score: Any, b: object, h: object, q: object, k: object) -> Any:
    for _ in range(40):
        score = score * score
    return score


WRONG: dict[str, tuple[Function, str, str]] = {
    "if": (lambda score, b, h, q, k: score if k <= q else 0, "not-yet-decided", "mhagen.where"),
    "and": (lambda score, b, h, q, k: k <= q and q < 3, "not-yet-decided", "&, |, ~"),
    "not": (lambda score, b, h, q, k: not k <= q, "not-yet-decided", "~"),
    "chain": (lambda score, b, h, q, k: 0 < k < q, "not-yet-decided", "(a < b) & (b < c)"),
    "min": (lambda score, b, h, q, k: min(score, 3), "not-yet-decided", "mhagen.minimum"),
    "math": (lambda score, b, h, q, k: math.exp(score), "not-yet-a-number", "mhagen.exp"),
    "float": (lambda score, b, h, q, k: float(q), "not-yet-a-number", "leave it out"),
    "int": (lambda score, b, h, q, k: int(score), "not-yet-a-number", "leave it out"),
    "round": (lambda score, b, h, q, k: round(score), "not-yet-a-number", "mhagen.floor"),
    "ceil": (lambda score, b, h, q, k: math.ceil(score), "not-yet-a-number", "mhagen.floor"),
    "list": (lambda score, b, h, q, k: LIST[h], "not-yet-a-number", "under inputs="),
    "dict": (lambda score, b, h, q, k: {1: 2}[h], "not-yet-a-number", "under inputs="),
    "array index": (lambda score, b, h, q, k: FLOAT_ARRAY[h], "not-yet-a-number", "under inputs="),
    "array": (lambda score, b, h, q, k: FLOAT_ARRAY * score, "array-from-outside", "under inputs="),
    "other array": (lambda score, b, h, q, k: score * FLOAT_ARRAY, "array-from-outside", "under inputs="),
    "loop": (lambda score, b, h, q, k: [*score], "not-a-sequence", "one number"),
    "len": (lambda score, b, h, q, k: len(score), "not-a-sequence", "one number"),
    "in": (lambda score, b, h, q, k: 1 in score, "not-a-sequence", "one number"),
    "ufunc": (lambda score, b, h, q, k: np.sin(score), "foreign-function", "mhagen.tanh"),
    "clip": (lambda score, b, h, q, k: np.clip(score, 0, 1), "foreign-function", "mhagen.minimum"),
    "reduce": (lambda score, b, h, q, k: np.add.reduce(score), "foreign-function", "numpy.add.reduce"),
    "out": (lambda score, b, h, q, k: np.exp(score, out=FLOAT_ARRAY), "foreign-function", "numpy.exp"),
    "method": (lambda score, b, h, q, k: score.tanh(), "no-such-attribute", "mhagen.tanh"),
    "attribute": (lambda score, b, h, q, k: score.dtype, "no-such-attribute", "mhagen.where"),
    "xor": (lambda score, b, h, q, k: q ^ k, "not-in-language", "!= between conditions"),
    "matmul": (lambda score, b, h, q, k: score @ score, "not-in-language", "write *"),
    "shift": (lambda score, b, h, q, k: 1 << h, "not-in-language", "2 ** n"),
    "bare array": (lambda score, b, h, q, k, slope: score + slope, "needs-index", "slope[h]"),
    "indices": (lambda score, b, h, q, k, segment: segment[b][q], "wrong-index-count", "segment[b, q]"),
    "slice": (lambda score, b, h, q, k, segment: segment[b, :], "needs-integer", "an index is an integer"),
    "real index": (lambda score, b, h, q, k, slope: slope[score], "needs-integer", "divide with //"),
    "index of score": (lambda score, b, h, q, k: score[h], "not-an-array", "only inputs"),
    "sum of conditions": (lambda score, b, h, q, k: score + (k <= q), "needs-number", "mhagen.where"),
    "and of numbers": (lambda score, b, h, q, k: (k <= q) & score, "needs-condition", "`score` is a real"),
    "and of bits": (lambda score, b, h, q, k: (q & 1) + k, "needs-condition", "of bits, write // and %"),
    "no parentheses": (lambda score, b, h, q, k: k <= q & q - k < 9, "needs-condition", "bind tighter"),
    "one of some": (lambda score, b, h, q, k: h in (0, 1), "not-yet-decided", "`in`"),
    "range": (lambda score, b, h, q, k: sum(range(k)), "not-yet-a-number", "range()"),
    "where of numbers": (lambda score, b, h, q, k: mhagen.where(score, 1, 0), "needs-condition", "!= 0"),
    "where of both": (lambda score, b, h, q, k: mhagen.where(k < q, k < q, 0), "needs-number", "choices"),
    "infinite": (lambda score, b, h, q, k: mhagen.where(k < q, score, -math.inf), "not-finite", "`keep`"),
    "nan": (lambda score, b, h, q, k: score + math.nan, "not-finite", "nan cannot stand"),
    "large": (lambda score, b, h, q, k: q + 2**40, "number-out-of-range", "2147483647"),
    "complex": (lambda score, b, h, q, k: score + 1j, "not-a-number", "a complex takes part"),
    "text": (lambda score, b, h, q, k: "score", "not-a-number", "a str takes part"),
    "nothing": (lambda score, b, h, q, k: None, "not-a-number", "return the expression"),
    "state": (counting, "not-a-function", "a counter"),
    "growing": (growing, "expression-too-large", "128"),
    "few": (lambda score, b, h: score, "wrong-parameters", "score, b, h, q, k, in this order"),
    "any": (lambda *everything: everything[0], "wrong-parameters", "*everything"),
    "unknown": (lambda score, b, h, q, k, slop: score, "unknown-name", "did you mean `slope`?"),
    "one too many": (lambda x, score, b, h, q, k: score, "unknown-name", "called with score, b, h, q, k"),
    "and_masks": (lambda score, b, h, q, k: b.new_ones(()), "no-such-attribute", "| for or_masks"),
    "silent": (type, "wrong-parameters", "does not tell its parameters"),
    "no function": ("score", "wrong-type", 'scores={"modify": ...}'),  # type: ignore[dict-item]
    "operator": (lambda score, b, h, q, k: "a" * score, "not-a-number", "a str takes part"),
    "call": (lambda score, b, h, q, k: score(q), "not-traceable", "not callable"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_traced_is_told_with_what_to_do(name: str) -> None:
    function, code, told = WRONG[name]
    with pytest.raises(TraceError) as caught:
        text(function)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert told in str(found)
    if hasattr(function, "__code__"):
        assert found.place.startswith(f"{__file__}:")


def test_the_line_is_that_of_the_mistake() -> None:
    def score(score: Any, b: object, h: object, q: object, k: object) -> Any:
        doubled = 2 * score
        return math.exp(doubled)

    with pytest.raises(TraceError) as caught:
        text(score)
    assert caught.value.diagnostics[0].place == f"{__file__}:{score.__code__.co_firstlineno + 2}"


def test_a_mistake_of_the_function_itself_is_left_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        text(lambda score, b, h, q, k: score * (1 / 0))


def test_functions_of_pytorch_are_named_with_those_to_take() -> None:
    torch = pytest.importorskip("torch")
    slopes = torch.ones(8)
    for function, code, told in (
        (lambda score, b, h, q, k: torch.where(k <= q, score, 0.0), "foreign-function", "write mhagen.where"),
        (lambda score, b, h, q, k: torch.tanh(score), "foreign-function", "write mhagen.tanh"),
        (lambda score, b, h, q, k: torch.clamp(score, 0), "foreign-function", "mhagen.maximum"),
        (lambda score, b, h, q, k: torch.sin(score), "foreign-function", "torch.sin cannot be traced"),
        (lambda score, b, h, q, k: slopes[h] * score, "array-from-outside", "under inputs="),
        (lambda score, b, h, q, k: slopes * score, "array-from-outside", "under inputs="),
    ):
        with pytest.raises(TraceError) as caught:
            text(function)
        assert caught.value.diagnostics[0].code == code
        assert told in str(caught.value)
    assert text(lambda score, b, h, q, k: score * torch.tensor(2.0)) == "score * 2.0"


def test_traced_values_can_be_printed() -> None:
    shown: list[str] = []

    def score(score: Any, b: Any, h: Any, q: Any, k: Any, slope: Any) -> Any:
        shown.extend((repr(q - k), repr(slope)))
        return score

    text(score)
    assert shown[:2] == ["<traced: q - k>", "<traced array: slope>"]
