"""The layers that claims about pruning are tested on: small, so that few kernels are compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from mhagen.backend.acceptance import Example
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec

Array = np.ndarray[Any, Any]

EXAMPLE = Example(3, 11, 11, 7)


def spec_of(**changes: Any) -> Spec:
    keys = {
        "name": "small",
        "heads": {"query": 4, "key_value": 2, "dim": 16},
        "mask": {"keep": "k <= q"},
        "projections": {"model_dim": 24, "bias": True, "output_bias": True},
    }
    return load_spec(keys | changes)


SMALL = spec_of()
WEIGHTS = EXAMPLE.weights(SMALL)
X = EXAMPLE.x(SMALL)
GRADIENT = np.random.default_rng(3).standard_normal(X.shape)
COUNTED = np.arange(11) < np.array([11, 4, 7])[:, np.newaxis]


def with_gates(spec: Spec, weights: dict[str, Array], gates: Array) -> dict[str, Array]:
    """The weights of the layer whose heads are multiplied with gates, in float64."""
    columns = np.repeat(gates, spec.heads.value_dim)
    return {**weights, "wo": weights["wo"].astype(np.float64) * columns}
