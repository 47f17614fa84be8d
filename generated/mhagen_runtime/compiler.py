"""Kernel functions to machine code: Numba lowers them, LLVM emits one object file.

The entry point is a C function of integers only (addresses, strides, sizes), so its object code needs nothing
of Python or Numba at run time and can be stored as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

from numba import config
from numba.core import ssa
from numba.core.compiler_lock import global_compiler_lock

from .digest import digest
from .errors import UnsupportedError
from .target import Target
from .call_types import calls_typed_once
from .callees import Callee
from .frontend import FrontEnd, Lowered
from .garbage import no_collections
from .host import Cpu
from .identity import code_identity, meaning
from .optimise import emit_object, target_machine
from .renaming import renaming_where_it_stands
from .simd_formats import VOCABULARY
from .vocabulary import vocabulary


def compile_kernel(
    functions: Sequence[Callable[..., Any]],
    target: Target,
    computed: str,
    cpu: Cpu,
    symbol: str,
    direct: tuple[str, Callable[..., Any]] | None = None,
) -> bytes:
    """Compile functions that call each other, callees first, into one object.

    The last function is the entry point, called `symbol` there; its arguments are int64, it returns nothing.
    `direct` is another one and its name there: it calls the first, and returns an int64.
    Vectors hold numbers of the type that is computed in: float32 or float64.

    Raises   UnsupportedError if Numba is told not to compile
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise UnsupportedError("NUMBA_DISABLE_JIT is set, so kernels cannot be compiled: unset it")
    emitter = target_machine(cpu)
    with global_compiler_lock, no_collections(), renaming_where_it_stands(ssa), calls_typed_once():
        front_end = FrontEnd(emitter)
        callees: dict[str, Lowered] = {}
        words = vocabulary(target, computed)
        for function in functions:
            content = content_of(function, callees, target, computed)
            callees[function.__name__] = Lowered(front_end, rebound(function, callees, words), content)
        entry = callees[function.__name__]
        front_end.export(entry.function, entry.content, symbol)
        symbols = [symbol]
        if direct is not None:
            other, function = direct
            content = content_of(function, callees, target, computed)
            front_end.export(rebound(function, callees, words), content, other)
            symbols.append(other)
        return emit_object(front_end.text(), symbols, emitter)


def content_of(
    function: Callable[..., Any], callees: Mapping[str, Lowered], target: Target, computed: str
) -> str:
    """A digest of all that shapes a function, but for the types of its arguments."""
    assert isinstance(function, FunctionType)
    meanings = tuple(
        callees[name].content if name in callees else meaning(name, function.__globals__, ())
        for name in function.__code__.co_names
    )
    return digest((function.__name__, code_identity(function.__code__), meanings, target, computed))


def rebound(
    function: Callable[..., Any], callees: Mapping[str, Callee], meanings: Mapping[str, Callee]
) -> FunctionType:
    """The function with the vocabulary's names bound to their meaning on the target."""
    assert isinstance(function, FunctionType)
    names = dict(function.__globals__)
    for name, value in names.items():
        if getattr(value, "__module__", None) in VOCABULARY and getattr(value, "__name__", None) in meanings:
            names[name] = meanings[value.__name__]
    names.update(callees)
    return FunctionType(function.__code__, names, function.__name__)
