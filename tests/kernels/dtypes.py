"""The specs that claims about formats are tested on: every dtype, for every class of CPU that runs here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mhagen.base.dtypes import DType
from mhagen.base.target import TARGETS, Target
from mhagen.runtime.host import host_cpu

from .specs import Case, case, register

REALS = (DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)
# Together: every feature, dims that fill vectors, pairs and neither, and captured arrays of every format.
# Compiling them takes most of the time: what says nothing of a class of CPU is tried on the widest only.
FEATURES: dict[str, dict[str, Any]] = {
    "dense": {"heads": "2/2 64/64", "lse": False},
    "odd": {
        "heads": "4/1 17/33",
        "modify": "score + slope[h] * (k - q)",
        "keep": "k <= q",
        "align": "end",
        "slope": "float32 query_heads",
    },
    "captured": {
        "heads": "2/2 128/128",
        "modify": "cap * tanh(score / cap) + brain[q, k] + half[h, k] * single[b] + wide[b, q - k]",
        "keep": "chosen[b, q, k]",
        "layout": "bshd",
        "constants": {"cap": 20.0},
        "brain": "bfloat16 queries keys",
        "half": "float16 query_heads keys",
        "single": "float32 batch",
        "wide": "float64 batch keys",
        "chosen": "bool batch queries keys",
    },
}
LAYERS: dict[str, dict[str, Any]] = {
    "layer": {
        "heads": "4/2 24/40",
        "projections": {"model_dim": 100, "bias": True, "output_bias": True},
        "keep": "k <= q",
        "align": "end",
    },
}
ON_THE_WIDEST: dict[str, dict[str, Any]] = {
    "window": {
        "heads": "4/2 40/24",
        "keep": "k <= q and q - k < window",
        "align": "end",
        "layout": "bshd",
        "constants": {"window": 70},
    },
    "mixed": {
        "heads": "8/2 48/32",
        "keep": "k <= q and q - k < window",
        "constants": {"window": 70},
        "pruned": [2, 5, 6],
        "statistics": ["lse", "max"],
        "groups": [
            {"heads": [0, 5], "mask": {"keep": "True"}, "scores": {"scale": -0.1}},
            {"heads": [4], "scores": {"modify": "tanh(score) - h"}, "softmax": {"sink": "0.5"}},
        ],
    },
}
LAYERS_ON_THE_WIDEST: dict[str, dict[str, Any]] = {
    "odd_layer": {
        "heads": "3/3 16/5",
        "projections": {"model_dim": 7, "bias": False, "output_bias": True},
        "modify": "score + slope[h] * abs(q - k)",
        "layout": "bshd",
        "slope": "float32 query_heads",
    },
    "pruned_layer": {
        "heads": "4/2 24/8",
        "projections": {"model_dim": 20, "bias": True, "output_bias": False},
        "pruned": [0, 1, 3],
    },
}


def runs_here(target: Target) -> bool:
    cpu = host_cpu()
    return cpu.architecture == target.architecture and cpu.features.issuperset(target.features)


def targets_of(dtype: DType) -> tuple[Target, ...]:
    """The classes this CPU belongs to that kernels of the dtype are made for, widest first."""
    return tuple(each for each in TARGETS if runs_here(each) and each.pair_dtype in ("", dtype.value))


def made(
    features: dict[str, dict[str, Any]], *, widest: bool = False, dtypes: tuple[DType, ...] = REALS
) -> tuple[Case, ...]:
    """A case for each of the features and dtypes, on every target or the widest."""
    cases = (
        register(case(f"{name}_{dtype.value}", dtype=dtype.value, **given))
        for name, given in features.items()
        for dtype in dtypes
    )
    return tuple(
        replace(each, chosen=target)
        for each in cases
        for target in targets_of(each.spec.dtype)[: 1 if widest else None]
    )


# Numbers as they are computed, and pairs: formats for every class of CPU where the others add little.
MAIN = (DType.FLOAT32, DType.BFLOAT16)


def made_mainly(features: dict[str, dict[str, Any]]) -> tuple[Case, ...]:
    """Cases of the main formats on every target, and of the others on the widest."""
    others = tuple(dtype for dtype in REALS if dtype not in MAIN)
    return (*made(features, dtypes=MAIN), *made(features, widest=True, dtypes=others))


CASES = (*made(FEATURES), *made(ON_THE_WIDEST, widest=True))
MASKED = tuple(each for each in CASES if each.spec.mask.keep is not None)
LAYER_CASES = (*made(LAYERS), *made(LAYERS_ON_THE_WIDEST, widest=True))
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=repr)
EVERY_MASK = pytest.mark.parametrize("case", MASKED, ids=repr)
EVERY_LAYER = pytest.mark.parametrize("case", LAYER_CASES, ids=repr)


def of(feature: str) -> Any:
    """The cases of one feature."""
    cases = [each for each in CASES if each.spec.name == f"{feature}_{each.spec.dtype.value}"]
    return pytest.mark.parametrize("case", cases, ids=repr)
