"""Attention as it is written in plain NumPy: all scores in memory, products by its BLAS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ...backend.numpy_baseline import NumpyBaseline
from ...base.errors import UnsupportedError
from ...tuning.peer import Form, Ready
from ...tuning.problem import Array, Problem

MOST_SCORES = 1 << 28  # 1 GB, and several times so much for what is computed from them


def float32(problem: Problem, threads: int) -> Ready:
    """In float32, from and to the format of the problem."""
    if problem.pairs > MOST_SCORES:
        raise UnsupportedError(f"its scores would take {problem.pairs * 4 / 1e9:.1f} GB")
    threadpool_limits(threads, user_api="blas")
    keywords: dict[str, Any] = {**problem.inputs, "query_offset": problem.query_offset}
    baseline = NumpyBaseline(problem.spec)
    if problem.is_layer:
        weights = {name: as_float32(array) for name, array in problem.weights.items()}
        layer = partial(baseline.layer, weights=weights, **keywords)
        return Ready(partial(rounded, layer, problem.arguments), as_float32)
    attention = partial(baseline.attention, **keywords)
    return Ready(partial(rounded, attention, problem.arguments), as_float32)


def rounded(call: Callable[..., Array], arguments: Mapping[str, Array]) -> Array:
    """The result in the format of the arguments."""
    out = call(**{name: as_float32(array) for name, array in arguments.items()})
    return out.astype(next(iter(arguments.values())).dtype, copy=False)


def as_float32(array: Array) -> Array:
    return array.astype(np.float32, copy=False)


def always(problem: Problem) -> bool:
    return True


FORMS = (Form("float32", float32, always),)
