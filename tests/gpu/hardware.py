"""The GPU of this machine in place of the machine that interprets: `pytest tests/gpu --gpu`.

The same kernels get the same arrays. What is not theirs is poisoned, and a Fault says that it was written to.
"""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from functools import cache
from struct import Struct
from typing import Any

from numpy.typing import DTypeLike, NDArray

from gpu.machine.faults import Fault
from gpu.machine.memory import POISON, GlobalMemory
from gpu.machine.run import Launch
from gpu.machine.source import read
from mhagen.runtime.gpu_driver import Driver, the_driver

CHOSEN = "MHAGEN_TESTS_ON_GPU"  # set by the option --gpu, for the workers of pytest-xdist too


class GpuMemory(GlobalMemory):
    """Arrays on the GPU, and their copies here from which it is filled before each kernel."""

    def __init__(self, size: int = 1 << 23) -> None:
        super().__init__(size)
        self.base = allocated(size)

    def put(self, array: NDArray[Any]) -> int:
        return self.base + super().put(array)

    def get(self, address: int, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        return super().get(address - self.base, dtype, shape)

    def send(self) -> None:
        driver().call("cuMemcpyHtoD_v2", ctypes.c_uint64(self.base), place_of(self.bytes), self.bytes.size)

    def fetch(self) -> None:
        """Raises   Fault where a kernel wrote to what is nobody's"""
        driver().call("cuMemcpyDtoH_v2", place_of(self.bytes), ctypes.c_uint64(self.base), self.bytes.size)
        if (self.bytes[~self.is_mine] != POISON).any():
            raise Fault("global memory out of bounds")


def place_of(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@cache
def driver() -> Driver:
    found = the_driver()
    found.call("cuCtxSetCurrent", found.context(0))
    return found


@cache
def allocated(size: int) -> int:
    """Memory of the GPU, the same for every test: they run one after the other."""
    address = ctypes.c_uint64()
    driver().call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
    return address.value


@cache
def loaded(text: str, shared_bytes: int) -> ctypes.c_void_p:
    return driver().load(text.encode(), entry_of(text), shared_bytes)


@cache
def parameters_of(text: str) -> Struct:
    return read(text).struct


def entry_of(text: str) -> str:
    line = next(line for line in text.splitlines() if line.startswith(".visible .entry"))
    return line.split()[2].rstrip("(")


def launch(text: str, how: Launch, arguments: tuple[Any, ...], memory: GlobalMemory) -> Counter[str]:
    """Run a kernel on the GPU to its end. Nothing is counted."""
    assert isinstance(memory, GpuMemory)
    function = loaded(text, how.shared_bytes)
    memory.send()
    parameters = parameters_of(text).pack(*arguments)
    driver().launch(function, parameters, how.grid[0], how.threads, how.shared_bytes, 0)
    driver().call("cuCtxSynchronize")
    memory.fetch()
    return Counter()


def is_chosen() -> bool:
    return os.environ.get(CHOSEN) == "1"
