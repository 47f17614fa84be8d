"""Scores and masks that are given as Python functions: traced, and written into the spec as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ..base.errors import Diagnostic
from ..base.source import Source, Span
from ..expr.refusals import TraceError
from ..expr.trace import Function, trace
from ..expr.tree import to_text
from .check import given_of
from .expressions import NAMES_OF_KEYS, declared
from .given import Given
from .problems import KeyPath, Problem, located

# The keyword of a function, and the key that its expression is written to.
KEYS: Mapping[str, tuple[str, str]] = {"score": ("scores", "modify"), "keep": ("mask", "keep")}
Functions: TypeAlias = Mapping[str, Function]


@dataclass(frozen=True)
class TracedKeys:
    """The keys of a spec with the texts of its functions in them, and what is wrong with the functions."""

    keys: Mapping[str, Any]
    sources: Mapping[KeyPath, Source]
    diagnostics: tuple[Diagnostic, ...]

    def located(self, problem: Problem) -> Diagnostic:
        """The diagnostic of a problem, with a caret in a text that was traced."""
        source = self.sources.get(problem.path)
        if source is None:
            return located(problem, None)
        stretch = (problem.column, problem.length) if problem.column else (1, len(source.text))
        return located(problem, Span(source, 1, *stretch))


def write_functions(keys: Mapping[str, Any], functions: Functions) -> TracedKeys:
    """Trace the functions. What is wrong with other keys is left to `find_problems`."""
    if not functions:
        return TracedKeys(keys, {}, ())
    given = given_of(keys)
    if given.is_wrong("constants") or given.is_wrong("inputs"):
        return TracedKeys(keys, {}, ())  # then it is not known what functions may name
    texts: dict[str, str] = {}
    wrong: list[Diagnostic] = []
    for keyword, function in functions.items():
        try:
            texts[keyword] = _text(keyword, function, given)
        except TraceError as error:
            wrong += [_told(keyword, found) for found in error.diagnostics]
    sources: dict[KeyPath, Source] = {
        KEYS[keyword]: Source(f"{keyword}, as traced", text) for keyword, text in texts.items()
    }
    return TracedKeys({**keys, **dict(_tables(given, texts))}, sources, tuple(wrong))


def _text(keyword: str, function: Function, given: Given) -> str:
    path = KEYS[keyword]
    if given.at(*path) is not None:
        message = f"`{keyword}` and {'.'.join(path)} are both given"
        raise TraceError((Diagnostic("given-twice", message, "drop one of the two"),))
    constants, arrays = declared(given)
    expr = trace(
        function,
        NAMES_OF_KEYS[path],
        constants={name: value for name, value in constants.items() if value is not None},
        arrays={name: array for name, array in arrays.items() if array is not None},
    )
    return to_text(expr)


def _told(keyword: str, found: Diagnostic) -> Diagnostic:
    return replace(found, place=f"{keyword} at {found.place}" if found.place else keyword)


def _tables(given: Given, texts: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    for keyword, text in texts.items():
        table, key = KEYS[keyword]
        if given.at(table) is None and given.is_wrong(table):
            continue
        yield table, {**given.table(table), key: text}
