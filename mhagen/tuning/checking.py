"""Verifies a candidate, away from who wants to know: it is compiled, and compared with the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any

import numpy as np

from ..backend.acceptance import (
    TOLERANCES,
    Example,
    allowed_error,
    compare,
    distance,
    first_of,
    plain_distance,
    told_by_weight,
    weights_if_told,
)
from ..backend.numpy_baseline import NumpyBaseline
from ..base.errors import VerificationError
from ..ir.reference import Reference
from ..pipeline import Kernel
from ..runtime import compiler  # noqa: F401  (it takes half a second: once, before the first candidate)
from ..schedule.plan import Schedule
from ..schedule.table import ScheduleTable
from .request import Json, built, tables_in

MOST_PAIRS = 1 << 18  # of queries and keys at the end of a range


def check(request: Json) -> Json:
    """Compile a candidate into the cache, and compare it with the reference on odd sizes.

    Raises   VerificationError where they differ, and whatever compiling raises
    """
    start = perf_counter()
    (table,) = tables_in(request)
    kernel = built(request, table)
    compiled = perf_counter()
    error = max(compare(kernel.spec, kernel.module).error, error_at_edges(kernel, table))
    return {
        "compile_seconds": compiled - start,
        "check_seconds": perf_counter() - compiled,
        "error": error,
    }


def error_at_edges(kernel: Kernel, table: ScheduleTable) -> float:
    """How far it is from the reference behind its blocks, tasks and chunks, and at the ends of its ranges.

    Raises   VerificationError where that is more than rounding
    """
    spec, worst = kernel.spec, 0.0
    for seed, (queries, keys) in enumerate(edges_of(table)):
        example = Example(1, queries, keys, seed)
        arrays = example.attention(spec)
        keywords: dict[str, Any] = {**example.inputs(spec), "query_offset": max(0, keys - queries)}
        shares = weights_if_told(spec, arrays, keywords)
        expected = Reference(spec).attention(**arrays, **keywords)
        found = told_by_weight(spec, kernel.attention(**arrays, **keywords), shares)
        error = distance(found, told_by_weight(spec, expected, shares))
        if not error <= TOLERANCES[spec.dtype]:
            plain_error = plain_distance(plain_result(kernel, arrays, keywords), first_of(expected))
            if not error <= allowed_error(spec.dtype, plain_error):
                raise VerificationError(f"with {queries} queries and {keys} keys it is {error:.2g} off")
        worst = max(worst, error)
    return worst


def plain_result(kernel: Kernel, arrays: Mapping[str, Any], keywords: Mapping[str, Any]) -> Any:
    with np.errstate(all="ignore"):
        return NumpyBaseline(kernel.spec).attention(**arrays, **keywords)


def edges_of(table: ScheduleTable) -> Iterator[tuple[int, int]]:
    """The edges of the schedule for all calls, and where the ranges of the others begin and end."""
    yield from edges(table.last)
    for entry in table.entries[:-1]:
        queries, keys = entry.range.queries, entry.range.keys
        for length in ((queries.low, keys.low), (queries.high or queries.low, keys.high or keys.low)):
            if length[0] * length[1] <= MOST_PAIRS:  # the reference is slow
                yield length


def edges(schedule: Schedule) -> Iterator[tuple[int, int]]:
    """Queries and keys that end just behind a block, a task and a chunk: small, for the reference is slow."""
    yield schedule.decode_queries + 1, schedule.block_keys + 3
    yield schedule.tile_queries + 1, 5
    yield 1, schedule.chunk_keys + 1
