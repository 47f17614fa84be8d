"""Kernels that do one thing as fast as a core can: fused multiply-adds, and reads from memory.

Written in the vocabulary of all kernels, so they are compiled, cached and run as those are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..base.dtypes import DType
from ..base.target import Target
from ..runtime.host import host_target
from ..runtime.launch import MULTIPLY_ADDS_OF_A_THREAD, Kernel
from ..runtime.notcompiled import Address
from ..runtime.simd import claim, fma, load, store
from ..runtime.simd_formats import dot_pairs, load_pairs

# Two multiply-adds a cycle of 4 cycles each keep 8 sums busy. 12 and the two factors fit AVX2's 16 registers.
SUMS = 12
MULTIPLY_ADD_STEPS = 1 << 16  # of all sums, in one task: a quarter of a millisecond
SMALL = 2.0**-20  # factors, and where sums start: they stay normal numbers
SMALL_PAIR = 0x3580_3580  # the bits of a pair of them in bfloat16
CHUNK_VECTORS = 1 << 14  # that one task reads: 1 MB with AVX-512

Array = NDArray[Any]
Task: TypeAlias = Callable[[int, int, Address, int, Address, Address, Address, int], None]


def multiply_add_tasks(
    tasks: int,
    steps: int,
    values: Address,
    vector_bytes: int,
    out: Address,
    counter: Address,
    scratch: Address,
    worker: int,
) -> None:
    """Add x * y to twelve sums, step after step. `values` holds x, y and where the sums start."""
    x = load(values)
    y = load(values + vector_bytes)
    while claim(counter) < tasks:
        sum0 = load(values + 2 * vector_bytes)
        sum1 = load(values + 3 * vector_bytes)
        sum2 = load(values + 4 * vector_bytes)
        sum3 = load(values + 5 * vector_bytes)
        sum4 = load(values + 6 * vector_bytes)
        sum5 = load(values + 7 * vector_bytes)
        sum6 = load(values + 8 * vector_bytes)
        sum7 = load(values + 9 * vector_bytes)
        sum8 = load(values + 10 * vector_bytes)
        sum9 = load(values + 11 * vector_bytes)
        sum10 = load(values + 12 * vector_bytes)
        sum11 = load(values + 13 * vector_bytes)
        for _ in range(steps):
            sum0 = fma(x, y, sum0)
            sum1 = fma(x, y, sum1)
            sum2 = fma(x, y, sum2)
            sum3 = fma(x, y, sum3)
            sum4 = fma(x, y, sum4)
            sum5 = fma(x, y, sum5)
            sum6 = fma(x, y, sum6)
            sum7 = fma(x, y, sum7)
            sum8 = fma(x, y, sum8)
            sum9 = fma(x, y, sum9)
            sum10 = fma(x, y, sum10)
            sum11 = fma(x, y, sum11)
        low = sum0 + sum1 + sum2 + sum3 + sum4 + sum5
        high = sum6 + sum7 + sum8 + sum9 + sum10 + sum11
        store(out + worker * vector_bytes, low + high)


def pair_tasks(
    tasks: int,
    steps: int,
    values: Address,
    vector_bytes: int,
    out: Address,
    counter: Address,
    scratch: Address,
    worker: int,
) -> None:
    """As multiply_add_tasks, with pairs of bfloat16 for x and y: two products are added to each sum."""
    x = load_pairs(values)
    y = load_pairs(values + vector_bytes)
    while claim(counter) < tasks:
        sum0 = load(values + 2 * vector_bytes)
        sum1 = load(values + 3 * vector_bytes)
        sum2 = load(values + 4 * vector_bytes)
        sum3 = load(values + 5 * vector_bytes)
        sum4 = load(values + 6 * vector_bytes)
        sum5 = load(values + 7 * vector_bytes)
        sum6 = load(values + 8 * vector_bytes)
        sum7 = load(values + 9 * vector_bytes)
        sum8 = load(values + 10 * vector_bytes)
        sum9 = load(values + 11 * vector_bytes)
        sum10 = load(values + 12 * vector_bytes)
        sum11 = load(values + 13 * vector_bytes)
        for _ in range(steps):
            sum0 = dot_pairs(x, y, sum0)
            sum1 = dot_pairs(x, y, sum1)
            sum2 = dot_pairs(x, y, sum2)
            sum3 = dot_pairs(x, y, sum3)
            sum4 = dot_pairs(x, y, sum4)
            sum5 = dot_pairs(x, y, sum5)
            sum6 = dot_pairs(x, y, sum6)
            sum7 = dot_pairs(x, y, sum7)
            sum8 = dot_pairs(x, y, sum8)
            sum9 = dot_pairs(x, y, sum9)
            sum10 = dot_pairs(x, y, sum10)
            sum11 = dot_pairs(x, y, sum11)
        low = sum0 + sum1 + sum2 + sum3 + sum4 + sum5
        high = sum6 + sum7 + sum8 + sum9 + sum10 + sum11
        store(out + worker * vector_bytes, low + high)


def read_tasks(
    tasks: int,
    chunk: int,
    array: Address,
    vector_bytes: int,
    out: Address,
    counter: Address,
    scratch: Address,
    worker: int,
) -> None:
    """Add up an array of float32, chunk by chunk (in bytes), eight vectors at a time."""
    sum0 = sum1 = sum2 = sum3 = load(out + worker * vector_bytes)
    task = claim(counter)
    while task < tasks:
        place = array + task * chunk
        end = place + chunk
        while place < end:  # range() with a step that it does not know would check it for 0, and raise
            sum0 += load(place) + load(place + vector_bytes)
            sum1 += load(place + 2 * vector_bytes) + load(place + 3 * vector_bytes)
            sum2 += load(place + 4 * vector_bytes) + load(place + 5 * vector_bytes)
            sum3 += load(place + 6 * vector_bytes) + load(place + 7 * vector_bytes)
            place += 8 * vector_bytes
        task = claim(counter)
    store(out + worker * vector_bytes, sum0 + sum1 + sum2 + sum3)


class Sums:
    """Runs of many multiply-adds on a target; `name` says of what."""

    tasks = 64  # some milliseconds on each of a few threads, beside which waking them is little

    def __init__(
        self, target: Target, name: str, task: Task, factor: Array, products_of_a_number: int
    ) -> None:
        self.name = name
        self.kernel = Kernel(
            name=name.replace(" ", "_"),
            target=target.name,
            functions=(task,),
            scratch_bytes=0,
            computed="float64" if factor.dtype == np.float64 else "float32",
        )
        lanes = target.vector_bytes // factor.itemsize
        self.values = np.full((2 + SUMS, lanes), SMALL, np.dtype(f"float{8 * factor.itemsize}"))
        self.values[:2] = factor.view(self.values.dtype)
        self.out = np.zeros((self.tasks, lanes), self.values.dtype)  # a worker has at least one task
        self.vector_bytes = target.vector_bytes
        # A fused multiply-add counts as two.
        products = self.tasks * MULTIPLY_ADD_STEPS * SUMS * lanes * products_of_a_number
        self.operations = 2 * products

    def run(self, all_threads: bool) -> None:
        places = (self.values.ctypes.data, self.vector_bytes, self.out.ctypes.data)
        shared = work_of_all(self.tasks) if all_threads else 0
        self.kernel.run((self.tasks, MULTIPLY_ADD_STEPS, *places), self.tasks, shared)


def work_of_all(tasks: int) -> int:
    """So much that there is a thread for each task, if there may be so many."""
    return tasks * MULTIPLY_ADDS_OF_A_THREAD


def peak_probe(dtype: DType) -> Sums:
    """The probe whose rate bounds kernels of a format here: what they are computed in decides.

    Raises   UnsupportedError on a CPU without a target
    """
    target = host_target(dtype.value)
    if target.pair_dtype == dtype.value:
        return Sums(target, f"{dtype.value} pairs", pair_tasks, np.array(SMALL_PAIR, np.int32), 2)
    computed = DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32
    factor = np.array(SMALL, computed.value)
    return Sums(target, f"{computed.value} multiply-adds", multiply_add_tasks, factor, 1)


class Reads:
    """Runs that read an array of about so many bytes."""

    def __init__(self, target: Target, array_bytes: int) -> None:
        self.kernel = Kernel(
            name="read_bandwidth", target=target.name, functions=(read_tasks,), scratch_bytes=0
        )
        self.chunk = CHUNK_VECTORS * target.vector_bytes
        self.tasks = max(1, array_bytes // self.chunk)
        self.bytes = self.tasks * self.chunk
        self.array = np.ones(self.bytes // 4, np.float32)
        self.out = np.zeros((self.tasks, target.lanes), np.float32)
        self.vector_bytes = target.vector_bytes

    def run(self, all_threads: bool) -> None:
        places = (self.array.ctypes.data, self.vector_bytes, self.out.ctypes.data)
        shared = work_of_all(self.tasks) if all_threads else 0
        self.kernel.run((self.tasks, self.chunk, *places), self.tasks, shared)
