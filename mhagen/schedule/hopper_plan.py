"""The schedule of a CUDA kernel for Hopper: one group of four warps copies, others multiply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from ..base.target import Gpu
from .fma_plan import choose_fma_schedule
from .gpu_demands import changes_scores, elements, is_of_cell, reads_arrays
from .gpu_plan import BYTES, FLAG_BYTES, GpuSchedule, GpuSizes, choose_gpu_schedule, sizes_of
from .workload import Workload

WARPGROUP = 128  # threads of four warps, which give one wgmma together
ROWS_OF_WGMMA = 64
PANEL = 64  # numbers of a swizzled row of 128 bytes
DEPTH = 16  # numbers of the depth of a product
BARRIER_BYTES = 192  # of the mbarriers of up to three stages, and of tasks
OTHER_REGISTERS = 40  # addresses, positions, maxima: what ptxas needs beside tiles
# By the groups that multiply, and whether masks are looked up in arrays: the registers of a thread that
# copies, and of one that multiplies, in multiples of 8. Together they are what a block has when it starts, or
# those who ask for more would wait for ever: 168 a thread for three groups, 128 for four.
SHARES = {
    (2, False): (40, 232),
    (2, True): (104, 200),
    (3, False): (32, 160),
}
NONE = (0, 0)


@dataclass(frozen=True)
class HopperSchedule:
    """How one block of threads attends on Hopper: a tile of queries meets one block of keys after the other.

    Units    consumers counts the groups of four warps that multiply, each with 64 queries; stages counts the
             blocks of keys, and of values, in shared memory
    Members  looks_up: do threads that copy read arrays, to know which blocks are seen? takes_turns: do groups
             begin their products one after the other, so that one makes weights while another multiplies?
             is_lazy: do maxima rise by steps of some powers of two alone?
    """

    consumers: int
    block_keys: int
    stages: int
    looks_up: bool = False
    takes_turns: bool = True
    is_lazy: bool = False

    @property
    def threads(self) -> int:
        return WARPGROUP * (self.consumers + 1)

    @property
    def tile_queries(self) -> int:
        return ROWS_OF_WGMMA * self.consumers

    @property
    def producer_registers(self) -> int:
        return SHARES[self.consumers, self.looks_up][0]

    @property
    def consumer_registers(self) -> int:
        return SHARES[self.consumers, self.looks_up][1]


def query_bytes(s: HopperSchedule, sizes: GpuSizes) -> int:
    """Of the tile of queries in shared memory."""
    return s.tile_queries * sizes.dim * BYTES


def stage_bytes(s: HopperSchedule, sizes: GpuSizes) -> int:
    """Of a block of keys and its values."""
    return s.block_keys * (sizes.dim + sizes.value_dim) * BYTES


def shared_bytes(s: HopperSchedule, sizes: GpuSizes) -> int:
    """Of all tiles in shared memory, and of barriers and flags."""
    return query_bytes(s, sizes) + s.stages * stage_bytes(s, sizes) + BARRIER_BYTES + FLAG_BYTES


def consumer_needs(s: HopperSchedule, sizes: GpuSizes) -> int:
    """About how many registers a thread that multiplies needs: scores, weights in 16 bits, results."""
    return s.block_keys // 2 + s.block_keys // 4 + sizes.value_dim // 2 + OTHER_REGISTERS


@dataclass(frozen=True)
class HopperRule:
    """A condition on schedules for Hopper, and why it exists."""

    reason: str
    holds: Callable[[HopperSchedule, GpuSizes, Gpu], bool]


HOPPER_RULES = (
    HopperRule(
        "wgmma and setmaxnreg are of sm_90a",
        lambda s, sizes, gpu: gpu.suffix == "a",
    ),
    HopperRule(
        "wgmma would round float32",
        lambda s, sizes, gpu: not sizes.uses_fma,
    ),
    HopperRule(
        "heads are whole rows of 128 bytes, as the swizzle of wgmma has them",
        lambda s, sizes, gpu: sizes.dim % PANEL == 0 and sizes.value_dim % PANEL == 0,
    ),
    HopperRule(
        "two or three groups multiply: more leave too few registers for each",
        lambda s, sizes, gpu: (s.consumers, s.looks_up) in SHARES,
    ),
    HopperRule(
        "a block of keys is a whole number of products deep, and no wider than one product",
        lambda s, sizes, gpu: 0 < s.block_keys <= 256 and s.block_keys % DEPTH == 0,
    ),
    HopperRule(
        "two or three stages: one is read while another is filled, and barriers have room for three",
        lambda s, sizes, gpu: 2 <= s.stages <= 3,
    ),
    HopperRule(
        "tiles and stages fit the shared memory of a block",
        lambda s, sizes, gpu: shared_bytes(s, sizes) <= gpu.shared_bytes,
    ),
    HopperRule(
        "tiles fit the registers of a thread that multiplies, or they spill",
        lambda s, sizes, gpu: consumer_needs(s, sizes) <= SHARES.get((s.consumers, s.looks_up), NONE)[1],
    ),
)


def hopper_violations(schedule: HopperSchedule, sizes: GpuSizes, gpu: Gpu) -> tuple[str, ...]:
    """The reasons of the rules that the schedule breaks; none for a legal one."""
    return tuple(rule.reason for rule in HOPPER_RULES if not rule.holds(schedule, sizes, gpu))


def hopper_schedules(sizes: GpuSizes, gpu: Gpu) -> Iterator[HopperSchedule]:
    """Every legal schedule worth a measurement."""
    choices = product((2, 3), (64, 80, 96, 128, 160, 176), (2, 3), (False,), (True, False), (True, False))
    made = (HopperSchedule(*choice) for choice in choices)
    return (each for each in made if not hopper_violations(each, sizes, gpu))


# By the wider of dim and value_dim; measured on an H200, causal and unmasked. Beside it the keys of a block
# where scores rise evenly and are masked, where they are changed otherwise, and where they are both changed
# and masked, which takes registers.
DEFAULTS = (
    (64, HopperSchedule(consumers=3, block_keys=96, stages=2), 96, 128, 96),
    (128, HopperSchedule(consumers=2, block_keys=128, stages=2, is_lazy=True), 96, 128, 96),
    (256, HopperSchedule(consumers=2, block_keys=80, stages=2, takes_turns=False, is_lazy=True), 80, 64, 48),
)
WITH_ARRAYS = 64  # keys of a block: what is read of arrays needs 40 to 60 registers
WITH_CELLS = 32  # where masks are read in each cell: and addresses of all of these
WIDEST_WITH_ARRAYS = 128


def choose_hopper_schedule(work: Workload, gpu: Gpu) -> HopperSchedule | None:
    """The default schedule for such heads; None where another family computes them.

    Heads that differ have one for all: with the smallest blocks, and the fewest groups, that some need.
    """
    if gpu.suffix != "a" or work.dim % PANEL or work.value_dim % PANEL or sizes_of(work).uses_fma:
        return None
    chosen = [schedule_of_kind(work.part(number)) for number in range(len(work.parts))]
    known = [each for each in chosen if each is not None]
    if len(known) < len(chosen):
        return None
    return replace(
        known[0],
        consumers=min(each.consumers for each in known),
        block_keys=min(each.block_keys for each in known),
        looks_up=any(each.looks_up for each in known),
    )


def schedule_of_kind(work: Workload) -> HopperSchedule | None:
    """The same of heads of which the same is said."""
    sizes = sizes_of(work)
    widest, op = max(sizes.dim, sizes.value_dim), work.op
    _, plain, risen, changed, both = next(row for row in DEFAULTS if widest <= row[0])
    if not reads_arrays(op) and not changes_scores(op):
        return replace(plain, block_keys=risen) if op.modify is not None and op.keep is not None else plain
    if not reads_arrays(op):
        return replace(plain, consumers=2, block_keys=changed if op.keep is None else both)
    looks_up = bool(elements(op.keep))
    if widest > WIDEST_WITH_ARRAYS or (looks_up and elements(op.modify)):
        return None  # registers do not suffice for all of that
    block_keys = WITH_CELLS if any(map(is_of_cell, elements(op.keep))) else WITH_ARRAYS
    return replace(plain, consumers=2, block_keys=block_keys, looks_up=looks_up)


def choose_gpu_family(work: Workload, gpu: Gpu) -> GpuSchedule | HopperSchedule:
    """The default schedule of the family for Hopper where it computes such heads, else of another one."""
    if sizes_of(work).uses_fma:
        return choose_fma_schedule(work.most_demanding, gpu)
    of_hopper = choose_hopper_schedule(work, gpu)
    return choose_gpu_schedule(work.most_demanding, gpu) if of_hopper is None else of_hopper
