"""Kernels for Hopper against the reference: their PTX is run by the machine, four warps at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu.attention import Call, assert_right, module_of, run, spec_of
from gpu.machine.memory import Fault
from gpu.toolchain import assemble, needs_compiler, needs_sass
from mhagen.base.target import SM_90A
from mhagen.pipeline import compile_to_gpu_source
from mhagen.schedule.hopper_plan import HopperSchedule, choose_hopper_schedule
from mhagen.schedule.workload import workload_of

pytestmark = needs_compiler
RNG = np.random.default_rng(6)
SMALL = HopperSchedule(consumers=2, block_keys=32, stages=2)
HEADS = {"query": 2, "key_value": 1, "dim": 64}
STATISTICS = {"statistics": ["lse", "max", "entropy", "confidence"]}
CAUSAL = spec_of(heads=HEADS, mask={"keep": "k <= q"}, outputs=STATISTICS)
PLAIN = spec_of(dtype="bfloat16", heads=HEADS)


def attended(spec: Mapping[str, Any], call: Call, plan: HopperSchedule = SMALL, plant: Any = None) -> Any:
    return run(spec, call, module_of(spec, plan, "sm_90a"), plant)


@pytest.mark.parametrize("queries", [1, 63, 64, 65, 128, 130])
@pytest.mark.parametrize("keys", [1, 31, 33, 64, 100])
def test_tails_of_any_length_are_right(queries: int, keys: int) -> None:
    assert_right(attended(CAUSAL, Call(queries, keys, query_offset=keys - queries, seed=queries)), "float16")


@pytest.mark.parametrize("keys", [1, 32, 65, 161])
def test_tails_without_a_mask_are_right(keys: int) -> None:
    assert_right(attended(PLAIN, Call(70, keys, batch=2, seed=keys)), "bfloat16")


def test_every_batch_entry_can_have_an_offset_of_its_own() -> None:
    assert_right(attended(CAUSAL, Call(20, 70, batch=3, offsets=(50, -5, 12))), "float16")


def test_a_query_that_sees_no_key_gives_zero() -> None:
    outcome = attended(CAUSAL, Call(10, 40, query_offset=-6))
    assert_right(outcome, "float16")
    assert (outcome.found[0][:, :, :6] == 0).all()
    assert (outcome.found[1][:, :, :6] == -np.inf).all()


def test_a_tile_that_sees_no_key_gives_zero() -> None:
    outcome = attended(CAUSAL, Call(130, 40, query_offset=-128))
    assert_right(outcome, "float16")
    assert (outcome.found[0][:, :, :128] == 0).all()


def test_rows_may_lie_apart() -> None:
    assert_right(attended(CAUSAL, Call(33, 40, gap=8)), "float16")


def test_rows_need_no_alignment() -> None:
    assert_right(attended(CAUSAL, Call(70, 70, gap=3)), "float16")


def spoil(query: Any, key: Any, value: Any) -> None:
    key[0, 0, 20:], value[0, 0, 25] = np.nan, np.inf
    value[0, 0, 30, ::2] = -np.inf


@pytest.mark.parametrize("queries", [40, 100])
def test_what_is_hidden_reaches_nobody(queries: int) -> None:
    outcome = attended(CAUSAL, Call(queries, queries, change=spoil))
    out = outcome.found[0]
    assert np.isfinite(out[:, :, :20]).all()
    assert np.isnan(out[:, :, 20:]).all()
    np.testing.assert_allclose(out[:, :, :20], outcome.wanted[0][:, :, :20], atol=2e-3)


def spoil_values(query: Any, key: Any, value: Any) -> None:
    value[0, 0, 25, 3], value[0, 0, 33, 3], value[0, 0, 80, 60] = np.inf, -np.inf, np.inf


@pytest.mark.parametrize("seed", range(3))
def test_an_infinite_value_is_the_sum_of_those_who_see_it(seed: int) -> None:
    assert_right(attended(CAUSAL, Call(100, 100, change=spoil_values, seed=seed)), "float16")


# Heads and schedules: panels side by side, rings of three, other counts of consumers.
SHAPES: dict[str, tuple[dict[str, int], HopperSchedule]] = {
    "128, three stages": ({"query": 1, "dim": 128}, HopperSchedule(2, 16, 3)),
    "64 and 192, three over one": (
        {"query": 3, "key_value": 1, "dim": 64, "value_dim": 192},
        HopperSchedule(3, 48, 2),
    ),
    "256": ({"query": 1, "dim": 256}, HopperSchedule(2, 32, 2)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_heads_and_schedules_of_all_kinds_are_right(shape: str) -> None:
    heads, plan = SHAPES[shape]
    spec = spec_of(dtype="bfloat16", heads=heads, mask={"keep": "k <= q and q - k < 40"})
    assert_right(attended(spec, Call(70, 150, query_offset=60), plan), "bfloat16")


def reals(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def inputs(**shapes: tuple[list[Any], str]) -> dict[str, Any]:
    return {name: {"shape": shape, "dtype": dtype} for name, (shape, dtype) in shapes.items()}


VOCABULARY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "documents, a bias and a sink": (
        {
            "mask": {"keep": "document[b, q] == document[b, k] and k <= q"},
            "scores": {"modify": "score + bias[b, h, q, k] - abs(q - k) * slope[h]"},
            "softmax": {"sink": "sink[h]"},
            "inputs": inputs(
                document=(["batch", "keys"], "int32"),
                bias=(["batch", "query_heads", "queries", "keys"], "float32"),
                slope=(["query_heads"], "float32"),
                sink=(["query_heads"], "float32"),
            ),
            "outputs": STATISTICS,
        },
        {
            "document": np.sort(RNG.integers(0, 4, (1, 90))).astype(np.int32),
            "bias": reals(1, 2, 80, 90),
            "slope": reals(2),
            "sink": reals(2),
        },
    ),
    "a softcap, without a mask": (
        {"scores": {"modify": "cap * tanh(score / cap)"}, "constants": {"cap": 3.0}, "layout": "bshd"},
        {},
    ),
    "a mask of booleans": (
        {"mask": {"keep": "seen[q, k]"}, "inputs": inputs(seen=(["queries", "keys"], "bool"))},
        {"seen": RNG.random((80, 90)) < 0.3},
    ),
}


@pytest.mark.parametrize("words", VOCABULARY)
def test_what_expressions_say_is_done(words: str) -> None:
    changes, arrays = VOCABULARY[words]
    spec = spec_of(heads=HEADS, **changes)
    call = Call(80, 90, inputs=arrays, layout=spec.get("layout", "bhsd"))
    assert_right(attended(spec, call), "float16")


def without(instruction: str, number: int = 0) -> Callable[[str], str]:
    """Drop one occurrence of an instruction."""

    def plant(text: str) -> str:
        found = list(re.finditer(rf"{instruction}[^;]*;", text))[number]
        return text[: found.start()] + text[found.end() :]

    return plant


def without_wait(number: int) -> Callable[[str], str]:
    """Drop one of the loops that wait at a gate."""

    def plant(text: str) -> str:
        found = list(re.finditer(r"\{ \.reg \.pred done;.*?bra again; \}", text))[number]
        return text[: found.start()] + text[found.end() :]

    return plant


def instead(old: str, new: str) -> Callable[[str], str]:
    def plant(text: str) -> str:
        assert old in text, old
        return text.replace(old, new)

    return plant


KEY_DESCRIPTOR = 1 << 62 | 64 << 32 | 1 << 16
FAULTS: Mapping[str, Callable[[str], str]] = {
    "an arrival of those who copy": without(r"cp\.async\.mbarrier\.arrive", 1),
    "an arrival of those who multiply": without(r"mbarrier\.arrive\.shared", 1),
    "a wait for an empty buffer": without_wait(0),
    "a wait for full keys": without_wait(3),
    "a wait for all products": without(r"wgmma\.wait_group", -1),
    "the swizzle of keys": instead(str(KEY_DESCRIPTOR), str(KEY_DESCRIPTOR ^ 96 << 32)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_left_out_shows(fault: str) -> None:
    for seed in range(4):
        try:
            assert_right(attended(PLAIN, Call(64, 200, seed=seed), plant=FAULTS[fault]), "bfloat16")
        except (Fault, AssertionError):
            return
    pytest.fail(f"nobody saw that {fault} is missing or wrong")


# The schedules that would be chosen, for heads of each width.
CHOSEN = {
    "64": spec_of(heads={"query": 2, "dim": 64}),
    "128 causal": spec_of(dtype="bfloat16", heads={"query": 2, "dim": 128}, mask={"keep": "k <= q"}),
    "256": spec_of(dtype="bfloat16", heads={"query": 2, "dim": 256}),
    "128 with documents": spec_of(
        dtype="bfloat16",
        heads={"query": 2, "dim": 128},
        mask={"keep": "document[b, q] == document[b, k] and k <= q"},
        inputs=inputs(document=(["batch", "keys"], "int32")),
    ),
    "128 with a bias": spec_of(
        heads={"query": 2, "dim": 128},
        scores={"modify": "score + bias[b, h, q, k]"},
        inputs=inputs(bias=(["batch", "query_heads", "queries", "keys"], "float32")),
    ),
}


@needs_sass
@pytest.mark.parametrize("spec", CHOSEN)
def test_tiles_stay_in_registers(spec: str, tmp_path: Path) -> None:
    work = workload_of(compile_to_gpu_source(CHOSEN[spec], "sm_90a")[1].attention)
    module = module_of(CHOSEN[spec], choose_hopper_schedule(work, SM_90A), "sm_90a")
    made = assemble(module.KERNEL.code().decode(), "sm_90a", tmp_path)
    assert (made.stack_bytes, made.spilled_bytes) == (0, 0)
    assert "Potential Performance Loss" not in made.log, made.log
    found = made.opcodes()
    assert all(found[opcode] for opcode in ("HGMMA", "USETMAXREG", "LDGSTS", "SYNCS")), found
