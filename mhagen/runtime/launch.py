"""A compiled kernel: found in the cache or compiled when first called, then run by as many threads as pay."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from ..base import settings
from ..base.digest import digest
from ..base.errors import InternalError
from ..base.target import Target, target_named
from ..base.version import __version__
from .arguments import LIMIT
from .forking import OwnLock
from .headers import (
    TABLE_BYTES,
    TABLE_COUNTER,
    TABLE_DTYPE,
    TABLE_OFFSETS,
    TABLE_OTHER_DTYPE,
    TABLE_TYPE,
    address,
    headers_are_known,
)
from .host import Cpu, host_cpu, require
from .identity import function_identity
from .native import Direct, Function, load_direct
from .obtain import obtain_function
from .store import default_store
from .threads import TEAM, thread_count

ENTRY = "mhagen_kernel"  # the name of the entry point in every object file
DIRECT_ENTRY = f"{ENTRY}_direct"  # and of the short way in
ALIGNMENT = 64  # bytes: a cache line, and the widest vector
WORKERS_AT = 8  # bytes behind the address of a counter of tasks: how many threads claim from it
# A second thread, woken and waited for, pays where one core works for 150 us or more: so many multiply-adds.
MULTIPLY_ADDS_OF_A_THREAD = 9_000_000
MULTIPLY_ADDS_OF_A_READ = 4  # that take as long as to read one number of a cache of keys
DIRECT_MULTIPLY_ADDS = 2_500_000  # about 50 us of one core, in which no other Python runs
DIRECT_NUMBERS = 1 << 18  # of keys and values of few queries: about as long
DIRECT_BATCH = (TABLE_BYTES - TABLE_OFFSETS) // 8  # entries whose offsets have room in the table
DIRECT_LENGTH = 1 << 16  # keeps the product of all lengths in 64 bits
DIRECT_SIZE = 1 << 20  # numbers of queries: what has more is never small
DIRECT_SHARED = 1 << 17  # bytes behind its scratch, for partial results of few queries
COMPILER_SOURCES = (
    "call_types",
    "callees",
    "compiler",
    "divisions",
    "elementary",
    "elementary_double",
    "exponents",
    "formats",
    "frontend",
    "garbage",
    "identity",
    "lanes",
    "meaning",
    "memory",
    "optimise",
    "pairs",
    "pieces",
    "registers",
    "renaming",
    "notcompiled",
    "simd",
    "simd_formats",
    "squares",
    "standins",
    "vectors",
    "vocabulary",
)


@dataclass(frozen=True)
class KernelKey:
    """Everything that shapes the machine code of a kernel: the digest of these fields is its cache key."""

    functions: str
    direct: str  # which of them is the short way in
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
    """Functions that are compiled together, callees first; the last one claims tasks until none is left.

    It is called with its arguments, the address of the counter of tasks (WORKERS_AT behind it is the number
    of threads that claim from it), the address of all their scratch, and the number of the thread that calls.
    """

    def __init__(
        self,
        *,
        name: str,
        target: str,
        functions: tuple[Callable[..., Any], ...],
        scratch_bytes: int,
        computed: str = "float32",
        direct: Callable[..., Any] | None = None,
        dtype: str = "float32",
    ) -> None:
        self.name = name
        self.target: Target = target_named(target)
        self.computed = computed
        self.functions = functions
        self.direct = direct  # reads the headers of arrays itself, and serves small calls
        self.dtype = dtype
        self.scratch_bytes = -(-scratch_bytes // ALIGNMENT) * ALIGNMENT
        self._loading = OwnLock()
        self._function: Function | None = None
        self._own = threading.local()
        self._direct: Direct | None = None
        self._dtypes: tuple[np.dtype[Any], ...] = ()
        self._table = np.zeros(0, np.int64)

    def with_constants(self, *, scratch_bytes: int, **constants: int) -> Kernel:
        """The same functions, compiled with other values of constants that they read."""
        made = bound(self.everything, constants)
        return Kernel(
            name=self.name,
            target=self.target.name,
            functions=made if self.direct is None else made[:-1],
            scratch_bytes=scratch_bytes,
            computed=self.computed,
            direct=None if self.direct is None else made[-1],
            dtype=self.dtype,
        )

    @property
    def everything(self) -> tuple[Callable[..., Any], ...]:
        """All functions that are compiled, each behind those that it calls."""
        return self.functions if self.direct is None else (*self.functions, self.direct)

    def run(self, arguments: tuple[int, ...], tasks: int, work: int, threads: int | None = None) -> None:
        """Run all tasks, on as many threads as there is work for. Results do not depend on how many.

        work: multiply-adds of float32 that one core does in the time of this call.
        threads: what thread_count() has just said, for a caller who knows: it takes a microsecond.
        """
        function = self._function or self.load()
        allowed = thread_count() if threads is None else threads
        workers = min(tasks, allowed, 1 + work // MULTIPLY_ADDS_OF_A_THREAD)
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
                others = () if self.direct is None else (DIRECT_ENTRY,)
                function = obtain_function(
                    default_store(), key, note, ENTRY, parameters, self._compile, others
                )
                if self.direct is not None and headers_are_known():
                    self._direct = self._bound_direct(function)
                self._function = function
            return self._function

    def attend(
        self, query: object, key: object, value: object, query_offset: object, out: np.ndarray | None
    ) -> np.ndarray | None:
        """The output of a small call, straight from the arrays; None if this call is not for the short way.

        It is not where an argument is not as it should be: the long way says what is wrong with it.
        """
        direct = self._direct  # there once a call has passed all checks: no other waits for it
        if direct is None or type(query) is not np.ndarray or query.size > DIRECT_SIZE:
            return None
        if query.dtype not in self._dtypes and not self._knows_by_now(query.dtype):
            return None
        if out is None:
            out = np.empty(query.shape, query.dtype)
        if query_offset is None:
            result = direct.call(query, key, value, out)
        elif type(query_offset) is int and -LIMIT < query_offset < LIMIT:
            result = direct.call(query, key, value, out, np.int64(query_offset))
        else:
            return None
        return out if result is out else None

    def _bound_direct(self, function: Function) -> Direct:
        """The other entry point, with memory of its own: under the GIL, one call has it at a time."""
        memory = np.zeros(TABLE_BYTES + ALIGNMENT + self.scratch_bytes + DIRECT_SHARED, np.uint8)
        aligned = memory[-address(memory) % ALIGNMENT :]
        self._table = aligned[:TABLE_BYTES].view(np.int64)
        self._table[(TABLE_COUNTER + WORKERS_AT) // 8] = 1
        self._note_dtypes()
        return load_direct(function, DIRECT_ENTRY, aligned)

    def _note_dtypes(self) -> None:
        """Write down what arrays must be: the short way compares addresses."""
        self._dtypes = direct_dtypes(self.dtype)
        self._table[TABLE_TYPE // 8] = id(np.ndarray)
        self._table[TABLE_DTYPE // 8] = id(self._dtypes[0])
        self._table[TABLE_OTHER_DTYPE // 8] = id(self._dtypes[-1])

    def _knows_by_now(self, dtype: np.dtype[Any]) -> bool:
        """Has the program imported what makes arrays of this dtype after the code was loaded?"""
        if self.dtype != "bfloat16" or len(self._dtypes) > 1:
            return False
        self._note_dtypes()
        return dtype in self._dtypes

    def _compile(self) -> bytes:
        from .compiler import compile_kernel  # brings Numba, which the warm path does without

        direct = None if self.direct is None else (DIRECT_ENTRY, self.direct)
        return compile_kernel(self.functions, self.target, self.computed, host_cpu(), ENTRY, direct)

    @cached_property
    def key(self) -> KernelKey:
        return KernelKey(
            functions=digest(tuple(function_identity(each, self.everything) for each in self.everything)),
            direct="" if self.direct is None else self.direct.__name__,
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

        The counter is at 0, behind it is the number of workers, and their scratch begins a cache line further
        on. While a call has it, a call inside that call, from a signal handler say, makes its own.
        """
        size = ALIGNMENT * 2 + workers * self.scratch_bytes
        memory: np.ndarray | None = getattr(self._own, "memory", None)
        self._own.memory = None
        if memory is None or memory.nbytes < size:
            memory = np.empty(size, np.uint8)
        start = -address(memory) % ALIGNMENT
        memory[start : start + WORKERS_AT + 8].view(np.int64)[:] = 0, workers
        return memory, address(memory) + start


