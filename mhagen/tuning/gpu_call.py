"""A call of attention() on a GPU: its arrays, put there, and a new output for each kernel that is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..backend.acceptance import Example
from ..schedule.gpu_decode_plan import is_decoded
from ..schedule.sight import Shape
from ..spec.model import Spec
from .gpu_bench import Bench
from .problem import Problem


@dataclass(frozen=True)
class GpuCall:
    """One call, as a function of the kernel that computes it and of the array that this writes.

    Members  keywords: as attention() takes them, but for out
             new_out: an array for that, full of what is no number: no kernel is judged by another's results
    """

    problem: Problem
    keywords: Mapping[str, Any]
    new_out: Callable[[], Any]

    @property
    def shape(self) -> Shape:
        example = self.problem.example
        return Shape(example.batch, example.queries, example.keys)

    def by(self, attention: Callable[..., Any], out: Any) -> Callable[[], Any]:
        return partial(attention, **self.keywords, out=out)


def gpu_call(bench: Bench, problem: Problem) -> GpuCall:
    """A call of any spec's attention: arrays of the host, put on the GPU."""
    query, width = problem.arguments["query"], problem.spec.heads.value_dim
    keywords = {name: bench.put(array) for name, array in {**problem.arguments, **problem.inputs}.items()}

    def new_out() -> Any:
        return bench.put(np.full((*query.shape[:-1], width), np.nan, query.dtype))

    return GpuCall(problem, {**keywords, "query_offset": problem.query_offset}, new_out)


def problem_on_gpu(spec: Spec, example: Example) -> Problem:
    """Of a layer, the attention."""
    return Problem(spec.model_copy(update={"projections": None}), example)


def decodes(spec: Spec, queries: int, keys: int) -> bool:
    """Is the call one for the kernels that all GPUs share, those for few queries?"""
    return is_decoded(spec.heads.query // spec.heads.key_value, queries, keys)
