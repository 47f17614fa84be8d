"""Why a schedule is as it is: each of its decisions with its reason, in numbers of this kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..base.spelling import memory
from ..base.target import Target
from ..schedule.legal import registers
from ..schedule.numbers import Numbers, numbers_of
from ..schedule.plan import Schedule
from ..schedule.workload import Workload


@dataclass(frozen=True)
class Decision:
    """One decision: what was decided, how, and a sentence that says why."""

    name: str
    value: str
    reason: str


def decisions(work: Workload, schedule: Schedule, target: Target) -> tuple[Decision, ...]:
    """The decisions of an attention kernel, in the order in which they follow from each other."""
    numbers = numbers_of(work.dtype, target, (work.dim,))
    return (
        formats(numbers, target),
        lanes(numbers, schedule),
        score_tile(schedule, target),
        value_tile(schedule, target),
        block(work, schedule, numbers, target),
        task(schedule, numbers),
        *masking(work, schedule),
        decoding(work, schedule),
    )


def formats(numbers: Numbers, target: Target) -> Decision:
    stored, computed = numbers.stored.value, numbers.computed.value
    if numbers.pairs:
        how = f"{target.name} multiplies pairs of {stored} and adds them up in {computed} in one instruction"
        return Decision("formats", f"pairs of {stored}", f"{how}: twice the rate of float32.")
    if numbers.staged:
        how = (
            f"{target.name} cannot multiply {stored}: each block of keys and values is widened to {computed}"
        )
        return Decision("formats", f"{stored}, widened", f"{how} once for all queries of a task.")
    return Decision("formats", stored, f"Products and sums are of {computed}, and nothing is converted.")


def lanes(numbers: Numbers, schedule: Schedule) -> Decision:
    group = schedule.query_vectors * numbers.lanes
    value = f"{numbers.lanes} queries in a vector, {group} in a group"
    reason = (
        "Lanes are queries: keys are read as they lie, maxima and sums need nothing across lanes, and "
        "weights come out as the second product reads them. Only queries are packed."
    )
    return Decision("lanes", value, reason)


def score_tile(schedule: Schedule, target: Target) -> Decision:
    rows, vectors = schedule.key_rows, schedule.query_vectors
    return Decision(
        "score tile", f"{rows} keys x {vectors} vectors of queries", filled(rows, vectors, target)
    )


def value_tile(schedule: Schedule, target: Target) -> Decision:
    rows, vectors = schedule.value_rows, schedule.value_vectors
    return Decision(
        "value tile", f"{rows} queries x {vectors} vectors of values", filled(rows, vectors, target)
    )


def filled(rows: int, vectors: int, target: Target) -> str:
    used, sums = registers(rows, vectors), rows * vectors
    return (
        f"{sums} sums, each added to once a step, keep the multipliers busy; with what they are made of they "
        f"take {used} of {target.registers} registers, so nothing spills."
    )


def block(work: Workload, schedule: Schedule, numbers: Numbers, target: Target) -> Decision:
    keys = schedule.block_keys
    values = keys * work.value_dim * (numbers.stored if numbers.pairs else numbers.computed).bytes
    weights = keys * schedule.query_vectors * numbers.lanes * numbers.bytes // numbers.together
    reason = (
        f"Their values take {memory(values)} and the weights of a group {memory(weights)}, of "
        f"{memory(target.l2_bytes)} in the second cache; accumulators are loaded and stored once a block, "
        f"and not at all where a call has up to {keys} keys."
    )
    return Decision("block", f"{keys} keys", reason)


def task(schedule: Schedule, numbers: Numbers) -> Decision:
    groups = schedule.tile_queries // (schedule.query_vectors * numbers.lanes)
    shares = (
        "shares each block that was widened or paired" if numbers.narrow else "shares each block in the cache"
    )
    count = "1 group" if groups == 1 else f"{groups} groups"
    reason = (
        f"A task of {count} {shares}. Threads claim tasks until none is left, the last queries of a head "
        "first: under a causal mask these take longest. Where each would have few, tasks have fewer queries."
    )
    return Decision("task", f"up to {schedule.tile_queries} queries of one head", reason)


def masking(work: Workload, schedule: Schedule) -> Iterator[Decision]:
    if work.op.keep is not None:
        reason = (
            f"Intervals of the mask's expression tell of each block and each {schedule.key_rows} keys "
            "whether all, some or none is seen, in a few scalar operations: hidden tiles are skipped, and "
            "only tiles seen in part are masked."
        )
        yield Decision("mask", "classified tile by tile", reason)


def decoding(work: Workload, schedule: Schedule) -> Decision:
    group = work.query_heads // work.key_value_heads
    shared = f" for all {group} query heads that share it" if group > 1 else ""
    reason = (
        f"So few queries wait for memory: keys and values are read once{shared}, in chunks of "
        f"{schedule.chunk_keys} keys that threads share, and what the chunks give is merged."
    )
    return Decision("few queries", f"a kernel of its own up to {schedule.decode_queries}", reason)
