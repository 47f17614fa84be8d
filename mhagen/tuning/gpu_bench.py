"""A GPU of this machine, on which kernels are timed: with arrays of Numba, which has compiled them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from ..backend.cuda import GpuSource, load_gpu
from ..base.target import Gpu
from ..runtime.gpu_driver import gpu_of_this_machine
from .cuda import this_cuda
from .problem import Array

NO_GPU = "no GPU here"


class Bench(Protocol):
    """What is asked of a GPU, or of what stands for one."""

    name: str

    def attention(self, source: GpuSource) -> Callable[..., Any]: ...

    def put(self, array: Array) -> Any: ...

    def fetch(self, array: Any, dtype: np.dtype[Any]) -> Array: ...

    def seconds(self, call: Callable[[], object], count: int) -> list[float]: ...


class NumbaBench:
    """The first GPU of this machine."""

    def __init__(self, name: str) -> None:
        from numba import cuda

        self.name, self._cuda = name, cuda

    def attention(self, source: GpuSource) -> Callable[..., Any]:
        """The function that users call; it compiles what is not in the cache when it is first called."""
        found: Callable[..., Any] = load_gpu(source).attention
        return found

    def put(self, array: Array) -> Any:
        """A copy on the GPU; 16-bit reals as integers, for Numba knows no bfloat16."""
        is_16_bit_real = array.dtype.itemsize == 2 and array.dtype.kind not in "iu"
        return self._cuda.to_device(array.view(np.uint16) if is_16_bit_real else array)

    def fetch(self, array: Any, dtype: np.dtype[Any]) -> Array:
        """A copy here, when what was asked for is done; 16-bit integers are reals of that dtype."""
        found: Array = array.copy_to_host()
        return found.view(dtype) if found.dtype == np.uint16 else found

    def seconds(self, call: Callable[[], object], count: int) -> list[float]:
        """What each of some calls took, one behind the other, by events: the GPU does not wait for Python.

        Numbers   calls that take the GPU less time than Python all seem to take as long as Python
        """
        call()
        marks = [self._cuda.event() for _ in range(count + 1)]
        marks[0].record()
        for mark in marks[1:]:
            call()
            mark.record()
        marks[-1].synchronize()
        return [self._cuda.event_elapsed_time(first, second) / 1e3 for first, second in pairwise(marks)]


def bench_for(target: Gpu) -> tuple[Bench | None, str]:
    """The GPU of this machine, if kernels for the target are made for it; else why there is none."""
    own = gpu_of_this_machine()
    if own is None:
        return None, NO_GPU
    if own.compute_capability != target.compute_capability:
        return None, f"the GPU here is {own.name}, and these are for {target.name}"
    return NumbaBench(this_cuda().gpus[0].name), ""
