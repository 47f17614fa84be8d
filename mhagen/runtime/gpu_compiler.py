"""Kernel functions to PTX: Numba's CUDA compiler, on any machine, with or without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from ..base.errors import UnsupportedError
from ..base.target import Gpu
from .call_types import calls_typed_once
from .garbage import no_collections
from .gpu_inlining import inlining_prepared_once
from .gpu_lifetimes import lifetimes_when_needed
from .renaming import renaming_where_it_stands

TYPES = {"l": "int64", "i": "int32"}
NO_COMPILER = "kernels for GPUs are compiled by numba-cuda, which is not here: pip install 'mhagen[cuda]'"


def compile_gpu_kernel(
    function: Callable[..., Any], signature: str, threads: int, target: Gpu, symbol: str
) -> bytes:
    """The PTX of a kernel and of all functions that it calls, as text for the CUDA driver.

    Units    signature has a letter for each parameter: l for 64 bits, i for 32

    Raises   UnsupportedError where Numba's CUDA compiler is not installed
    """
    try:
        from numba import cuda, types
        from numba.cuda.core import ssa
        from numba.cuda.core.compiler_lock import global_compiler_lock

        from . import ptx_calls  # noqa: F401 (makes instructions known to Numba)
    except ImportError as error:
        raise UnsupportedError(NO_COMPILER) from error
    kernel = inlined(function, {}, lambda callee: cuda.jit(device=True, inline="always")(callee))
    parameters = (getattr(types, TYPES[letter]) for letter in signature)
    with (
        global_compiler_lock,
        no_collections(),
        inlining_prepared_once(),
        renaming_where_it_stands(ssa),
        lifetimes_when_needed(),
        calls_typed_once(),
    ):
        text, _ = cuda.compile(
            kernel,
            types.void(*parameters),
            cc=(*target.compute_capability, target.suffix) if target.suffix else target.compute_capability,
            device=False,
            abi="numba",
            launch_bounds=(threads, 1),
        )
    return with_symbol(text, symbol).encode()


def inlined(
    function: Callable[..., Any],
    done: dict[str, Any],
    made: Callable[[FunctionType], Any],
) -> FunctionType:
    """The function, with every Python function that it calls, directly or not, in the form that is inlined.

    Another way would be device functions, but Numba asks the current GPU how to compile those.
    """
    assert isinstance(function, FunctionType)
    names: dict[str, Any] = dict(function.__globals__)
    for name in callees(function):
        callee = names[name]
        key = f"{callee.__module__}.{callee.__qualname__}"
        if key not in done:
            done[key] = made(inlined(callee, done, made))
        names[name] = done[key]
    return FunctionType(function.__code__, names, function.__name__)


def callees(function: FunctionType) -> tuple[str, ...]:
    """The global names of the function that stand for plain functions."""
    names: Mapping[str, Any] = function.__globals__
    return tuple(name for name in function.__code__.co_names if isinstance(names.get(name), FunctionType))


def with_symbol(text: str, symbol: str) -> str:
    """The PTX with a name for its entry that is the same wherever it was compiled."""
    entry = next(line for line in text.splitlines() if line.startswith(".visible .entry"))
    return text.replace(entry.split()[2].rstrip("("), symbol)
