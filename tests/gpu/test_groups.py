"""Heads that differ, and heads that are pruned: a kernel for each kind, against the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpu.attention import SMALL, Call, assert_right, module_of, run, shows, spec_of
from gpu.test_attention import without
from gpu.toolchain import assemble_in_registers, needs_compiler, needs_sass

pytestmark = needs_compiler
# Of each key/value head some heads are as the spec says of all, and some others; one is pruned.
MIXED = spec_of(
    heads={"query": 8, "key_value": 2, "dim": 64, "pruned": [5]},
    groups=[
        {
            "heads": [0, 4, 6],
            "mask": {"keep": "k <= q + 8 * h"},
            "scores": {"modify": "score + slope[h] * (k - q)", "scale": 0.2},
            "softmax": {"sink": "0.5 + 0.01 * q"},
        },
    ],
    inputs={"slope": {"shape": ["query_heads"]}},
    outputs={"statistics": ["lse", "max", "entropy", "confidence"]},
)
SLOPE = {"slope": np.linspace(-0.3, 0.3, 8, dtype=np.float32)}
SECOND = spec_of(
    heads={"query": 6, "key_value": 2, "dim": 32, "pruned": [3]},
    mask={"keep": "k <= q"},
    groups=[{"heads": [1, 2], "mask": {"keep": "k % 3 == 0"}, "scores": {"scale": 0.5}}],
    outputs={"statistics": ["argmax", "lse", "received", "top_4"]},
)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (33, 70)])
def test_every_kind_of_heads_is_right(arch: str, queries: int, keys: int) -> None:
    module = module_of(MIXED, SMALL if arch == "sm_80" else None, arch)
    assert ("wgmma_shared" in vars(module)) == (arch == "sm_90a")
    call = Call(queries, keys, batch=2, offsets=(keys - queries, -70), inputs=SLOPE)
    assert_right(run(MIXED, call, module), "float16")


@pytest.mark.parametrize(("queries", "keys"), [(1, 40), (5, 100)])
def test_every_kind_of_heads_is_decoded_right(queries: int, keys: int) -> None:
    call = Call(queries, keys, batch=2, offsets=(keys - queries, -3), inputs=SLOPE, parts=2)
    assert_right(run(MIXED, call), "float16")


def test_every_kind_of_heads_has_second_passes() -> None:
    assert_right(run(SECOND, Call(5, 70, batch=2, offsets=(60, -3), parts=2)), "float16")


def test_what_is_pruned_is_0_and_its_statistics_are_those_of_a_query_that_sees_no_key() -> None:
    out, best, lse, received, four = run(SECOND, Call(5, 70, parts=2)).found
    assert (out[:, 3] == 0).all()
    assert (received[:, 3] == 0).all()
    assert (lse[:, 3] == -np.inf).all()
    assert (best[:, 3] == -1).all()
    assert (four[:, 3] == -1).all()


@pytest.mark.parametrize("step", [r"cp\.async\.wait_group", r"bar(?:rier)?\.sync"])
def test_a_step_left_out_shows(step: str) -> None:
    call = Call(33, 70, query_offset=37, inputs=SLOPE)
    assert shows(MIXED, call, without(step, 1), module_of(MIXED, SMALL))


@needs_sass
def test_tiles_of_every_kind_stay_in_registers(tmp_path: Path) -> None:
    module = module_of(MIXED, None, "sm_90a")
    for kernel in (module.KERNEL_LIKE_HEAD_0, module.KERNEL_LIKE_HEAD_1):
        assemble_in_registers(kernel, tmp_path)
