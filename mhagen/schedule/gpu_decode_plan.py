"""The schedule of decoding on a GPU: one warp a tile, its shared memory full of what is on its way.

Reading keys and values is all that counts: a warp waits for its own copies alone, and as many warps run on a
multiprocessor as their stages fit.
"""

from __future__ import annotations

from dataclasses import replace

from ..base.errors import InternalError
from ..base.target import Gpu
from .fma_plan import choose_fma_decoding
from .gpu_plan import GpuSchedule, choose_gpu_schedule, gpu_violations, sizes_of
from .hopper_plan import HopperSchedule
from .workload import Workload

# By the wider of dim and value_dim: 8 to 16 KB of keys and values a stage. docs/performance.md has times.
DEFAULTS = (
    (64, GpuSchedule(warps=1, row_tiles=1, block_keys=32, stages=4, keeps_queries=False)),
    (128, GpuSchedule(warps=1, row_tiles=1, block_keys=32, stages=3, keeps_queries=False)),
    (256, GpuSchedule(warps=1, row_tiles=1, block_keys=16, stages=4, keeps_queries=False)),
)
MOST_ROWS = 32  # of queries and heads together, but for one query of many heads
PART_KEYS = 256  # that one warp meets, as long as there are few parts:
FEW_PARTS = 16
LONG_PART_KEYS = 512  # and where there would be more, for what is left of a part takes time to merge;
MOST_PARTS = 64  # still more keys have parts that are longer. One warp merges a row
READ_PARTS = 4  # that are on their way at once


def choose_decode_schedule(work: Workload, beside: GpuSchedule | HopperSchedule, gpu: Gpu) -> GpuSchedule:
    """The schedule for heads of that width, in one module with the schedule for many queries.

    Beside a schedule for Hopper it is what it is beside the default one of the other family.

    Raises   InternalError where a default breaks a rule
    """
    sizes = sizes_of(work)
    if sizes.uses_fma:
        return choose_fma_decoding(work, gpu)
    widest = max(sizes.dim, sizes.value_dim)
    chosen = next(schedule for width, schedule in DEFAULTS if widest <= width)
    if isinstance(beside, HopperSchedule):
        beside = choose_gpu_schedule(work.most_demanding, gpu)
    chosen = replace(chosen, keeps_queries=beside.keeps_queries)
    if broken := gpu_violations(chosen, sizes, gpu):
        raise InternalError(f"the default decoding schedule for dim {widest} is illegal: {'; '.join(broken)}")
    return chosen


def most_queries(group: int) -> int:
    """So many queries are decoded at once; more are attended from tile by tile.

    group   query heads that share a key/value head
    """
    return max(1, MOST_ROWS // group)


def is_decoded(group: int, queries: int, keys: int) -> bool:
    """Is a call one for the kernels of few queries? Entries of modules ask the same."""
    return queries <= most_queries(group) and keys > PART_KEYS
