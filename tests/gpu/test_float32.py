"""Kernels for float32, whose products are multiply-adds: against the reference, to its digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mhagen
from gpu.attention import Call, Outcome, assert_right, module_of, needless_waits, run, shows, spec_of
from gpu.test_attention import ALL, HEADS, inputs, spoil, spoil_values, with_another_swizzle, without
from gpu.test_layer import OnHost
from gpu.toolchain import assemble, needs_compiler, needs_sass
from mhagen.pipeline import compile_to_gpu_source
from mhagen.schedule.gpu_plan import GpuSchedule

pytestmark = needs_compiler
SMALL = GpuSchedule(warps=2, row_tiles=1, block_keys=32, stages=2, keeps_queries=False)
MIXED = spec_of(
    dtype="float32",
    heads={"query": 3, "key_value": 1, "dim": 16, "value_dim": 48},
    scores={"modify": "score + slope[h] * (k - q)"},
    mask={"keep": "k <= q and q - k < 60"},
    softmax={"sink": "0.25 * h"},
    inputs=inputs(slope=(["query_heads"], "float32")),
    outputs={"statistics": ALL},
)
SLOPE = np.linspace(-0.1, 0.1, 3, dtype=np.float32)


def run_mixed(queries: int, keys: int, **changes: Any) -> Outcome:
    call = Call(queries, keys, inputs={"slope": SLOPE}, **changes)
    return run(MIXED, call, module_of(MIXED, SMALL))


@pytest.mark.parametrize(("queries", "keys", "parts"), [(1, 1, 0), (33, 65, 0), (1, 1, 2), (6, 130, 2)])
def test_lengths_of_any_size_are_right(queries: int, keys: int, parts: int) -> None:
    outcome = run_mixed(queries, keys, batch=2, offsets=(keys - queries, -3), parts=parts)
    assert_right(outcome, "float32")


def test_rows_may_lie_apart() -> None:
    assert_right(run_mixed(33, 40, gap=8), "float32")


@pytest.mark.parametrize("parts", [0, 2], ids=["tiles", "decoding"])
def test_what_is_hidden_reaches_nobody(parts: int) -> None:
    outcome = run_mixed(5, 40, query_offset=17, parts=parts, change=spoil)
    found, wanted = outcome.found[0], outcome.wanted[0]
    assert np.isfinite(found[:, :, :3]).all()
    np.testing.assert_allclose(found[:, :, :3], wanted[:, :, :3], atol=4e-6)


@pytest.mark.parametrize("parts", [0, 2], ids=["tiles", "decoding"])
def test_an_infinite_value_is_the_sum_of_those_who_see_it(parts: int) -> None:
    assert_right(run_mixed(12, 40, query_offset=24, parts=parts, change=spoil_values), "float32")


FAULTS = {
    "a wait": without(r"cp\.async\.wait_group"),
    "the barrier behind it": without(r"bar(?:rier)?\.sync"),
    "the swizzle": with_another_swizzle,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_left_out_shows(fault: str) -> None:
    call = Call(33, 130, query_offset=90, inputs={"slope": SLOPE})
    assert shows(MIXED, call, FAULTS[fault], module_of(MIXED, SMALL))


@pytest.mark.parametrize("parts", [0, 2], ids=["tiles", "decoding"])
def test_no_wait_and_no_barrier_is_needless(parts: int) -> None:
    calls = (
        Call(33, 130, query_offset=90, inputs={"slope": SLOPE}, parts=parts),
        Call(12, 40, query_offset=24, inputs={"slope": SLOPE}, parts=parts, change=spoil_values),
    )
    assert needless_waits(MIXED, calls, module_of(MIXED, SMALL)) == []


# By the schedules that are chosen: 4 rows a thread and two stages, 4 and one, 2 rows of wide heads;
# rows that are never aligned.
CAUSAL = {"mask": {"keep": "k <= q"}}
CHOSEN = {
    "64": spec_of(dtype="float32", heads={"query": 2, "key_value": 1, "dim": 64}, layout="bshd"),
    "128": spec_of(dtype="float32", heads={"query": 1, "dim": 128}, **CAUSAL),
    "256": spec_of(dtype="float32", heads={"query": 1, "dim": 256}, **CAUSAL),
    "17 and 33": spec_of(dtype="float32", heads=HEADS["17 and 33, which are never aligned"]),
}


@pytest.mark.parametrize("heads", ["64", "128", "17 and 33"])
def test_heads_of_any_width_are_right(heads: str) -> None:
    spec = CHOSEN[heads]
    call = Call(70, 75, query_offset=5, layout=spec.get("layout", "bhsd"))
    assert_right(run(spec, call, module_of(spec, None)), "float32")


def test_one_warp_copies_rows_that_are_wider_than_a_round_of_it() -> None:
    spec = CHOSEN["256"]
    assert_right(run(spec, Call(3, 40, query_offset=37, parts=2), module_of(spec, None)), "float32")


def test_functions_of_reals_have_all_digits_of_the_format() -> None:
    spec = spec_of(
        dtype="float32",
        heads={"query": 2, "dim": 16},
        scores={"modify": "tanh(score / 100) + log(1.0 + exp(-abs(score))) - sigmoid(score) * exp(score)"},
        outputs={"statistics": ["max"]},
    )
    assert "fine_hyperbolic_tangent(" in compile_to_gpu_source(spec, "sm_80", SMALL)[2].text
    assert_right(run(spec, Call(20, 40), module_of(spec, SMALL)), "float32")


@needs_sass
@pytest.mark.parametrize(("heads", "kernel"), [("64", "KERNEL"), ("128", "KERNEL"), ("256", "PARTS")])
def test_tiles_stay_in_registers(heads: str, kernel: str, tmp_path: Path) -> None:
    """Also on Hopper, which has the same kernels."""
    text = getattr(module_of(CHOSEN[heads], None), kernel).code().decode()
    for arch in ("sm_80", "sm_90"):
        made = assemble(text, arch, tmp_path)
        assert (made.stack_bytes, made.spilled_bytes) == (0, 0)
    found = made.opcodes()
    assert found["FFMA"] > 300
    assert not found["HMMA"]


def test_hopper_has_the_same_kernel() -> None:
    of_all, of_hopper = (compile_to_gpu_source(CHOSEN["64"], arch)[2].text for arch in ("sm_90", "sm_90a"))
    assert of_hopper == of_all.replace("sm_90", "sm_90a")


def test_second_passes_and_pruned_heads_are_right() -> None:
    spec = spec_of(
        dtype="float32",
        heads={"query": 3, "key_value": 1, "dim": 16, "pruned": [1]},
        outputs={"statistics": ["argmax", "received", "top_4"]},
    )
    assert_right(run(spec, Call(33, 70), module_of(spec, SMALL)), "float32")


def test_a_layer_is_its_products_around_the_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are NumPy's here, and the attention is the reference's."""
    alone = {"name": "of_layer", "dtype": "float32", "heads": {"query": 2, "dim": 16}, **CAUSAL}
    spec = {**alone, "projections": {"model_dim": 24}}

    def attend(query: Any, key: Any, value: Any, *, query_offset: int, out: Any, stream: None) -> Any:
        out[...] = mhagen.reference(alone).attention(query, key, value, query_offset=query_offset)
        return out

    module, rng = module_of(spec, None), np.random.default_rng(0)
    monkeypatch.setattr(module, "attention", attend)
    monkeypatch.setattr(module.LINEAR, "library", lambda _: OnHost())
    shapes = {"wq": (32, 24), "wk": (32, 24), "wv": (32, 24), "wo": (24, 32)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    x = rng.standard_normal((2, 5, 24)).astype(np.float32)
    wanted = mhagen.reference(spec).layer(x, weights)
    np.testing.assert_allclose(module.layer(x, weights), wanted, atol=1e-5 * np.abs(wanted).max())
