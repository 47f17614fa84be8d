"""Kernels for Hopper against the reference: their PTX is run by the machine, four warps at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu.attention import Call, Outcome, assert_right, module_of, run, spec_of
from gpu.machine.faults import Fault
from gpu.test_attention import without
from gpu.toolchain import assemble, assemble_in_registers, needs_compiler, needs_sass
from mhagen.schedule.hopper_plan import HopperSchedule

pytestmark = needs_compiler
RNG = np.random.default_rng(6)
ALL = {"statistics": ["lse", "max", "entropy", "confidence"]}


def reals(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def inputs(**shapes: tuple[list[Any], str]) -> dict[str, Any]:
    return {name: {"shape": shape, "dtype": dtype} for name, (shape, dtype) in shapes.items()}


# A kernel takes seconds to compile, and a call of it tenths: few kernels, with much in each. Those of the
# schedules that are chosen are both interpreted and assembled.
CAUSAL = spec_of(heads={"query": 2, "key_value": 1, "dim": 128}, mask={"keep": "k <= q"}, outputs=ALL)
CHOSEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "causal": (CAUSAL, {}),
    "256": (spec_of(dtype="bfloat16", heads={"query": 2, "dim": 256}), {}),
    "ALiBi": (
        spec_of(
            dtype="bfloat16",
            heads={"query": 2, "key_value": 1, "dim": 64},
            scores={"modify": "score - 2 * slope[h] * (q - k) / 3.0 + 0.5"},
            mask={"keep": "k <= q"},
            inputs=inputs(slope=(["query_heads"], "float32")),
            outputs={"statistics": ["lse", "max"]},
        ),
        {"slope": reals(2)},
    ),
    "a bias": (
        spec_of(
            heads={"query": 2, "dim": 128, "value_dim": 64},
            scores={"modify": "score + bias[b, h, q, k] - abs(q - k) * slope[h]"},
            inputs=inputs(
                bias=(["batch", "query_heads", "queries", "keys"], "float32"),
                slope=(["query_heads"], "float32"),
            ),
        ),
        {"bias": reals(2, 2, 70, 90), "slope": reals(2)},
    ),
    "documents and a sink": (
        spec_of(
            dtype="bfloat16",
            heads={"query": 2, "key_value": 1, "dim": 128},
            mask={"keep": "document[b, q] == document[b, k] and k <= q + 20"},
            softmax={"sink": "sink[h]"},
            inputs=inputs(document=(["batch", "keys"], "int32"), sink=(["query_heads"], "float32")),
        ),
        {"document": np.sort(RNG.integers(0, 3, (2, 90))).astype(np.int32), "sink": reals(2)},
    ),
}
CAPPED = spec_of(
    dtype="bfloat16",
    layout="bshd",
    heads={"query": 2, "key_value": 1, "dim": 64},
    scores={"modify": "cap * tanh(score / cap)"},
    constants={"cap": 3.0},
)
SMALL = HopperSchedule(consumers=3, block_keys=32, stages=2)
SEEN = spec_of(
    heads={"query": 1, "dim": 64, "value_dim": 192},
    mask={"keep": "seen[q, k]"},
    inputs=inputs(seen=(["queries", "keys"], "bool")),
)
RING = HopperSchedule(consumers=2, block_keys=16, stages=3, looks_up=True)


def attended(
    spec: Mapping[str, Any], call: Call, plan: HopperSchedule | None = None, plant: Any = None
) -> Outcome:
    return run(spec, call, module_of(spec, plan, "sm_90a"), plant)


@pytest.mark.parametrize(
    ("queries", "keys"),
    [(1, 1), (1, 257), (63, 127), (64, 128), (65, 129), (127, 1), (128, 130), (129, 31), (130, 385)],
)
def test_tails_of_any_length_are_right(queries: int, keys: int) -> None:
    assert_right(attended(CAUSAL, Call(queries, keys, query_offset=keys - queries, seed=queries)), "float16")


@pytest.mark.parametrize(("queries", "keys"), [(70, 1), (191, 31), (192, 32), (193, 65), (70, 161)])
def test_tails_without_a_mask_are_right(queries: int, keys: int) -> None:
    call = Call(queries, keys, batch=2, layout="bshd", seed=keys)
    assert_right(attended(CAPPED, call, SMALL), "bfloat16")


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_however_many_blocks_take_the_tiles_results_are_the_same(blocks: int) -> None:
    """One takes all of them, some share them, or each has its own and none is counted."""
    call, among = (Call(193, 65, layout="bshd", seed=1, blocks=number) for number in (2, blocks))
    wanted, found = (attended(CAPPED, each, SMALL) for each in (call, among))
    assert_right(found, "bfloat16")
    np.testing.assert_array_equal(found.found[0], wanted.found[0])


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


def spoil_values(query: Any, key: Any, value: Any) -> None:
    value[0, 0, 5, 3], value[0, 0, 100, 3], value[0, 0, 100, -1] = np.inf, -np.inf, np.inf
    value[0, 0, 140, 60] = np.inf


def spoil(query: Any, key: Any, value: Any) -> None:
    spoil_values(query, key, value)
    key[0, 0, 120:], value[0, 0, 125] = np.nan, np.inf


def test_what_is_hidden_reaches_nobody_and_what_is_infinite_those_who_see_it() -> None:
    """In the first of two blocks, and in the last."""
    outcome = attended(CAUSAL, Call(70, 160, query_offset=90, change=spoil))
    found, wanted = outcome.found[0], outcome.wanted[0]
    assert np.isnan(found[:, :, 30:]).all()
    np.testing.assert_allclose(found[:, :, :30], wanted[:, :, :30], atol=2e-3)
    assert np.isposinf(found[:, :, :30]).any()


def test_a_mask_of_booleans_hides_what_is_infinite_where_rows_need_no_alignment() -> None:
    seen = np.random.default_rng(6).random((70, 150)) < 0.3
    call = Call(70, 150, gap=3, inputs={"seen": seen}, change=spoil_values)
    assert_right(attended(SEEN, call, RING), "float16")


@pytest.mark.parametrize("spec", CHOSEN)
def test_what_is_chosen_is_right(spec: str) -> None:
    words, arrays = CHOSEN[spec]
    assert_right(attended(words, Call(70, 90, batch=2, inputs=arrays)), words["dtype"])


@needs_sass
@pytest.mark.parametrize("spec", CHOSEN)
def test_what_is_chosen_stays_in_registers(spec: str, tmp_path: Path) -> None:
    module = module_of(CHOSEN[spec][0], None, "sm_90a")
    made = assemble_in_registers(module.KERNEL, tmp_path)
    assert "Potential Performance Loss" not in made.log, made.log
    found = made.opcodes()
    assert all(found[opcode] for opcode in ("HGMMA", "USETMAXREG", "LDGSTS", "SYNCS")), found


@needs_sass
@pytest.mark.parametrize("spec", CHOSEN)
def test_weights_are_made_while_values_are_multiplied(spec: str, tmp_path: Path) -> None:
    """Behind the wait for scores, all powers of two of a block come before that for the other products."""
    module = module_of(CHOSEN[spec][0], None, "sm_90a")
    made = assemble(module.KERNEL.code().decode(), "sm_90a", tmp_path)
    meanwhile = made.sass().partition("DEPBAR.LE gsb0, 0x1")[2].partition("DEPBAR.LE gsb0, 0x0")[0]
    assert meanwhile.count("MUFU.EX2") >= module.SCORES


@pytest.mark.parametrize("spec", CHOSEN)
def test_few_queries_have_the_kernels_that_every_gpu_has(spec: str) -> None:
    here, there = (module_of(CHOSEN[spec][0], None, arch) for arch in ("sm_90a", "sm_90"))
    for name in ("PARTS", "UNALIGNED_PARTS", "MERGING"):
        assert getattr(here, name).key.functions == getattr(there, name).key.functions
    assert here.KERNEL.key.functions != there.KERNEL.key.functions


@pytest.mark.parametrize(
    ("dim", "value_dim", "is_hopper"), [(64, 64, True), (192, 128, True), (96, 96, False), (64, 80, False)]
)
def test_heads_that_are_no_whole_panels_stay_with_the_other_family(
    dim: int, value_dim: int, is_hopper: bool
) -> None:
    spec = spec_of(heads={"query": 2, "dim": dim, "value_dim": value_dim})
    assert ("wgmma_shared" in vars(module_of(spec, None, "sm_90a"))) == is_hopper
    assert "wgmma_shared" not in vars(module_of(spec, None, "sm_90"))


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


# A product of registers with values, up to the end of its group.
OF_REGISTERS = re.compile(
    r"wgmma\.mma_async[^;{]*\{([^}]*)\},\s*\{([^}]*)\}[^;]*;.*?wgmma\.commit_group[^;]*;", re.S
)


def written_early(operand: int) -> Callable[[str], str]:
    """Write to an accumulator (1) or a weight (2) of a product that nobody has waited for."""

    def plant(text: str) -> str:
        found = OF_REGISTERS.search(text)
        assert found is not None
        name = found[operand].split(",")[0].strip()
        return f"{text[: found.end()]} mov.b32 {name}, 0;{text[found.end() :]}"

    return plant


KEY_DESCRIPTOR = 1 << 62 | 64 << 32 | 1 << 16
FAULTS: Mapping[str, Callable[[str], str]] = {
    "an arrival of those who copy": without(r"cp\.async\.mbarrier\.arrive", 1),
    "an arrival of those who multiply": without(r"mbarrier\.arrive\.shared", 2),
    "a task that is told": without(r"mbarrier\.arrive\.shared", 1),
    "a wait for an empty buffer": without_wait(2),
    "a wait for full keys": without_wait(10),
    "a wait for all products": without(r"wgmma\.wait_group", -1),
    "the swizzle of keys": instead(str(KEY_DESCRIPTOR), str(KEY_DESCRIPTOR ^ 96 << 32)),
}


@pytest.mark.parametrize("operand", [1, 2], ids=["an accumulator", "a weight"])
def test_registers_of_a_product_are_not_written_before_it_is_waited_for(operand: int) -> None:
    call = Call(64, 200, layout="bshd")
    with pytest.raises(Fault, match="is written before the wgmma that uses it was waited for"):
        attended(CAPPED, call, SMALL, written_early(operand))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_left_out_shows(fault: str) -> None:
    for seed in range(4):
        try:
            call = Call(64, 200, layout="bshd", seed=seed)
            assert_right(attended(CAPPED, call, SMALL, FAULTS[fault]), "bfloat16")
        except (Fault, AssertionError):
            return
    pytest.fail(f"nobody saw that {fault} is missing or wrong")
