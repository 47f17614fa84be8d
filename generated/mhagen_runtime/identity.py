"""What functions of kernels compile to, as values: equal ones give the same machine code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import Any

from .errors import InternalError
from .simd_formats import VOCABULARY


def function_identity(
    function: Callable[..., Any], compiled: Sequence[Callable[..., Any]]
) -> tuple[Any, ...]:
    """What a function compiles to, as a value: its bytecode and what its global names stand for.

    Raises   InternalError for a function with defaults or a closure: nobody needs them in kernels.
    """
    assert isinstance(function, FunctionType)
    if function.__defaults__ or function.__kwdefaults__ or function.__closure__:
        raise InternalError(f"{function.__name__} has defaults or a closure, which no cache key holds")
    names = function.__code__.co_names
    meanings = tuple((name, meaning(name, function.__globals__, compiled)) for name in names)
    return (function.__name__, code_identity(function.__code__), meanings)


def code_identity(code: CodeType) -> tuple[Any, ...]:
    return (code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_argcount)


def meaning(name: str, names: dict[str, Any], compiled: Sequence[Callable[..., Any]]) -> str | int | float:
    """A global name of a kernel function: a number, a word of the vocabulary, or a function compiled with it.

    Raises   InternalError for anything else: its changes would not change the cache key.
    """
    if name not in names:
        return f"builtin {name}"
    value = names[name]
    if isinstance(value, int | float):
        return value
    if any(value is function for function in compiled):
        return f"function {name}"
    if getattr(value, "__module__", None) in VOCABULARY:
        return f"simd {value.__name__}"
    raise InternalError(f"a kernel reads the global name {name!r}, which is not part of its cache key")
