"""The specs with projections that claims about layer() are tested on, and weights for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mhagen.backend.acceptance import Example, normal
from mhagen.spec.fields import Projections
from mhagen.spec.model import Spec

from .specs import Case, case, register

Array = np.ndarray[Any, Any]
Table = dict[str, Any]


def layer(
    name: str, heads: str, model_dim: int, biases: str = "", placed: Table | None = None, **given: Any
) -> Case:
    """`placed` is what becomes of queries and keys: qk_norm and rotary."""
    biased = {"bias": "qkv" in biases, "output_bias": "out" in biases}
    projections = {"model_dim": model_dim, **biased, **(placed or {})}
    return register(case(name, heads, projections=projections, **given))


FULL: dict[str, Any] = {
    "heads": "4/2 24/40",
    "model_dim": 100,
    "biases": "qkv out",
    "keep": "k <= q",
    "align": "end",
}
PARTLY_TURNED: Table = {"qk_norm": {}, "rotary": {"layout": "interleaved", "dim": 42, "base": 100.0}}
LAYERS = {
    each.spec.name: each
    for each in (
        layer("full", **FULL),
        layer("full_rows", layout="bshd", **FULL),
        layer(
            "odd",
            "3/3 16/5",
            7,
            lse=False,
            modify="score + slope[h] * abs(q - k)",
            slope="float32 query_heads",
        ),
        layer(
            "padded",
            "6/1 40/33",
            50,
            biases="out",
            keep="k < length[b]",
            length="int32 batch",
            ranges={"length": (-1, 40)},
        ),
        layer(
            "gated",
            "6/3 16/12",
            20,
            biases="qkv out",
            keep="k <= q",
            pruned=[4, 0, 1],
            groups=[{"heads": [3, 4], "mask": {"keep": "True"}, "scores": {"scale": 0.5}}],
        ),
        layer("square", "2/2 16/16", 32, biases="qkv", layout="bshd"),
        layer("turned", "4/2 70/24", 60, "qkv", PARTLY_TURNED, keep="k <= q", align="end"),
        layer("normal", "3/1 13/40", 33, placed={"qk_norm": {"eps": 1e-3}}),
    )
}


def projections_of(spec: Spec) -> Projections:
    assert spec.projections is not None
    return spec.projections


def weights_of(spec: Spec, seed: int) -> dict[str, Array]:
    return Example(1, 1, 1, seed).weights(spec)


def rows(spec: Spec, *shape: int, seed: int) -> Array:
    """Random rows as wide as the layer's x."""
    width = projections_of(spec).model_dim
    return normal(np.random.default_rng(seed), spec.dtype, (*shape, width))
