"""Compares a kernel with the reference, and its speed with plain NumPy's, on sizes that people use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..backend.acceptance import Example, allowed_error, distance, first_of, plain_distance
from ..backend.numpy_baseline import NumpyBaseline
from ..base.dtypes import DType
from ..ir.reference import Reference
from ..pipeline import Kernel
from ..spec.model import Spec
from .measure import interleave, rounds_within
from .samples import sample_inputs
from .sampling import MOST_SCORES

# Batch, queries, keys: a short prompt, a batch of them, a long prompt, the next token after it.
CALLS_OF_ATTENTION = ((1, 128, 128), (8, 128, 128), (1, 1024, 1024), (1, 1, 1024))
CALLS_OF_LAYER = ((1, 128, 128), (1, 512, 512))
SECONDS_OF_A_CASE = 1.0
FEWEST_ROUNDS, MOST_ROUNDS = 5, 51


@dataclass(frozen=True)
class Case:
    """One call: how far the kernel and NumPy are from the reference, and how long they take.

    Units    errors, and what is allowed: relative to max(1, the greatest result); seconds are medians of
             interleaved rounds
    """

    function: str
    batch: int
    queries: int
    keys: int
    error: float
    numpy_error: float
    seconds: float
    numpy_seconds: float
    rounds: int
    allowed: float

    @property
    def is_right(self) -> bool:
        return self.error <= self.allowed

    @property
    def times_faster(self) -> float:
        return self.numpy_seconds / self.seconds


@dataclass(frozen=True)
class Call:
    """One function with its arguments bound, as the kernel, the reference and NumPy have it."""

    function: str
    dtype: DType
    example: Example
    kernel: Callable[[], Any]
    reference: Callable[[], Any]
    numpy: Callable[[], Any]


def verify_kernel(kernel: Kernel) -> Iterator[Case]:
    """Run attention(), and layer() where there is one, on sizes that people use; one case at a time."""
    for call in calls_of(kernel):
        yield measured(call)


def calls_of(kernel: Kernel) -> Iterator[Call]:
    reference, baseline = Reference(kernel.spec), NumpyBaseline(kernel.spec)
    for sizes in CALLS_OF_ATTENTION:
        example = fitted(kernel.spec, *sizes)
        keywords = keywords_of(kernel.spec, example) | example.attention(kernel.spec)
        functions = (kernel.attention, reference.attention, baseline.attention)
        yield Call(
            "attention", kernel.spec.dtype, example, *(partial(each, **keywords) for each in functions)
        )
    if kernel.spec.projections is None:
        return
    for sizes in CALLS_OF_LAYER:
        example = fitted(kernel.spec, *sizes)
        x, weights = example.x(kernel.spec), example.weights(kernel.spec)
        keywords = keywords_of(kernel.spec, example)
        yield Call(
            "layer",
            kernel.spec.dtype,
            example,
            partial(kernel.layer, x, kernel.prepare(weights), **keywords),
            partial(reference.layer, x, weights, **keywords),
            partial(baseline.layer, x, weights, **keywords),
        )


def keywords_of(spec: Spec, example: Example) -> dict[str, Any]:
    """The queries are the last positions, whatever the spec's default: so one query sees all keys before."""
    return {**sample_inputs(spec, example), "query_offset": example.keys - example.queries}


def fitted(spec: Spec, batch: int, queries: int, keys: int) -> Example:
    """The example, its lengths halved until the reference can hold the scores."""
    while batch * spec.heads.query * queries * keys > MOST_SCORES:
        queries, keys = -(-queries // 2), keys // 2
    return Example(batch, queries, keys, seed=0)


def measured(call: Call) -> Case:
    expected = first_of(call.reference())
    candidates = {"kernel": call.kernel, "numpy": call.numpy}
    error = distance(first_of(call.kernel()), expected)
    with np.errstate(all="ignore"):
        numpy_error = plain_distance(first_of(call.numpy()), expected)
        rounds = rounds_within(SECONDS_OF_A_CASE, candidates, FEWEST_ROUNDS, MOST_ROUNDS)
        timings = interleave(candidates, rounds)
    example = call.example
    return Case(
        call.function,
        example.batch,
        example.queries,
        example.keys,
        error,
        numpy_error,
        timings["kernel"].median,
        timings["numpy"].median,
        rounds,
        allowed_error(call.dtype, numpy_error),
    )
