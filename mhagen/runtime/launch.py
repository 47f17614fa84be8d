"""A compiled kernel: found in the cache or compiled when first called, then run by as many threads as pay."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from ..base import settings
from ..base.digest import digest
from ..base.errors import InternalError
from ..base.target import Target, target_named
from ..base.version import __version__
from . import simd, simd_formats
from .host import Cpu, host_cpu, require
from .native import Function
from .obtain import obtain_function
from .store import default_store
from .threads import TEAM, thread_count

VOCABULARY = (simd.__name__, simd_formats.__name__)
ENTRY = "mhagen_kernel"  # the name of the entry point in every object file
ALIGNMENT = 64  # bytes: a cache line, and the widest vector
# Waking a second thread costs about 50 us, in which one core does this many multiply-adds.
MULTIPLY_ADDS_OF_A_THREAD = 2_500_000
COMPILER_SOURCES = (
    "callees",
    "compiler",
    "elementary",
    "elementary_double",
    "exponents",
    "formats",
    "frontend",
    "lanes",
    "meaning",
    "memory",
    "optimise",
    "pairs",
    "registers",
    "notcompiled",
    "simd",
    "simd_formats",
    "vectors",
    "vocabulary",
)


@dataclass(frozen=True)
class KernelKey:
    """Everything that shapes the machine code of a kernel: the digest of these fields is its cache key."""

    functions: str
    target: Target
    computed: str
    cpu: Cpu
    python: str
    numba: str
    numba_settings: tuple[str, ...]
    llvmlite: str
    compiler: str
    mhagen: str


class Kernel:
    """Functions that are compiled together, callees first; the last one claims tasks until none is left."""

    def __init__(
        self,
        *,
        name: str,
        target: str,
        functions: tuple[Callable[..., Any], ...],
        scratch_bytes: int,
        computed: str = "float32",
    ) -> None:
        self.name = name
        self.target: Target = target_named(target)
        self.computed = computed
        self.functions = functions
        self.scratch_bytes = -(-scratch_bytes // ALIGNMENT) * ALIGNMENT
        self._loading = threading.Lock()
        self._function: Function | None = None
        self._own = threading.local()

    def run(self, arguments: tuple[int, ...], tasks: int, multiply_adds: int) -> None:
        """Run all tasks, on as many threads as there is work for. Results do not depend on how many."""
        function = self._function or self.load()
        workers = min(tasks, thread_count(), 1 + multiply_adds // MULTIPLY_ADDS_OF_A_THREAD)
        memory, counter = self._workspace(workers)
        try:
            TEAM.run(workers, lambda worker: function(*arguments, counter, counter + ALIGNMENT, worker))
        finally:
            self._own.memory = memory

    def load(self) -> Function:
        """The machine code, ready to call: from the cache, or compiled now and left there.

        Raises   UnsupportedError on a CPU that lacks an instruction of the target
        """
        with self._loading:
            if self._function is None:
                require(self.target, self.name)
                parameters = self.functions[-1].__code__.co_argcount
                note = f"{self.name} {self.target.name} {host_cpu().name}"
                key = digest(self.key)
                self._function = obtain_function(default_store(), key, note, ENTRY, parameters, self._compile)
            return self._function

    def _compile(self) -> bytes:
        from .compiler import compile_kernel  # brings Numba, which the warm path does without

        return compile_kernel(self.functions, self.target, self.computed, host_cpu(), ENTRY)

    @cached_property
    def key(self) -> KernelKey:
        return KernelKey(
            functions=digest(tuple(function_identity(f, self.functions) for f in self.functions)),
            target=self.target,
            computed=self.computed,
            cpu=host_cpu(),
            python=f"{sys.implementation.cache_tag}-{sys.version_info.micro}",
            numba=version("numba"),
            numba_settings=settings.numba_settings(),
            llvmlite=version("llvmlite"),
            compiler=compiler_identity(),
            mhagen=__version__,
        )

    def _workspace(self, workers: int) -> tuple[np.ndarray, int]:
        """Memory that the calling thread keeps from call to call, and the address of a task counter in it.

        The counter is at 0; the workers' scratch begins a cache line behind it. While a call has it, a call
        inside that call, from a signal handler say, makes its own.
        """
        size = ALIGNMENT * 2 + workers * self.scratch_bytes
        memory: np.ndarray | None = getattr(self._own, "memory", None)
        self._own.memory = None
        if memory is None or memory.nbytes < size:
            memory = np.empty(size, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        memory[start : start + 8] = 0
        return memory, memory.ctypes.data + start


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


@cache
def compiler_identity() -> str:
    """A digest of the sources that turn functions into machine code, but for their import lines.

    The copies that travel with generated modules differ in those lines only.
    """
    folder = Path(__file__).parent
    sources = ((folder / f"{name}.py").read_text(encoding="utf-8") for name in COMPILER_SOURCES)
    return digest(tuple("\n".join(without_imports(source.splitlines())) for source in sources))


def without_imports(lines: Iterable[str]) -> Iterable[str]:
    return (line for line in lines if not line.startswith(("from ", "import ")))
