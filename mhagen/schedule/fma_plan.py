"""Schedules of CUDA kernels for float32, whose products are multiply-adds: tensor cores would round.

A thread multiplies each number that it reads of shared memory with one of every row that it has, so rows make
reading cheap: there are 4, but for wide heads, whose results would not fit the registers. Not measured on a
GPU yet.
"""

from __future__ import annotations

from dataclasses import replace

from ..base.errors import InternalError
from ..base.target import Gpu
from .gpu_demands import reads_arrays
from .gpu_plan import GpuSchedule, GpuSizes, gpu_violations, sizes_of
from .workload import Workload

# By the wider of dim and value_dim: two or three blocks of threads share a multiprocessor of an H100.
DEFAULTS = (
    (64, GpuSchedule(warps=4, row_tiles=2, block_keys=32, stages=2, keeps_queries=False)),
    (128, GpuSchedule(warps=2, row_tiles=2, block_keys=32, stages=1, keeps_queries=False)),
    (256, GpuSchedule(warps=4, row_tiles=1, block_keys=32, stages=1, keeps_queries=False)),
)
DECODING = (
    (64, GpuSchedule(warps=1, row_tiles=1, block_keys=32, stages=3, keeps_queries=False)),
    (128, GpuSchedule(warps=1, row_tiles=1, block_keys=16, stages=3, keeps_queries=False)),
    (256, GpuSchedule(warps=1, row_tiles=1, block_keys=16, stages=2, keeps_queries=False)),
)


def choose_fma_schedule(work: Workload, gpu: Gpu) -> GpuSchedule:
    """The default schedule for heads of that width.

    Raises   InternalError where a default breaks a rule
    """
    sizes = sizes_of(work)
    chosen = for_width(DEFAULTS, sizes)
    if reads_arrays(work.op):  # places in arrays and what is read of them need registers
        chosen = replace(chosen, warps=4, row_tiles=1, block_keys=32 if sizes.value_dim <= 128 else 16)
    if gpu_violations(chosen, sizes, gpu):  # wide heads, where there is little shared memory
        chosen = replace(chosen, warps=2, block_keys=16)
    return legal(chosen, sizes, gpu)


def choose_fma_decoding(work: Workload, gpu: Gpu) -> GpuSchedule:
    """The default schedule of decoding for heads of that width.

    Raises   InternalError where a default breaks a rule
    """
    sizes = sizes_of(work)
    return legal(for_width(DECODING, sizes), sizes, gpu)


def for_width(schedules: tuple[tuple[int, GpuSchedule], ...], sizes: GpuSizes) -> GpuSchedule:
    widest = max(sizes.dim, sizes.value_dim)
    return next(schedule for width, schedule in schedules if widest <= width)


def legal(schedule: GpuSchedule, sizes: GpuSizes, gpu: Gpu) -> GpuSchedule:
    if broken := gpu_violations(schedule, sizes, gpu):
        raise InternalError(f"a default schedule of float32 for {sizes} is illegal: {'; '.join(broken)}")
    return schedule
