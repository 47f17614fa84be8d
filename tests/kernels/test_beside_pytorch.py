"""Errors are within twice those of PyTorch's kernel of the same dtype on the same input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mhagen.base.dtypes import DType
from mhagen.spec.load import load_spec

from . import plain
from .calls import Array, Call, Shape
from .dtypes import made
from .specs import Case

torch = pytest.importorskip("torch")

CASES = (
    *made({"like_torch": {"heads": "2/2 64/64", "lse": False}}),
    *made(
        {
            "like_torch_causal": {"heads": "4/2 80/80", "keep": "k <= q", "lse": False},
            "like_torch_biased": {
                "heads": "2/2 48/48",
                "modify": "score + bias[h, q, k]",
                "bias": "float32 query_heads queries keys",
                "lse": False,
            },
        },
        widest=True,
    ),
)
# Queries, keys, and how large scores are: of normal numbers; flat; steep, where few keys count; one key wins.
INPUTS = {
    "normal": (200, 300, 1.0),
    "flat": (200, 700, 0.05),
    "steep": (200, 300, 8.0),
    "one key wins": (200, 300, 60.0),
    "a single block": (33, 64, 3.0),
    "few queries": (5, 1500, 2.0),
    "many keys": (33, 4000, 1.0),
}


@dataclass(frozen=True)
class Error:
    """Distances from the result in extended precision."""

    greatest: float
    mean: float

    @classmethod
    def of(cls, found: Array, gold: Array) -> Error:
        gaps = np.abs(found.astype(np.longdouble) - gold)
        return cls(float(gaps.max()), float(gaps.mean()))


def exact(case: Case, call: Call) -> Array:
    """The result in extended precision: float64 has no oracle but this one."""
    wide = {name: array.astype(np.longdouble) for name, array in call.items()}
    spec = load_spec(case.spec.model_dump(exclude_defaults=True) | {"dtype": "float64"})
    return plain.attention(spec, **wide)["out"]


def pytorch(case: Case, call: Call) -> Array:
    query, key, value = (tensor(call[name]) for name in ("query", "key", "value"))
    out = torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=tensor(call["bias"]).to(query.dtype)[None] if "bias" in call else None,
        is_causal=case.spec.mask.keep is not None,
        scale=case.spec.scale,
        enable_gqa=case.spec.heads.query != case.spec.heads.key_value,
    )
    return (out.float() if out.element_size() < 4 else out).numpy()


def tensor(array: Array) -> Any:
    if array.dtype.name == DType.BFLOAT16.value:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


COMPARISONS = [pytest.param(case, name, id=f"{case!r}-{name}") for case in CASES for name in INPUTS]


@pytest.mark.parametrize(("case", "name"), COMPARISONS)
def test_errors_are_within_twice_those_of_pytorch(case: Case, name: str) -> None:
    queries, keys, scores = INPUTS[name]
    call = Shape(2, queries, keys, seed=len(name), scores=scores).random(case)
    gold = exact(case, call)
    ours = Error.of(case.module.attention(**call, query_offset=0), gold)
    theirs = Error.of(pytorch(case, call), gold)
    assert ours.greatest <= 2 * theirs.greatest
    assert ours.mean <= 2 * theirs.mean
