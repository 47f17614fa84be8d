"""What can be said of a schedule for a GPU without one: who fits a multiprocessor, and what products read."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.target import Gpu
from ..schedule.gpu_plan import BYTES, DEPTH_OF_PRODUCT, ROWS_OF_PRODUCT, WARP, GpuSchedule, GpuSizes
from ..schedule.gpu_space import GpuPlan
from ..schedule.hopper_plan import DEPTH, ROWS_OF_WGMMA

RESERVED_BYTES = 1024  # of shared memory, that the system takes for each block of threads
REGISTERS_AT_ONCE = 256  # a warp gets its registers in such pieces,
WARPS_AT_ONCE = 4  # each from one of the four parts of a multiprocessor
# Of a multiprocessor in a cycle: multiply-adds of 16-bit numbers by tensor cores, of float32 by threads.
# Source: NVIDIA's papers on A100 (GA100), GA102, AD102 and H100, dense, with sums in float32 where a card is
# for servers or workstations; cards for games have half of it.
MULTIPLY_ADDS = {(8, 0): (1024, 64), (8, 6): (512, 128), (8, 9): (512, 128), (9, 0): (2048, 128)}
# Of the peak that mma.sync reaches on Hopper, whose full speed wgmma alone has. Source: arXiv 2402.13499.
MMA_ON_HOPPER = 0.63
SHARED_BYTES_AT_ONCE, POWERS_AT_ONCE = 128, 16  # read of shared memory; results of ex2
ROWS_OF_THREAD, SHARERS = 2, 4  # of 16 queries, where threads multiply, and how many share them
KEYS_OF_PRODUCT = 8  # of mma.sync, or columns of values
# Warps and blocks of threads that a multiprocessor holds, by compute capability.
# Source: CUDA C++ Programming Guide, technical specifications per compute capability.
HOLDS = {(8, 0): (64, 32), (8, 6): (48, 16), (8, 9): (48, 24), (9, 0): (64, 32)}


def blocks_at_once(gpu: Gpu, *, threads: int, registers: int, shared_bytes: int) -> int:
    """Blocks of threads that a multiprocessor holds at the same time; 0: not even one.

    Units    registers of a thread; shared_bytes of a block
    """
    warps, most_blocks = HOLDS[gpu.compute_capability]
    of_block = -(-threads // WARP)
    of_warp = -(-registers * WARP // REGISTERS_AT_ONCE) * REGISTERS_AT_ONCE
    by_registers = gpu.registers // of_warp // WARPS_AT_ONCE * WARPS_AT_ONCE
    by_memory = (gpu.shared_bytes + RESERVED_BYTES) // (shared_bytes + RESERVED_BYTES)
    return min(most_blocks, min(warps, by_registers) // of_block, by_memory)


@dataclass(frozen=True)
class Products:
    """Both products of a block of keys: of a warp (mma.sync), of four (wgmma), or of a thread (fma).

    Units    instructions: of the tensor cores, or multiply-adds of a thread; bytes of shared memory that are
             read for a multiply-add: of queries, keys and values, and of weights that go that way
    """

    instructions: int
    bytes_per_multiply_add: float


def products_of(plan: GpuPlan, sizes: GpuSizes) -> Products:
    """By what the kernel is, not measured: what masked blocks read twice does not count."""
    if isinstance(plan, GpuSchedule) and sizes.uses_fma:
        return products_of_threads(plan, sizes)
    rows = ROWS_OF_PRODUCT * plan.row_tiles if isinstance(plan, GpuSchedule) else ROWS_OF_WGMMA
    keeps_queries = isinstance(plan, GpuSchedule) and plan.keeps_queries
    numbers = plan.block_keys * (sizes.dim + sizes.value_dim) + (0 if keeps_queries else rows * sizes.dim)
    multiply_adds = rows * plan.block_keys * (sizes.dim + sizes.value_dim)
    return Products(instructions_of(plan, sizes), BYTES * numbers / multiply_adds)


def products_of_threads(plan: GpuSchedule, sizes: GpuSizes) -> Products:
    """The same of float32: four threads share rows, and each reads its own keys and columns of values."""
    rows, width = ROWS_OF_THREAD * plan.row_tiles, sizes.dim + sizes.value_dim
    of_columns = plan.block_keys * width // SHARERS
    of_rows = rows * (sizes.dim + plan.block_keys)  # queries, and weights
    return Products(rows * of_columns, sizes.bytes * (of_columns + of_rows) / (rows * of_columns))


def instructions_of(plan: GpuPlan, sizes: GpuSizes) -> int:
    if not isinstance(plan, GpuSchedule):  # one product has all keys of a block, or all columns of values
        return sizes.dim // DEPTH + plan.block_keys // DEPTH
    of_scores = plan.block_keys // KEYS_OF_PRODUCT * (sizes.dim // DEPTH_OF_PRODUCT)
    of_values = sizes.value_dim // KEYS_OF_PRODUCT * (plan.block_keys // DEPTH_OF_PRODUCT)
    return plan.row_tiles * (of_scores + of_values)


@dataclass(frozen=True)
class Prediction:
    """Of the multiply-add peak: what is reached if units take turns, and if all of them work at once.

    Numbers  by what products, their reads and ex2 take alone: masks, changed scores and what begins and ends
             a tile cost more, so it is no measurement and no promise
    """

    low: float
    high: float


def prediction_of(plan: GpuPlan, sizes: GpuSizes, gpu: Gpu) -> Prediction:
    """What a kernel for many queries can reach on GPUs of that class, scores neither changed nor masked."""
    of_tensors, of_threads = MULTIPLY_ADDS[gpu.compute_capability]
    work = sizes.dim + sizes.value_dim  # multiply-adds for a query and a key
    ideal = work / (of_threads if sizes.uses_fma else of_tensors)
    reads = work * products_of(plan, sizes).bytes_per_multiply_add / SHARED_BYTES_AT_ONCE
    weights = 1 / POWERS_AT_ONCE
    if not isinstance(plan, GpuSchedule):  # wgmma reads while it multiplies
        products = max(ideal, reads)
        return Prediction(ideal / (products + weights), ideal / max(products, weights))
    is_slow = not sizes.uses_fma and gpu.compute_capability == (9, 0)
    products = ideal / MMA_ON_HOPPER if is_slow else ideal
    return Prediction(ideal / (products + reads + weights), ideal / max(products, reads, weights))
