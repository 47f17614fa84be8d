"""Which way a call takes into a module's code: what attention() and its short way look at."""

from __future__ import annotations

from ..runtime.launch import (
    DIRECT_BATCH,
    DIRECT_LENGTH,
    DIRECT_MULTIPLY_ADDS,
    DIRECT_NUMBERS,
    DIRECT_SHARED,
)
from .numbers import Numbers
from .plan import Schedule
from .sight import Shape
from .workload import Workload

ROWS_OF_TASK = 32  # of decoding, at most: their scores stay in the second level cache
ARRIVALS_BYTES = 8  # of the count of tasks that are done, for each row


def decodes(schedule: Schedule, shape: Shape) -> bool:
    """Are queries so few that keys are split between threads?"""
    return shape.queries <= schedule.decode_queries


def rows_of_task(work: Workload, schedule: Schedule) -> int:
    """Queries, of all heads that share the keys, which one task of decoding has at most."""
    return min(schedule.decode_queries * work.most_members, ROWS_OF_TASK)


def decode_tasks(work: Workload, schedule: Schedule, shape: Shape) -> int:
    """Chunks of keys, for every batch entry and bundle, and for each part of the rows that share the keys."""
    chunks = -(-shape.keys // schedule.chunk_keys)
    parts = -(-shape.queries * work.most_members // rows_of_task(work, schedule))
    return shape.batch * len(work.bundles) * chunks * parts


def takes_short_way(work: Workload, schedule: Schedule, numbers: Numbers, shape: Shape) -> bool:
    """Does compiled code read the headers of the arrays itself? See templates/cpu/direct.py.j2.

    Numbers  inputs that nothing reads are not known here, and would keep a call from it
    """
    if work.node.op.captured or work.op.statistics or work.dim != work.value_dim:
        return False
    if shape.batch > DIRECT_BATCH or max(shape.queries, shape.keys) > DIRECT_LENGTH:
        return False
    together = shape.batch * (work.dim + work.value_dim)
    if not decodes(schedule, shape):
        return together * len(work.kept_heads) * shape.pairs <= DIRECT_MULTIPLY_ADDS
    has_room = partial_bytes(work, schedule, numbers, shape) <= DIRECT_SHARED
    return has_room and together * len(work.bundles) * shape.keys <= DIRECT_NUMBERS


def partial_bytes(work: Workload, schedule: Schedule, numbers: Numbers, shape: Shape) -> int:
    """Of the results of all chunks: sums of values, a maximum and a sum of weights in a vector."""
    rows, chunks = shape.queries * work.most_members, -(-shape.keys // schedule.chunk_keys)
    vectors = -(-work.value_dim // numbers.lanes) + 1
    each = rows * (ARRIVALS_BYTES + chunks * vectors * numbers.vector_bytes)
    return shape.batch * len(work.bundles) * each
