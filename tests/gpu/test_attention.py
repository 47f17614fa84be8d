"""Kernels for GPUs against the reference: their PTX is run by the machine, warps in some order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu.attention import SMALL, Call, assert_right, module_of, needless_waits, run, shows, spec_of
from gpu.toolchain import assemble_in_registers, needs_compiler, needs_sass
from mhagen.schedule.gpu_plan import GpuSchedule

pytestmark = needs_compiler
RNG = np.random.default_rng(5)
ALL = ["lse", "max", "entropy", "confidence"]
CAUSAL = spec_of(mask={"keep": "k <= q"}, outputs={"statistics": ALL})


@pytest.mark.parametrize("queries", [1, 31, 32, 33, 70])
@pytest.mark.parametrize("keys", [1, 32, 65])
def test_tails_of_any_length_are_right(queries: int, keys: int) -> None:
    assert_right(run(CAUSAL, Call(queries, keys, query_offset=keys - queries, seed=queries)), "float16")


def test_every_batch_entry_can_have_an_offset_of_its_own() -> None:
    assert_right(run(CAUSAL, Call(20, 70, batch=3, offsets=(50, -5, 12))), "float16")


def test_a_query_that_sees_no_key_gives_zero() -> None:
    outcome = run(CAUSAL, Call(10, 40, query_offset=-6))
    assert_right(outcome, "float16")
    out, lse, most, entropy, confidence = outcome.found
    assert (out[:, :, :6] == 0).all()
    assert (lse[:, :, :6] == -np.inf).all()
    assert (most[:, :, :6] == -np.inf).all()
    assert (entropy[:, :, :6] == 0).all()
    assert (confidence[:, :, :6] == 0).all()


def test_a_query_that_sees_no_key_gives_zero_whatever_is_added_to_its_scores() -> None:
    spec = spec_of(
        scores={"modify": "score + slope[h] * (k - q) + level[b, q]"},
        mask={"keep": "k < q and k != q - 9"},
        inputs=inputs(slope=(["query_heads"], "float32"), level=(["batch", "queries"], "float32")),
    )
    level = np.array([[np.nan, 0.5, -np.inf, *np.zeros(37)]], np.float32)
    for slope in ([0.5, 0.25], [np.inf, np.nan]):
        given = {"slope": np.array(slope, np.float32), "level": level}
        outcome = run(spec, Call(40, 40, inputs=given))
        assert_right(outcome, "float16")
        assert (outcome.found[0][:, :, [0, 2] if slope[0] < 1 else [0]] == 0).all()


def test_rows_need_no_alignment() -> None:
    assert_right(run(CAUSAL, Call(33, 40, gap=3)), "float16")


def test_rows_may_lie_apart() -> None:
    assert_right(run(CAUSAL, Call(33, 40, gap=8)), "float16")


def spoil(query: Any, key: Any, value: Any) -> None:
    key[0, 0, 20:], value[0, 0, 25] = np.nan, np.inf
    value[0, 0, 30, ::2] = -np.inf


def test_what_is_hidden_reaches_nobody() -> None:
    outcome = run(CAUSAL, Call(40, 40, change=spoil))
    out = outcome.found[0]
    assert np.isfinite(out[:, :, :20]).all()
    assert np.isnan(out[:, :, 20:]).all()
    np.testing.assert_allclose(out[:, :, :20], outcome.wanted[0][:, :, :20], atol=2e-3)


def spoil_values(query: Any, key: Any, value: Any) -> None:
    value[0, 0, 25, 3], value[0, 0, 33, 3] = np.inf, -np.inf


def test_an_infinite_value_is_the_sum_of_those_who_see_it() -> None:
    assert_right(run(CAUSAL, Call(40, 40, change=spoil_values)), "float16")


# Heads of every shape: what is filled up, turned in part, of two widths.
HEADS = {
    "16": {"query": 1, "dim": 16},
    "40": {"query": 2, "dim": 40},
    "17 and 33, which are never aligned": {"query": 1, "dim": 17, "value_dim": 33},
    "80 and 48, three heads over one": {"query": 3, "key_value": 1, "dim": 80, "value_dim": 48},
    "128": {"query": 1, "dim": 128},
}


@pytest.mark.parametrize("heads", HEADS)
def test_heads_of_any_width_are_right(heads: str) -> None:
    spec = spec_of(dtype="bfloat16", heads=HEADS[heads])
    assert_right(run(spec, Call(20, 50)), "bfloat16")


SCHEDULES = {
    "three stages": GpuSchedule(2, 1, 16, 3, True),
    "two row tiles": GpuSchedule(2, 2, 32, 2, False),
    "four stages": GpuSchedule(1, 1, 16, 4, False),
    "keys and values in turn": GpuSchedule(2, 1, 48, 1, True),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_way_through_the_pipeline_is_right(schedule: str) -> None:
    spec = spec_of(mask={"keep": "k <= q and q - k < 40"})
    module = module_of(spec, SCHEDULES[schedule])
    assert_right(run(spec, Call(70, 100, query_offset=30), module), "float16")


def labels(count: int) -> Any:
    return np.sort(RNG.integers(0, 4, (1, count))).astype(np.int32)


def reals(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def inputs(**shapes: tuple[list[Any], str]) -> dict[str, Any]:
    return {name: {"shape": shape, "dtype": dtype} for name, (shape, dtype) in shapes.items()}


VOCABULARY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ALiBi": (
        {
            "scores": {"modify": "score + slope[h] * (k - q)"},
            "inputs": inputs(slope=(["query_heads"], "float32")),
        },
        {"slope": reals(2)},
    ),
    "a bias for each cell": (
        {
            "scores": {"modify": "score + bias[b, h, q, k]"},
            "inputs": inputs(bias=(["batch", "query_heads", "queries", "keys"], "float32")),
        },
        {"bias": reals(1, 2, 40, 50)},
    ),
    "documents and a sink": (
        {
            "mask": {"keep": "document[b, q] == document[b, k] and k <= q"},
            "softmax": {"sink": "sink[h]"},
            "inputs": inputs(document=(["batch", "keys"], "int32"), sink=(["query_heads"], "float32")),
            "outputs": {"statistics": ALL},
        },
        {"document": labels(50), "sink": reals(2)},
    ),
    "divisions of reals": (
        {
            "scores": {"modify": "score + (q - k) * 0.37 // step[h] + (k - q) * 9.5e6 % step[h]"},
            "mask": {"keep": "(q - k) % 2.5 < 1.7"},
            "inputs": inputs(step=(["query_heads"], "float32")),
        },
        {"step": np.array([-0.75, 2.5], np.float32)},
    ),
    "powers of reals": (
        {
            "scores": {"modify": "score + (q - k - 7.5) ** power[k] / 100 + (k / 40.0) ** 18 / 40"},
            "inputs": inputs(power=(["keys"], "float32")),
        },
        {"power": np.arange(50, dtype=np.float32) % 3 - 1},
    ),
    "a sink that is a sum": ({"softmax": {"sink": "0.25 * h + 0.01 * q"}}, {}),
    "functions of reals": (
        {
            "scores": {
                "modify": "cap * tanh(score / cap) + max(sigmoid(score), 0.25) * exp(-abs(score))"
                " - sqrt(k + 1.0) / (1 + log(q + 2)) + floor(score) ** 2 + where(k < q, 0.5, level[h])"
            },
            "constants": {"cap": 3.0},
            "inputs": inputs(level=(["query_heads"], "float64")),
        },
        {"level": reals(2).astype(np.float64)},
    ),
    "integers": (
        {"mask": {"keep": "(q * 7 + k * 13) % 5 < 2 or k == 0 or q // 8 == k // 8"}},
        {},
    ),
    "a mask of booleans": (
        {"mask": {"keep": "seen[q, k]"}, "inputs": inputs(seen=(["queries", "keys"], "bool"))},
        {"seen": RNG.random((40, 50)) < 0.3},
    ),
    "reals that are bounded": (
        {
            "mask": {"keep": "abs(time[q] - time[k]) < 0.5"},
            "inputs": inputs(time=(["keys"], "float32")),
        },
        {"time": np.sort(reals(50))},
    ),
    "a negative scale": ({"scores": {"scale": -0.3}}, {}),
}


@pytest.mark.parametrize("words", VOCABULARY)
def test_what_expressions_say_is_done(words: str) -> None:
    changes, arrays = VOCABULARY[words]
    spec = spec_of(**changes)
    assert_right(run(spec, Call(40, 50, inputs=arrays)), "float16")


def test_the_other_layout_is_the_same_kernel() -> None:
    spec = spec_of(layout="bshd")
    outcome = run(spec, Call(20, 40, layout="bshd", batch=2))
    assert_right(outcome, "float16")
    assert outcome.found[0].shape == (2, 20, 2, 32)


def without(instruction: str, number: int = 0) -> Callable[[str], str]:
    """Drop one occurrence of an instruction."""

    def plant(text: str) -> str:
        found = list(re.finditer(rf"{instruction}[^;]*;", text))[number]
        return text[: found.start()] + text[found.end() :]

    return plant


def with_another_swizzle(text: str) -> str:
    """Where lanes read a tile, chunks are turned by what `or` gives: by the last xor before a wait."""
    before, wait, behind = text.partition("cp.async.wait_group")
    found = list(re.finditer(r"xor(\.b\d+\s+%\w+, %\w+, %\w+;)", before))[-1]
    return f"{before[: found.start()]}or{found[1]}{before[found.end() :]}{wait}{behind}"


FAULTS: Mapping[str, Callable[[str], str]] = {
    "a wait": without("cp.async.wait_group", -1),
    "the barrier of the loop": without(r"bar(?:rier)?\.sync", 1),
    "the swizzle": with_another_swizzle,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_left_out_shows(fault: str) -> None:
    assert shows(CAUSAL, Call(64, 130, query_offset=66), FAULTS[fault])


def test_no_wait_and_no_barrier_is_needless() -> None:
    spoiled = Call(12, 40, query_offset=24, change=spoil_values)
    assert needless_waits(CAUSAL, (Call(64, 130, query_offset=66), spoiled), module_of(CAUSAL)) == []


# The schedules that are chosen, for heads of each width: expressions need registers too.
CHOSEN = {
    "64": spec_of(heads={"query": 2, "dim": 64}),
    "128 causal": spec_of(dtype="bfloat16", heads={"query": 1, "dim": 128}, mask={"keep": "k <= q"}),
    "128 with ALiBi": spec_of(
        heads={"query": 2, "dim": 128},
        scores={"modify": "score + slope[h] * (k - q)"},
        mask={"keep": "k <= q"},
        inputs=inputs(slope=(["query_heads"], "float32")),
    ),
    "192 and 128": spec_of(heads={"query": 1, "dim": 192, "value_dim": 128}, mask={"keep": "k <= q"}),
    "256": spec_of(dtype="bfloat16", heads={"query": 1, "dim": 256}),
    "256 causal": spec_of(heads={"query": 1, "dim": 256}, mask={"keep": "k <= q"}),
    "64 with a bias": spec_of(
        heads={"query": 2, "dim": 64},
        scores={"modify": "score + bias[b, h, q, k]"},
        inputs=inputs(bias=(["batch", "query_heads", "queries", "keys"], "float32")),
    ),
}


@needs_sass
@pytest.mark.parametrize("spec", CHOSEN)
def test_tiles_stay_in_registers(spec: str, tmp_path: Path) -> None:
    made = assemble_in_registers(module_of(CHOSEN[spec], None, "sm_90").KERNEL, tmp_path)
    found = made.opcodes()
    assert all(found[opcode] for opcode in ("HMMA", "LDSM", "LDGSTS")), found


def make_steep(query: Any, key: Any, value: Any) -> None:
    """Scores that rise from block to block: maxima that are lazy rise too."""
    key *= np.linspace(0.5, 8, key.shape[2])[:, None].astype(key.dtype)


@pytest.mark.parametrize("spec", ["128 causal", "192 and 128", "256", "256 causal"])
def test_what_is_chosen_for_wide_heads_is_right(spec: str) -> None:
    words = CHOSEN[spec]
    call = Call(20, 150, query_offset=130, change=make_steep)
    assert_right(run(words, call, module_of(words, None, "sm_90")), words["dtype"])


def test_the_smallest_schedule_is_legal() -> None:
    assert SMALL.threads == module_of(CAUSAL).THREADS
