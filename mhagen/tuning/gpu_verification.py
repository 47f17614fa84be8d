"""Compares a kernel for GPUs with the reference, on a GPU, with lengths around the edges of its tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..backend.acceptance import Example, distance, numpy_dtype, told_by_weight, weights_if_told
from ..backend.cuda import GpuSource
from ..base.errors import UnsupportedError
from ..base.target import Gpu
from ..ir.reference import Reference
from ..schedule.gpu_decode_plan import PART_KEYS
from ..spec.model import Spec
from .gpu_bench import Bench, bench_for
from .gpu_call import GpuCall, gpu_call, problem_on_gpu
from .sampling import allowed_in, widened

BATCH = 2
CALLS = 5  # whose median counts


@dataclass(frozen=True)
class GpuCase:
    """One call of attention(): how far it is from the reference, and how long the GPU takes.

    Units    error, and what is allowed: relative to max(1, the greatest result)
    """

    batch: int
    queries: int
    keys: int
    error: float
    allowed: float
    seconds: float

    @property
    def is_right(self) -> bool:
        return self.error <= self.allowed


def required_bench(target: Gpu) -> Bench:
    """The GPU of this machine.

    Raises   UnsupportedError where there is none for such kernels
    """
    bench, nobody = bench_for(target)
    if bench is None:
        raise UnsupportedError(
            f"--verify runs the kernels on a GPU, and there is {nobody}: leave it out here, and use it where "
            "they are to run"
        )
    return bench


def verify_on_gpu(bench: Bench, spec: Spec, source: GpuSource) -> Iterator[GpuCase]:
    """Run attention() on lengths of all kinds, with all that it returns compared; one case at a time."""
    attention = bench.attention(source)
    for queries, keys in lengths(source):
        call = gpu_call(bench, problem_on_gpu(spec, Example(BATCH, queries, keys, seed=0)))
        error = error_of(bench, call, attention)
        seconds = median(bench.seconds(call.by(attention, call.new_out()), CALLS))
        yield GpuCase(BATCH, queries, keys, error, allowed_in(call.problem, error), seconds)


def lengths(source: GpuSource) -> tuple[tuple[int, int], ...]:
    """Queries and keys: around a tile and a block, queries that come before all keys, and few of them."""
    tile, block = source.schedule.tile_queries, source.schedule.block_keys
    return (
        *((1, 1), (1, block - 1), (tile - 1, block), (tile, 1), (tile + 1, tile + 1)),
        *((tile + 1, 2 * block + 5), (1, PART_KEYS), (1, PART_KEYS + 3), (3, 3 * PART_KEYS + 1)),
    )


def error_of(bench: Bench, call: GpuCall, attention: Any) -> float:
    """Of the output and of all statistics; of those that are keys, by the weights of the keys."""
    problem = call.problem
    result, dtype = call.by(attention, call.new_out())(), numpy_dtype(problem.spec.dtype)
    is_tuple = isinstance(result, tuple)
    found = tuple(bench.fetch(each, dtype) for each in (result if is_tuple else (result,)))
    arrays = widened(problem.arguments)
    keywords: dict[str, Any] = {**problem.inputs, "query_offset": problem.query_offset}
    shares = weights_if_told(problem.spec, arrays, keywords)
    expected = Reference(problem.spec).attention(**arrays, **keywords)
    results = (found if is_tuple else found[0], expected)
    return distance(*(told_by_weight(problem.spec, each, shares) for each in results))
