"""Scores and masks that are given as Python functions: traced, and written into the spec as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from .problems import KeyPath, Problem, key_text, located

# The keyword of a function, and the key that its expression is written to.
KEYS: Mapping[str, tuple[str, str]] = {"score": ("scores", "modify"), "keep": ("mask", "keep")}
Functions: TypeAlias = Mapping[str, Function]


@dataclass(frozen=True)
class Placed:
    """A function, and the table that it stands in: that of a group, or () for all heads."""

    table: KeyPath
    keyword: str
    function: Function

    @property
    def path(self) -> KeyPath:
        """The key that its expression is written to."""
        return (*self.table, *KEYS[self.keyword])

    @property
    def name(self) -> str:
        return key_text((*self.table, self.keyword))


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
    """Trace the functions, and those of groups. What is wrong with other keys is left to `find_problems`."""
    of_all = tuple(Placed((), keyword, function) for keyword, function in functions.items())
    placed = (*of_all, *_functions_of_groups(keys))
    if not placed:
        return TracedKeys(keys, {}, ())
    keys = _without_functions(keys)
    given = given_of(keys)
    if given.is_wrong("constants") or given.is_wrong("inputs"):
        return TracedKeys(keys, {}, ())  # then it is not known what functions may name
    sources: dict[KeyPath, Source] = {}
    wrong: list[Diagnostic] = []
    for each in placed:
        try:
            sources[each.path] = Source(f"{each.name}, as traced", _text(each, given))
        except TraceError as error:
            wrong += [_told(each, found) for found in error.diagnostics]
    for path, source in sources.items():
        keys = _with_text(keys, given, path, source.text)
    return TracedKeys(keys, sources, tuple(wrong))


def _functions_of_groups(keys: Mapping[str, Any]) -> tuple[Placed, ...]:
    return tuple(
        Placed(("groups", number), keyword, group[keyword])
        for number, group in enumerate(_groups(keys))
        if isinstance(group, Mapping)
        for keyword in KEYS
        if callable(group.get(keyword))
    )


def _groups(keys: Mapping[str, Any]) -> Sequence[Any]:
    groups = keys.get("groups")
    return groups if isinstance(groups, list | tuple) else ()


def _without_functions(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    if not _groups(keys):
        return keys
    return {**keys, "groups": [_without_its_functions(group) for group in _groups(keys)]}


def _without_its_functions(group: Any) -> Any:
    if not isinstance(group, Mapping):
        return group
    return {key: value for key, value in group.items() if key not in KEYS or not callable(value)}


def _text(placed: Placed, given: Given) -> str:
    if given.at(*placed.path) is not None:
        message = f"`{placed.name}` and {key_text(placed.path)} are both given"
        raise TraceError((Diagnostic("given-twice", message, "drop one of the two"),))
    constants, arrays = declared(given)
    expr = trace(
        placed.function,
        NAMES_OF_KEYS[KEYS[placed.keyword]],
        constants={name: value for name, value in constants.items() if value is not None},
        arrays={name: array for name, array in arrays.items() if array is not None},
    )
    return to_text(expr)


def _told(placed: Placed, found: Diagnostic) -> Diagnostic:
    return replace(found, place=f"{placed.name} at {found.place}" if found.place else placed.name)


def _with_text(keys: Mapping[str, Any], given: Given, path: KeyPath, text: str) -> Mapping[str, Any]:
    """The keys with a text at a path, unless its table is wrong: then that is what is told."""
    *above, table, key = path
    if given.at(*above, table) is None and given.is_wrong(*above, table):
        return keys
    said = {str(table): {**given.table(*above, table), str(key): text}}
    if not above:
        return {**keys, **said}
    groups = [
        {**group, **said} if number == above[1] else group for number, group in enumerate(_groups(keys))
    ]
    return {**keys, "groups": groups}
