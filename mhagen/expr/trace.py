"""From a Python function to an expression: the function is run on values that note what is done to them.

Its text and its bytecode are not looked at, so whatever it calls is traced too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TypeAlias

from ..base.spelling import did_you_mean
from .reader import ArrayType
from .refusals import TraceError, refusal
from .traced import Traced, TracedArray, lifted
from .tree import NAMES, Constant, Expr, Name, Number

Function: TypeAlias = Callable[..., object]

# Code of these is never the line that people have to change.
_NOT_THEIRS = frozenset({"mhagen", "numpy", "torch", "scipy"})


def trace(
    function: Function,
    names: Sequence[str],
    *,
    constants: Mapping[str, Number],
    arrays: Mapping[str, ArrayType],
) -> Expr:
    """What the function computes: called with the built-in `names`, in order, and whatever it takes by name.

    Parameters after those of `names` are constants and arrays of their name, or keep their default.

    Numbers  arithmetic between plain numbers is Python's own, and done once, here
    Raises   TraceError with the line that no expression can do; errors of the function itself as they are
    """
    values = [Traced(Name(name)) for name in names]
    declared: dict[str, object] = {
        **{name: Traced(Constant(name, value)) for name, value in constants.items()},
        **{name: TracedArray(name, type) for name, type in arrays.items()},
    }
    try:
        by_name = dict(_by_name(_parameters(function, names), names, declared))
        return _same(*(_result(function, values, by_name) for _ in range(2)))
    except TraceError as error:
        raise _placed(error, _home(function)) from error


def _same(first: Expr, second: Expr) -> Expr:
    if first != second:
        label = "a counter, random numbers, or what an earlier call has left"
        remedy = "compute from the parameters alone"
        raise refusal("not-a-function", "called twice, it computes two different things", label, remedy)
    return first


def _parameters(function: Function, names: Sequence[str]) -> list[inspect.Parameter]:
    """The parameters after those that stand for `names`."""
    if not callable(function):
        label = 'give a function; a text goes into scores={"modify": ...} or mask={"keep": ...}'
        raise refusal("wrong-type", f"a {type(function).__name__} is not a function", label)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        label = "wrap it: lambda " + ", ".join(names) + ": ..."
        raise refusal("wrong-parameters", "the function does not tell its parameters", label) from None
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    rest = [each for each in parameters if each not in places[: len(names)]]
    if len(places) < len(names) or any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in rest):
        taken = ", ".join(map(str, parameters)) or "nothing"
        label = f"it is called with {', '.join(names)}, in this order, then with constants and inputs by name"
        raise refusal("wrong-parameters", f"the function takes {taken}", label)
    return rest


def _by_name(
    parameters: Sequence[inspect.Parameter], names: Sequence[str], declared: Mapping[str, object]
) -> Iterator[tuple[str, object]]:
    for each in parameters:
        if each.name in declared and each.kind is not each.POSITIONAL_ONLY:
            yield each.name, declared[each.name]
        elif each.default is each.empty:
            guess = did_you_mean(each.name, declared) or "declare it under constants= or inputs="
            label = f"it is called with {', '.join(names)}" if each.name in NAMES else guess
            message = f"nothing is declared for the parameter `{each.name[:64]}`"
            raise refusal("unknown-name", message, label)


def _result(function: Function, values: Sequence[object], by_name: Mapping[str, object]) -> Expr:
    try:
        return _returned(function(*values, **by_name))
    except TraceError as error:
        raise _placed(error, _line(error.__traceback__)) from error
    except TypeError as error:  # of a function that takes numbers or arrays of its own only
        label = "use operators and mhagen's functions"
        found = refusal("not-traceable", f"this cannot be traced: {error}", label)
        raise _placed(found, _line(error.__traceback__)) from error


def _returned(result: object) -> Expr:
    if result is None:
        raise refusal("not-a-number", "the function returns nothing", "return the expression")
    return lifted(result)


def _placed(error: TraceError, place: str) -> TraceError:
    """The error with a place, if it has none yet."""
    return TraceError(tuple(replace(found, place=found.place or place) for found in error.diagnostics))


def _home(function: Function) -> str:
    code = getattr(function, "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def _line(traceback: TracebackType | None) -> str:
    """Where the error happened in code of the function's author: FILE:LINE."""
    place = ""
    while traceback is not None:
        names = traceback.tb_frame.f_globals
        if str(names.get("__name__", "")).partition(".")[0] not in _NOT_THEIRS:
            place = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
