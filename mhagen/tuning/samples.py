"""Arrays for [inputs] that look like those of real calls: what kernels are timed with, and masks drawn for.

How fast a mask runs depends on what its arrays hold. So an array of integers along positions holds labels in
rising order, as documents packed in a sequence have; any other array of integers holds lengths, between half
of the keys and all. Reals are small, so that scores stay in the range where people use them.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from ..backend.acceptance import Arrays, Example
from ..base.dtypes import Kind
from ..spec.fields import Axis, Input
from ..spec.model import Spec

LABELS = 4
REAL_SIZE = 1 / 16
POSITIONS = (Axis.QUERIES.value, Axis.KEYS.value)


def sample_inputs(spec: Spec, example: Example) -> Arrays:
    """An array for each entry of [inputs], for a call with the lengths of the example."""
    rng = example.rng()
    lengths = {
        Axis.BATCH.value: example.batch,
        Axis.QUERIES.value: example.queries,
        Axis.KEYS.value: example.keys,
        Axis.QUERY_HEADS.value: spec.heads.query,
        Axis.KEY_VALUE_HEADS.value: spec.heads.key_value,
    }
    shapes = {
        name: tuple(lengths[axis] if isinstance(axis, str) else axis for axis in each.shape)
        for name, each in spec.inputs.items()
    }
    return {name: _values(rng, each, shapes[name], example.keys) for name, each in spec.inputs.items()}


def _values(
    rng: np.random.Generator, array: Input, shape: tuple[int, ...], keys: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    match array.dtype.kind:
        case Kind.CONDITION:
            return rng.random(shape) < 0.5
        case Kind.REAL:
            return (REAL_SIZE * rng.standard_normal(shape)).astype(array.dtype.value)
        case Kind.INTEGER:
            if array.shape[-1] in POSITIONS:
                return np.sort(rng.integers(0, LABELS, shape), axis=-1).astype(array.dtype.value)
            return rng.integers(-(-keys // 2), keys, shape, endpoint=True).astype(array.dtype.value)
        case _:
            assert_never(array.dtype.kind)
