"""Whether the expressions of a spec make sense, and give what their key needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..base.dtypes import DType
from ..base.errors import Diagnostic
from ..expr.parse import ArrayType, ExpressionErrors, parse_expression
from ..expr.tree import NAMES, Expr, Kind, Number
from .given import Given
from .problems import KeyPath, Problem

# Where expressions stand, and the names that mean something there.
NAMES_OF_KEYS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("scores", "modify"): ("score", "b", "h", "q", "k"),
    ("mask", "keep"): ("b", "h", "q", "k"),
    ("softmax", "sink"): ("b", "h", "q"),
}
_KEEP = ("mask", "keep")


def expression_problems(given: Given) -> Iterator[Problem]:
    """Every mistake of every expression."""
    if given.at("constants") is None and given.is_wrong("constants"):
        return  # then it is not known which names are declared
    if given.at("inputs") is None and given.is_wrong("inputs"):
        return
    tables: list[KeyPath] = [(), *(("groups", group) for group in range(len(given.items("groups"))))]
    for table in tables:
        for keys, names in NAMES_OF_KEYS.items():
            text = given.text(*table, *keys)
            if text is not None:
                yield from _problems_of(given, (*table, *keys), text, names)


def _problems_of(given: Given, path: KeyPath, text: str, names: tuple[str, ...]) -> Iterator[Problem]:
    constants, arrays = declared(given)
    kinds = {name: NAMES[name] for name in names}
    try:
        expr = parse_expression(text, names=kinds, constants=constants, arrays=arrays)
    except ExpressionErrors as errors:
        for found in errors.diagnostics:
            if found.span is not None:
                yield Problem(path, found, column=found.span.column, length=found.span.length)
    else:
        yield from _wrong_result(path, expr)


def declared(given: Given) -> tuple[Mapping[str, Number | None], Mapping[str, ArrayType | None]]:
    """The constants and the arrays that expressions may name; None for one with a mistake of its own."""
    constants = {name: _constant(given, name) for name in given.table("constants")}
    return constants, {name: _array(given, name) for name in given.table("inputs")}


def _constant(given: Given, name: str) -> Number | None:
    value = given.at("constants", name)
    return value if isinstance(value, bool | int | float) else None


def _array(given: Given, name: str) -> ArrayType | None:
    if any(given.is_wrong("inputs", name, key) for key in ("shape", "dtype")):
        return None
    dtype, shape = given.at("inputs", name, "dtype"), given.items("inputs", name, "shape")
    return ArrayType(DType.FLOAT32 if dtype is None else DType(dtype), len(shape)) if shape else None


def _wrong_result(path: KeyPath, expr: Expr) -> Iterator[Problem]:
    if path[-2:] == _KEEP and expr.kind is not Kind.CONDITION:
        message, advice = "`keep` must be a condition", "this is a number: compare it, for instance `!= 0`"
        yield Problem(path, Diagnostic("needs-condition", message, advice))
    if path[-2:] != _KEEP and expr.kind is Kind.CONDITION:
        message, advice = (
            f"`{path[-1]}` must be a number",
            "this is a condition: write where(condition, x, y)",
        )
        yield Problem(path, Diagnostic("needs-number", message, advice))