def bound(
    functions: tuple[Callable[..., Any], ...], constants: Mapping[str, int]
) -> tuple[Callable[..., Any], ...]:
    """The last function and those that it calls, reading these values in place of their module's.

    Raises   InternalError for a name that is no integer of the module: nothing would read it
    """
    names = dict(functions[-1].__globals__)
    for name in constants:
        if type(names.get(name)) is not int:
            raise InternalError(f"{name} is no integer constant of the module, so no kernel reads it")
    made = tuple(FunctionType(each.__code__, names, each.__name__) for each in reached(functions))
    names |= {**constants, **{each.__name__: each for each in made}}
    return made


def reached(functions: tuple[Callable[..., Any], ...]) -> tuple[FunctionType, ...]:
    """Those that the last one calls, directly or not, and itself."""
    known = {each.__name__: each for each in functions if isinstance(each, FunctionType)}
    found, ahead = set(), [functions[-1].__name__]
    while ahead:
        name = ahead.pop()
        if name in known and name not in found:
            found.add(name)
            ahead += known[name].__code__.co_names
    return tuple(each for name, each in known.items() if name in found)


def direct_dtypes(dtype: str) -> tuple[np.dtype[Any], ...]:
    """The dtypes that arrays of a format have, those that NumPy knows by itself."""
    if dtype == "bfloat16":
        return (np.dtype(np.uint16), *bfloat16())
    return (np.dtype(dtype), np.dtype(np.uint16)) if dtype == "float16" else (np.dtype(dtype),)


def bfloat16() -> tuple[np.dtype[Any], ...]:
    """The dtype of ml_dtypes, if the program has imported it; not while another thread is importing it."""
    found = getattr(sys.modules.get("ml_dtypes"), "bfloat16", None)
    return () if found is None else (np.dtype(found),)


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
