"""The schedule of a second pass over the scores on a GPU: only queries and keys are read, in square tiles."""

from __future__ import annotations

from ..base.errors import InternalError
from ..base.target import Gpu
from ..spec.statistic import LEADERS
from .gpu_plan import GpuSchedule, sizes_of
from .workload import Workload

STAGES = 2
PAIR = 8  # bytes of a score and the number of its key
WARPS = (4, 2, 1)  # 16 queries each, and as many keys together: the first that fits


def tile_bytes(plan: GpuSchedule, work: Workload) -> int:
    """Of a tile in shared memory, of queries or of keys: both have as many rows."""
    sizes = sizes_of(work)
    return plan.block_keys * sizes.dim * sizes.bytes


def list_bytes(plan: GpuSchedule, leaders: int) -> int:
    """Of the lists of greatest scores of all threads, one for each row of a thread."""
    return plan.threads * 2 * plan.row_tiles * leaders * PAIR


def risen_bytes(plan: GpuSchedule) -> int:
    """Of the scores of a row and a block that may come into its list, of all threads."""
    return plan.threads * plan.block_keys // 4 * PAIR


def second_shared_bytes(plan: GpuSchedule, work: Workload) -> int:
    """Of a tile that stays, of those that pass, and of lists."""
    leaders = most_leaders(work)
    lists = list_bytes(plan, leaders) + risen_bytes(plan) if leaders else 0
    return (1 + STAGES) * tile_bytes(plan, work) + lists


def most_leaders(work: Workload) -> int:
    """How many keys of each query are asked for; 0: none."""
    return max((LEADERS[name] for name in work.op.statistics if name in LEADERS), default=0)


def choose_second_schedule(work: Workload, keeps_queries: bool, gpu: Gpu) -> GpuSchedule:
    """The schedule for such heads, in one module with one that keeps queries in registers, or does not.

    Raises   InternalError where none fits
    """
    for warps in WARPS:
        plan = GpuSchedule(warps, 1, block_keys=16 * warps, stages=STAGES, keeps_queries=keeps_queries)
        if second_shared_bytes(plan, work) <= gpu.shared_bytes:
            return plan
    raise InternalError(f"no tile of a second pass fits {gpu.name}")
