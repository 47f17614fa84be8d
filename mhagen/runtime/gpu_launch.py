"""A kernel for GPUs: found in the cache or compiled when first called, then launched on a stream."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from struct import Struct
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ..base import settings
from ..base.digest import digest
from ..base.errors import InputError, InternalError, UnsupportedError
from ..base.target import Gpu, gpu_named
from ..base.version import __version__
from .forking import OwnLock
from .gpu_arrays import GpuArray, can_allocate, new_counter
from .gpu_assembler import assembled, ptxas_version
from .gpu_driver import the_driver
from .gpu_streams import CallStream
from .ptx_instruction import Instruction
from .store import default_store

SYMBOL = "mhagen_gpu_kernel"
MOST_BLOCKS = 2**31 - 1
C_TYPES = {"l": "q", "i": "i"}  # as struct names them
COMPILER_SOURCES = (
    "call_types",
    "garbage",
    "gpu_compiler",
    "gpu_inlining",
    "gpu_lifetimes",
    "ptx_calls",
    "ptx_instruction",
    "renaming",
    "standins",
)


@dataclass(frozen=True)
class GpuKernelKey:
    """Everything that shapes the code of a kernel: the digest of these fields is its cache key."""

    functions: str
    signature: str
    threads: int
    target: Gpu
    python: str
    numba: str
    numba_cuda: str
    numba_settings: tuple[str, ...]
    libraries: tuple[str, ...]
    compiler: str
    mhagen: str


class GpuKernel:
    """One kernel and the constants it is compiled with.

    Members  counts_tasks: do its blocks of threads take one task after the other? Its last parameter is then
             the address of a word, 0 at first, which counts those begun beside the first of each block; or
             it is 0, and there is a block for each task
    """

    def __init__(
        self,
        *,
        name: str,
        function: Callable[..., Any],
        target: str,
        signature: str,
        threads: int,
        shared_bytes: int,
        counts_tasks: bool = False,
    ) -> None:
        self.name = name
        self.function = function
        self.target: Gpu = gpu_named(target)
        self.signature = signature
        self.threads = threads
        self.shared_bytes = shared_bytes
        self.counts_tasks = counts_tasks
        self._parameters = Struct("@" + "".join(C_TYPES[letter] for letter in signature))
        self._loading = OwnLock()
        self._loaded: dict[int, ctypes.c_void_p] = {}

    def with_constants(self, **constants: float) -> GpuKernel:
        """The same functions, compiled with other values of constants that they read.

        Raises   InternalError for a name that is no such number of the module: nothing would read it
        """
        return GpuKernel(
            name=self.name,
            function=bound(self.function, constants),
            target=self.target.name,
            signature=self.signature,
            threads=self.threads,
            shared_bytes=self.shared_bytes,
            counts_tasks=self.counts_tasks,
        )

    def code(self) -> bytes:
        """The PTX, from the cache, or compiled now and left there. Needs no GPU."""
        store, key = default_store(), digest(self.key)
        code = store.load(key)
        if code is not None:
            return code
        with store.building(key):
            code = store.load(key)  # built meanwhile?
            if code is None:
                from .gpu_compiler import compile_gpu_kernel  # brings Numba's CUDA compiler

                code = compile_gpu_kernel(self.function, self.signature, self.threads, self.target, SYMBOL)
                store.save(key, code, f"{self.name} {self.target.name}")
        return code

    def image(self, has: tuple[int, int]) -> bytes:
        """What GPUs of this compute capability load: a cubin, from the cache or made now; else the PTX.

        A cubin in the cache is loaded without compiling, and without ptxas. Needs no GPU.
        """
        cubin = self.cubin(f"sm_{has[0]}{has[1]}{self.target.suffix}")
        return self.code() if cubin is None else cubin

    def cubin(self, architecture: str) -> bytes | None:
        """That of the ptxas which is here; of the last one that made one where none is, or it cannot.

        What a cubin computes is what the PTX does, whichever ptxas made it; a new one may make it faster, so
        each has its own.
        """
        store, version = default_store(), ptxas_version()
        last = digest((self.key, architecture, "last"))  # where the version of the last ptxas is kept
        if version:
            key = digest((self.key, architecture, version))
            cubin = store.load(key)
            if cubin is None:
                cubin = assembled(self.code(), architecture)
                if cubin is not None:
                    store.save(key, cubin, f"{self.name} {architecture} cubin")
                    store.save(last, version.encode(), f"{self.name} {architecture} ptxas")
            if cubin is not None:
                return cubin
        found = store.load(last)
        return None if found is None else store.load(digest((self.key, architecture, found.decode())))

    def attend(
        self,
        unaligned: GpuKernel,
        rows: tuple[GpuArray, ...],
        arguments: tuple[int, ...],
        *,
        blocks: int,
        stream: CallStream,
    ) -> None:
        """Launch this kernel, or the other where rows of an array are not aligned to 16 bytes.

        Units    blocks counts those of threads or, with counts_tasks, the tasks that these take
        Raises   InputError for more of them than a GPU counts; UnsupportedError as launch()
        """
        if blocks > MOST_BLOCKS:
            raise InputError(f"{self.name} would need {blocks} tasks; a GPU counts up to 2**31 - 1")
        kernel = self if all(each.is_aligned for each in rows) else unaligned
        query = rows[0]
        if self.counts_tasks:
            at_once = the_driver().multiprocessors(query.device)
            if blocks > at_once and can_allocate(query):
                counter = new_counter(query, stream)  # held until the kernel is on the stream
                arguments, blocks = (*arguments, counter.address), at_once
            else:
                arguments = (*arguments, 0)
        kernel.launch(arguments, blocks=blocks, stream=stream.handle, device=query.device)

    def launch(self, arguments: tuple[int, ...], *, blocks: int, stream: int, device: int) -> None:
        """Start the kernel on a stream of a GPU, and do not wait for it.

        Raises   UnsupportedError where there is no GPU that can run it
        """
        if blocks == 0:
            return
        driver = the_driver()
        with driver.entered(device):
            function = self._loaded.get(device) or self._load(device)
            parameters = self._parameters.pack(*arguments)
            driver.launch(function, parameters, blocks, self.threads, self.shared_bytes, stream)

    def _load(self, device: int) -> ctypes.c_void_p:
        with self._loading:
            if device not in self._loaded:
                driver = the_driver()
                has, needs = driver.compute_capability(device), self.target.compute_capability
                if has < needs or (self.target.suffix and has != needs):
                    raise UnsupportedError(
                        f"{self.name} was generated for {self.target.name}, but GPU {device} is sm_{has[0]}"
                        f"{has[1]}; build its spec again: mhagen build SPEC --backend cuda --arch ..."
                    )
                self._loaded[device] = driver.load(self.image(has), SYMBOL, self.shared_bytes)
            return self._loaded[device]

    @cached_property
    def key(self) -> GpuKernelKey:
        return GpuKernelKey(
            functions=digest(tuple(function_identities(self.function, set()))),
            signature=self.signature,
            threads=self.threads,
            target=self.target,
            python=f"{sys.implementation.cache_tag}-{sys.version_info.micro}",
            numba=version("numba"),
            numba_cuda=version_of("numba-cuda"),
            numba_settings=settings.numba_settings(),
            libraries=tuple(f"{name} {version_of(name)}" for name in ("llvmlite", "nvidia-nvvm")),
            compiler=compiler_identity(),
            mhagen=__version__,
        )


def version_of(package: str) -> str:
    """Its version, or none: the CUDA toolkit has libraries of its own."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def bound(function: Callable[..., Any], constants: dict[str, float]) -> FunctionType:
    """The function and those of its module that it calls, reading these values in place of their module's."""
    assert isinstance(function, FunctionType)
    names = dict(function.__globals__)
    for name, value in constants.items():
        if type(names.get(name)) is not type(value):
            raise InternalError(f"{name} is no such constant of the module, so no kernel reads it")
    for name, value in tuple(names.items()):
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            names[name] = FunctionType(value.__code__, names, value.__name__)
    names |= constants
    made = names[function.__name__]
    assert isinstance(made, FunctionType)
    return made


