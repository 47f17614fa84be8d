"""The schedule of a graph on a target without tuning: a measured default, or what the model prefers."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ..base.dtypes import DType
from ..base.errors import InternalError
from ..base.target import AVX2, AVX512, AVX512_BF16, NEON, Target
from ..ir.graph import Graph
from .cost import modelled
from .legal import MOST_INPUTS, violations
from .machine import typical_machine
from .numbers import numbers_of
from .plan import Schedule
from .sight import Shape, Sight
from .space import schedules
from .workload import Workload, workload_of

# A build does not know the lengths of calls: a batch of short texts, a page, the end of a long one.
USUAL_SHAPES = (Shape(16, 128, 128), Shape(1, 1024, 1024), Shape(1, 256, 2048, query_offset=1792))
MODEL_ERROR = 0.1  # between schedules of one call: see schedule/machine.py
# Measured on one core of a Zen 4 (AVX-512): within 2 % of the best found at d64 and d128, 1024 keys and more.
# The kernel for few queries takes 0.5 to 0.9 of the time of tiles with 9 to 12 of them where keys come from
# memory, and 0.75 to 1.15 where they are near. With more queries it takes longer, as in bfloat16 and on AVX2.
# AVX2 tiles: 4x3 and 6x2 reach 97 % and 98 % of the peak; anything past 16 registers falls to a half.
DEFAULTS = {
    AVX512.name: Schedule(
        tile_queries=128, block_keys=256, key_rows=8, query_vectors=2, value_rows=8, value_vectors=2,
        chunk_keys=512, decode_rows=4, decode_queries=12,
        linear_rows=8, linear_vectors=2, linear_block_rows=128, linear_depth=1024,
    ),
    AVX512_BF16.name: Schedule(
        tile_queries=256, block_keys=512, key_rows=8, query_vectors=2, value_rows=8, value_vectors=2,
        chunk_keys=512, decode_rows=4, decode_queries=8,
        linear_rows=8, linear_vectors=2, linear_block_rows=128, linear_depth=MOST_INPUTS,
    ),
    AVX2.name: Schedule(
        tile_queries=240, block_keys=256, key_rows=4, query_vectors=3, value_rows=6, value_vectors=2,
        chunk_keys=512, decode_rows=4, decode_queries=8,
        linear_rows=6, linear_vectors=2, linear_block_rows=120, linear_depth=512,
    ),
    NEON.name: Schedule(
        tile_queries=64, block_keys=252, key_rows=6, query_vectors=4, value_rows=4, value_vectors=4,
        chunk_keys=512, decode_rows=4, decode_queries=8,
        linear_rows=6, linear_vectors=4, linear_block_rows=120, linear_depth=512,
    ),
}  # fmt: skip


def choose_schedule(graph: Graph, target: Target) -> Schedule:
    """The default schedule, with tiles that values and lanes can fill, or one faster by far.

    Raises   InternalError when the choice is illegal: a rule and a default contradict each other.
    """
    work = workload_of(graph)
    lanes = target.lanes_of("float64" if work.dtype is DType.FLOAT64 else "float32")
    default = DEFAULTS[target.name]
    schedule = replace(
        default,
        value_vectors=min(default.value_vectors, -(-work.value_dim // lanes)),
        decode_rows=decode_rows(default, work, target),
        # Partial sums of a product lie in the output: not where that has fewer digits.
        linear_depth=default.linear_depth if work.dtype.bytes > 2 else MOST_INPUTS,
    )
    broken = violations(schedule, target, work.dtype)
    if broken:
        raise InternalError(f"the default schedule of {target.name} is illegal: {'; '.join(broken)}")
    return fastest(schedule, work, target)


def decode_rows(default: Schedule, work: Workload, target: Target) -> int:
    """Many rows, or two, if their queries stay in registers; if not, many share the reads of a key."""
    vectors = numbers_of(work.dtype, target, (work.dim,)).vectors_of(work.dim)
    held = (rows for rows in (default.decode_rows, 2) if target.holds(rows * vectors))
    return next(held, default.decode_rows)


def fastest(default: Schedule, work: Workload, target: Target) -> Schedule:
    """The schedule that the model finds fastest; the default, unless it is slower by more than that errs."""
    # Masks are not looked at: they shorten all schedules alike, by a few hundredths more or less.
    sights = [Sight(shape) for shape in USUAL_SHAPES]
    machine = typical_machine(target)

    def seconds(schedule: Schedule) -> float:
        """The geometric mean of the shapes, for the short ones count as much as the long ones."""
        times = (modelled(work, schedule, sight, machine).seconds for sight in sights)
        return prod(times) ** (1 / len(sights))

    best = min(schedules(default, work, target), key=seconds)
    return best if seconds(best) < (1 - MODEL_ERROR) * seconds(default) else default
