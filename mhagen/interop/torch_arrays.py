"""Arrays as tensors that share their memory, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..base.dtypes import DType
from ..tuning.problem import Array, Problem
from .fused import in_layout


def tensor(array: Array) -> torch.Tensor:
    """A view of the array; bfloat16 passes as the integers that its bits are."""
    if array.dtype.name != DType.BFLOAT16.value:
        return torch.from_numpy(array)
    return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)


def reader(problem: Problem) -> Any:
    """What makes of a result (batch, heads, queries, dim) an array in the spec's layout."""
    return lambda result: in_layout(problem, widened(result))


def widened(result: torch.Tensor) -> Array:
    """At least float32."""
    wide: Array = (result.float() if result.element_size() < 4 else result).numpy()
    return wide
