"""The schedule of a CUDA kernel: how its tiles are cut and who computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from ..base.errors import InternalError
from ..base.target import Gpu
from .gpu_demands import changes_scores, reads_arrays
from .workload import Workload

ROWS_OF_PRODUCT = 16  # of mma.sync: 16 queries by 8 keys, 16 numbers deep
DEPTH_OF_PRODUCT = 16
NUMBERS_AT_ONCE = 4  # of each row that multiply-adds have in registers
WARP = 32
OTHER_REGISTERS = 48  # addresses, strides, positions: what ptxas needs beside tiles
MOST_REGISTERS = 255  # that a thread can have
FLAG_BYTES = 64  # a word for each warp of a block
BYTES = 2  # of a number of 16 bits
WEIGHT_PAD = 8  # numbers behind a row of weights in shared memory: rows begin in different banks


@dataclass(frozen=True)
class GpuSchedule:
    """How one block of threads attends: a tile of queries meets one block of keys after the other.

    Units    warps counts those of a block of threads; row_tiles counts the 16 queries that a warp has at
             once; stages counts the blocks of keys and values in shared memory
    """

    warps: int
    row_tiles: int
    block_keys: int
    stages: int
    keeps_queries: bool  # in registers; else they are read from shared memory for each block of keys
    is_lazy: bool = False  # do maxima rise by steps of some powers of two alone?

    @property
    def threads(self) -> int:
        return WARP * self.warps

    @property
    def tile_queries(self) -> int:
        return ROWS_OF_PRODUCT * self.row_tiles * self.warps


@dataclass(frozen=True)
class GpuSizes:
    """What a schedule costs for heads of some width."""

    dim: int  # filled up to whole products
    value_dim: int
    bytes: int = BYTES  # of a number

    @property
    def uses_fma(self) -> bool:
        """Are products multiply-adds? Tensor cores would round float32."""
        return self.bytes > BYTES

    def query_bytes(self, s: GpuSchedule) -> int:
        """Of the tile of queries in shared memory."""
        return s.tile_queries * self.dim * self.bytes

    def stage_bytes(self, s: GpuSchedule) -> int:
        """Of a block of keys and its values."""
        return s.block_keys * (self.dim + self.value_dim) * self.bytes

    def weight_row(self, s: GpuSchedule) -> int:
        """Of the weights of a query, where they go by way of shared memory."""
        return (s.block_keys + WEIGHT_PAD) * self.bytes if self.uses_fma else 0

    def shared_bytes(self, s: GpuSchedule) -> int:
        """Of all tiles in shared memory, and what warps tell each other."""
        tiles = self.query_bytes(s) + s.stages * self.stage_bytes(s)
        return tiles + s.tile_queries * self.weight_row(s) + FLAG_BYTES

    def registers(self, s: GpuSchedule) -> int:
        """About how many a thread needs: its part of the scores, the results, the queries."""
        parts = s.row_tiles * ROWS_OF_PRODUCT * (s.block_keys + self.value_dim) // WARP
        if self.uses_fma:
            return parts + 2 * s.row_tiles * NUMBERS_AT_ONCE + OTHER_REGISTERS
        queries = self.dim if s.keeps_queries else DEPTH_OF_PRODUCT
        return parts + s.row_tiles * ROWS_OF_PRODUCT * queries // (2 * WARP) + OTHER_REGISTERS


def whole(width: int) -> int:
    """A width filled up to whole products."""
    return -(-width // DEPTH_OF_PRODUCT) * DEPTH_OF_PRODUCT


def sizes_of(work: Workload) -> GpuSizes:
    """What decides the cost of a schedule."""
    return GpuSizes(whole(work.dim), whole(work.value_dim), work.dtype.bytes)


@dataclass(frozen=True)
class GpuRule:
    """A condition on schedules of a GPU, and why it exists."""

    reason: str
    holds: Callable[[GpuSchedule, GpuSizes, Gpu], bool]


RULES = (
    GpuRule(
        "a block of keys is a whole number of products deep, for its values are summed over keys",
        lambda s, sizes, gpu: s.block_keys > 0 and s.block_keys % DEPTH_OF_PRODUCT == 0,
    ),
    GpuRule(
        "a block of threads has 1 to 16 whole warps",
        lambda s, sizes, gpu: 1 <= s.warps <= 16 and 1 <= s.row_tiles <= 2,
    ),
    GpuRule(
        "up to four stages: one is read while others are filled, and more hide nothing more",
        lambda s, sizes, gpu: 1 <= s.stages <= 4,
    ),
    GpuRule(
        "tiles and stages fit the shared memory of a block",
        lambda s, sizes, gpu: sizes.shared_bytes(s) <= gpu.shared_bytes,
    ),
    GpuRule(
        "tiles fit the registers of a thread, or they spill",
        lambda s, sizes, gpu: sizes.registers(s) <= MOST_REGISTERS,
    ),
    GpuRule(
        "the registers of all threads fit a multiprocessor",
        lambda s, sizes, gpu: sizes.registers(s) * s.threads <= gpu.registers,
    ),
    GpuRule(
        "a row of a tile is copied by one round of the threads of a block",
        lambda s, sizes, gpu: sizes.uses_fma or max(sizes.dim, sizes.value_dim) * BYTES <= 16 * s.threads,
    ),
    GpuRule(
        "queries of float32 are read from shared memory: registers do not hold them",
        lambda s, sizes, gpu: not (sizes.uses_fma and s.keeps_queries),
    ),
)


def gpu_violations(schedule: GpuSchedule, sizes: GpuSizes, gpu: Gpu) -> tuple[str, ...]:
    """The reasons of the rules that the schedule breaks; none for a legal one."""
    return tuple(rule.reason for rule in RULES if not rule.holds(schedule, sizes, gpu))


def gpu_schedules(sizes: GpuSizes, gpu: Gpu) -> Iterator[GpuSchedule]:
    """Every legal schedule worth a measurement."""
    choices = product((4, 8), (1, 2), (32, 48, 64, 128), (1, 2, 3), (True, False), (True, False))
    made = (GpuSchedule(*choice) for choice in choices)
    return (each for each in made if not gpu_violations(each, sizes, gpu))


# By the wider of dim and value_dim; measured on an H200, causal and unmasked. Two row tiles a warp halve
# what is read of shared memory for a product. With one stage two blocks of threads share a multiprocessor.
DEFAULTS = (
    (64, GpuSchedule(warps=4, row_tiles=2, block_keys=64, stages=2, keeps_queries=True)),
    (96, GpuSchedule(warps=4, row_tiles=2, block_keys=64, stages=2, keeps_queries=False)),
    (128, GpuSchedule(warps=4, row_tiles=2, block_keys=64, stages=1, keeps_queries=False, is_lazy=True)),
    (192, GpuSchedule(warps=8, row_tiles=1, block_keys=32, stages=2, keeps_queries=False)),
    (256, GpuSchedule(warps=8, row_tiles=1, block_keys=64, stages=1, keeps_queries=False, is_lazy=True)),
)
# Wide heads without a mask; arrays, whose places and elements need registers, also of wide heads; and scores
# that are changed, which needs some too.
WIDE_AND_DENSE = GpuSchedule(warps=8, row_tiles=1, block_keys=64, stages=2, keeps_queries=False)
WITH_ARRAYS = GpuSchedule(warps=8, row_tiles=1, block_keys=64, stages=2, keeps_queries=False)
WIDE_WITH_ARRAYS = GpuSchedule(warps=8, row_tiles=1, block_keys=32, stages=2, keeps_queries=False)
CHANGED = GpuSchedule(warps=4, row_tiles=1, block_keys=64, stages=3, keeps_queries=True)


FEW_REGISTERS = 96  # so wide heads leave room for all that


def choose_gpu_schedule(work: Workload, gpu: Gpu) -> GpuSchedule:
    """The default schedule for heads of that width.

    Raises   InternalError where a default breaks a rule
    """
    sizes = sizes_of(work)
    widest = max(sizes.dim, sizes.value_dim)
    chosen = next(schedule for width, schedule in DEFAULTS if widest <= width)
    if reads_arrays(work.op):  # places in arrays and what is read of them need registers: 40 to 60 of them
        chosen = WITH_ARRAYS if widest <= 128 else WIDE_WITH_ARRAYS
        chosen = replace(chosen, keeps_queries=widest <= FEW_REGISTERS)
    elif changes_scores(work.op) and chosen.row_tiles > 1 and widest > FEW_REGISTERS:
        chosen = CHANGED
    elif work.op.modify is not None and chosen.row_tiles > 1:
        chosen = replace(chosen, keeps_queries=False)
    elif not work.op.expressions and widest > 192:
        chosen = WIDE_AND_DENSE
    if gpu_violations(chosen, sizes, gpu):
        chosen = replace(chosen, warps=4)  # of two GPUs, the one with less shared memory
    if gpu_violations(chosen, sizes, gpu):
        chosen = replace(chosen, block_keys=32)
    if broken := gpu_violations(chosen, sizes, gpu):
        raise InternalError(f"the default schedule for dim {widest} is illegal: {'; '.join(broken)}")
    return chosen
