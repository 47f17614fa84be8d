"""Heads that differ, and heads that are pruned: a kernel for each kind, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from gpu.attention import SMALL, Call, assert_right, module_of, run, spec_of
from gpu.toolchain import needs_compiler

pytestmark = needs_compiler
ALL = {"statistics": ["lse", "max", "entropy", "confidence"]}
# Three kinds of heads, of which one is spread unevenly over the key/value heads, and pruned heads.
MIXED = spec_of(
    heads={"query": 8, "key_value": 2, "dim": 64, "pruned": [5]},
    mask={"keep": "k <= q and q - k < 20"},
    groups=[
        {
            "heads": [0, 4, 6],
            "mask": {"keep": "k <= q + 8 * h"},
            "scores": {"modify": "score + slope[h] * (k - q)", "scale": 0.2},
        },
        {"heads": [7], "mask": {"keep": "True"}, "softmax": {"sink": "0.5 + 0.01 * q"}},
    ],
    inputs={"slope": {"shape": ["query_heads"]}},
    outputs=ALL,
)
SLOPE = {"slope": np.linspace(-0.3, 0.3, 8, dtype=np.float32)}


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (33, 70)])
def test_every_kind_of_heads_is_right(arch: str, queries: int, keys: int) -> None:
    module = module_of(MIXED, SMALL if arch == "sm_80" else None, arch)
    call = Call(queries, keys, batch=2, offsets=(keys - queries, -3), inputs=SLOPE)
    assert_right(run(MIXED, call, module), "float16")


SECOND = spec_of(
    heads={"query": 6, "key_value": 2, "dim": 32, "pruned": [3]},
    mask={"keep": "k <= q"},
    groups=[{"heads": [1, 2], "mask": {"keep": "k % 3 == 0"}, "scores": {"scale": 0.5}}],
    outputs={"statistics": ["argmax", "lse", "received", "top_4"]},
)


@pytest.mark.parametrize("parts", [0, 2])
def test_every_kind_of_heads_has_second_passes(parts: int) -> None:
    assert_right(run(SECOND, Call(5, 70, batch=2, offsets=(60, -3), parts=parts)), "float16")


@pytest.mark.parametrize(("queries", "keys"), [(1, 40), (5, 100)])
def test_every_kind_of_heads_is_decoded_right(queries: int, keys: int) -> None:
    call = Call(queries, keys, batch=2, offsets=(keys - queries, -3), inputs=SLOPE, parts=2)
    assert_right(run(MIXED, call), "float16")