def function_identities(function: FunctionType | Callable[..., Any], seen: set[Any]) -> Iterator[Any]:
    """What a function and all that it calls compile to, as values: bytecode, and what global names mean."""
    assert isinstance(function, FunctionType)
    if function.__code__ in seen:
        return
    seen.add(function.__code__)
    meanings, ahead = [], []
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        meanings.append((name, meaning(name, value, function)))
        if isinstance(value, FunctionType):
            ahead.append(value)
    yield function.__name__, code_identity(function.__code__), tuple(meanings)
    for each in ahead:
        yield from function_identities(each, seen)


def code_identity(code: CodeType) -> tuple[Any, ...]:
    return (code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_argcount)


def meaning(name: str, value: object, function: FunctionType) -> str | int | float | tuple[Any, ...]:
    """A global name of a kernel function: a number, an instruction, a function, or a word of Numba.

    Raises   InternalError for anything else: its changes would not change the cache key.
    """
    match value:
        case None:
            return f"builtin {name}"
        case bool() | int() | float():
            return value
        case Instruction():
            return ("instruction", *value.identity)
        case FunctionType():
            return f"function {name}"
        case ModuleType():
            return f"module {value.__name__}"
        case _ if type(value).__module__.startswith("numba."):
            return f"numba {value}"
    raise InternalError(
        f"{function.__name__} reads the global name {name!r}, which is not part of its cache key"
    )


def compiler_identity() -> str:
    """A digest of the sources that turn functions into PTX, but for their import lines."""
    folder = Path(__file__).parent
    sources = ((folder / f"{name}.py").read_text(encoding="utf-8") for name in COMPILER_SOURCES)
    return digest(tuple("\n".join(without_imports(source)) for source in sources))


def without_imports(source: str) -> Iterator[str]:
    """Copies that travel with generated modules differ in those lines only."""
    return (line for line in source.splitlines() if not line.startswith(("from ", "import ")))
