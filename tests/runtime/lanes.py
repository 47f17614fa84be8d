"""Small kernels in the words of simd, compiled for every class of CPU that this host can run."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from mhagen.base.target import TARGETS, Target
from mhagen.runtime import simd, simd_formats
from mhagen.runtime.compiler import compile_kernel
from mhagen.runtime.host import Cpu, host_cpu, host_target
from mhagen.runtime.native import Function, load_function

WORDS = {
    name: value
    for module in (simd, simd_formats)
    for name, value in vars(module).items()
    if isinstance(value, FunctionType) and value.__module__ == module.__name__
}
FORBIDDEN = 0  # PROT_NONE of mprotect
# The least CPU of each class, as LLVM names it.
LEAST_CPUS = {"avx512_bf16": "cooperlake", "avx512": "x86-64-v4", "avx2": "x86-64-v3", "neon": "generic"}


@dataclass(frozen=True)
class Machine:
    """A class of CPU and one member of it: the host itself for its own class, else the least member."""

    target: Target
    cpu: Cpu
    computed: str = "float32"

    @property
    def lanes(self) -> int:
        return self.target.lanes_of(self.computed)

    def compile(self, *functions: Callable[..., None]) -> Function:
        """The last of the functions, ready to call."""
        code = compile_kernel(functions, self.target, self.computed, self.cpu, "kernel")
        return load_function(code, "kernel", functions[-1].__code__.co_argcount)

    def compile_text(self, text: str) -> Function:
        """As compile, of source text; it may use the words of simd, LANES and VECTOR."""
        return _compiled_text(self, text)


@cache
def _compiled_text(machine: Machine, text: str) -> Function:
    names: dict[str, Any] = {
        **WORDS,
        "LANES": machine.lanes,
        "VECTOR": machine.target.vector_bytes,
        "INFINITY": np.inf,
    }
    before = set(names)
    exec(text, names)
    functions = [value for name, value in names.items() if name not in before and name != "__builtins__"]
    return machine.compile(*functions)


def machine_of(target: Target) -> Machine:
    least = Cpu(target.architecture, LEAST_CPUS[target.name], tuple(f"+{f}" for f in target.features))
    return Machine(target, host_cpu() if target == host_target(target.pair_dtype or "float32") else least)


def parameter(target: Target) -> Any:
    is_here = host_cpu().features.issuperset(target.features)
    lacks = pytest.mark.skipif(not is_here, reason=f"this CPU does not run code for {target.name}")
    return pytest.param(machine_of(target), id=target.name, marks=lacks)


OURS = [target for target in TARGETS if target.architecture == host_cpu().architecture]
MACHINES = [parameter(target) for target in OURS if not target.pair_dtype]
on_every_target = pytest.mark.parametrize("machine", MACHINES)
on_every_target_of_pairs = pytest.mark.parametrize("machine", [parameter(target) for target in OURS])

# Numbers at which an operation could go wrong: zeros, ends of the denormal and normal numbers, ties.
# fmt: off
SPECIAL_REALS = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 2.0**-149, -(2.0**-149), 2.0**-126, 3.4028235e38, -3.4028235e38,
     8388609.0, 1e10, np.inf, -np.inf, np.nan],
    np.float32,
)
# fmt: on


def special_integers(dtype: type[np.signedinteger[Any]]) -> np.ndarray[Any, Any]:
    limits = np.iinfo(dtype)
    ends = (limits.max, limits.max - 1, limits.min, limits.min + 1)
    return np.array([0, 1, -1, 2, -2, 7, -7, 8, *ends], dtype)


def tuples_of(values: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    """All tuples of the values, one operand a row."""
    return np.stack([grid.ravel() for grid in np.meshgrid(*[values] * width)])


def whole_vectors(operands: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Operands filled up with ones to a multiple of any number of lanes."""
    missing = -operands.shape[-1] % 64
    return np.ascontiguousarray(np.pad(operands, ((0, 0), (0, missing)), constant_values=1))


def random_reals(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Any bits at all: every exponent is as likely as another."""
    return rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)


def same_reals(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Are the bits the same? Any NaN is like any other."""
    both_nan = np.isnan(found) & np.isnan(expected)
    return (found.view(np.uint32) == expected.view(np.uint32)) | both_nan


def address(array: np.ndarray[Any, Any]) -> int:
    return array.ctypes.data


@contextmanager
def page_before_a_forbidden_one() -> Iterator[np.ndarray[Any, Any]]:
    """The bytes of a page of memory; whoever touches what lies behind it is killed."""
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    pages = np.frombuffer(memory, np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    behind = ctypes.c_void_p(pages.ctypes.data + mmap.PAGESIZE)
    assert protect(behind, mmap.PAGESIZE, FORBIDDEN) == 0
    yield pages[: mmap.PAGESIZE]
    assert protect(behind, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


def survives(work: Callable[[], None]) -> bool:
    """Does a child process come to the end of the work? A fault kills it, and not the tests."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def text_of(parameters: Sequence[str], *lines: str) -> str:
    """A kernel that runs the lines for each vector `i` of `vectors`."""
    body = "".join(f"        {line}\n" for line in lines)
    return f"def kernel({', '.join(parameters)}, vectors):\n    for i in range(vectors):\n{body}"
