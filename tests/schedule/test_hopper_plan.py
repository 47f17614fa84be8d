"""Schedules for Hopper: where they are chosen they are legal, and rules have reasons."""

from __future__ import annotations

from typing import Any

import pytest

from mhagen.base.target import SM_90, SM_90A
from mhagen.pipeline import compile_to_gpu_source
from mhagen.schedule.gpu_plan import GpuSizes, sizes_of
from mhagen.schedule.hopper_plan import (
    HOPPER_RULES,
    SHARES,
    WARPGROUP,
    HopperSchedule,
    choose_hopper_schedule,
    hopper_schedules,
    hopper_violations,
)
from mhagen.schedule.workload import Workload, workload_of

SIZES = GpuSizes(128, 128)
SEEN: dict[str, Any] = {
    "mask": {"keep": "seen[k]"},
    "inputs": {"seen": {"shape": ["keys"], "dtype": "bool"}, "slope": {"shape": ["query_heads"]}},
}
SLOPE: dict[str, Any] = {
    "scores": {"modify": "score + slope[h] * (k - q)"},
    "inputs": {"slope": {"shape": ["query_heads"]}},
}
BIAS: dict[str, Any] = {
    "scores": {"modify": "score + bias[k]"},
    "inputs": {"bias": {"shape": ["keys"]}},
}


def work_of(dim: int, value_dim: int, **changes: Any) -> Workload:
    heads = {"query": 2, "dim": dim, "value_dim": value_dim}
    spec = {"name": "s", "dtype": "float16", "heads": heads, **changes}
    return workload_of(compile_to_gpu_source(spec, "sm_80")[1].attention)


@pytest.mark.parametrize("dim", [64, 128, 192, 256])
@pytest.mark.parametrize("value_dim", [64, 128, 256])
def test_the_schedule_that_is_chosen_is_legal(dim: int, value_dim: int) -> None:
    work = work_of(dim, value_dim)
    chosen = choose_hopper_schedule(work, SM_90A)
    assert chosen is not None
    assert not hopper_violations(chosen, sizes_of(work), SM_90A)


def test_masks_that_are_looked_up_give_registers_to_those_who_copy() -> None:
    work = work_of(128, 128, **{**SEEN, "inputs": {"seen": SEEN["inputs"]["seen"]}})
    chosen = choose_hopper_schedule(work, SM_90A)
    assert chosen is not None
    assert chosen.looks_up
    assert chosen.producer_registers == 104
    assert not hopper_violations(chosen, sizes_of(work), SM_90A)


CHANGED: dict[str, Any] = {"scores": {"modify": "2.0 * tanh(score)"}}
CAUSAL: dict[str, Any] = {"mask": {"keep": "k <= q"}}
MATRIX = {"mask": {"keep": "seen[q, k]"}, "inputs": {"seen": {"shape": ["queries", "keys"], "dtype": "bool"}}}


def test_what_needs_registers_gets_smaller_blocks() -> None:
    words = ({}, CAUSAL, CHANGED, {**CAUSAL, **CHANGED}, BIAS, MATRIX)
    found = [choose_hopper_schedule(work_of(128, 128, **each), SM_90A) for each in words]
    assert [each and each.block_keys for each in found] == [128, 128, 128, 96, 64, 32]


@pytest.mark.parametrize("dim", [64, 256])
def test_what_rises_evenly_takes_the_schedule_of_scores_as_they_are(dim: int) -> None:
    plain, risen = (work_of(dim, dim, **CAUSAL, **words) for words in ({}, SLOPE))
    assert choose_hopper_schedule(plain, SM_90A) == choose_hopper_schedule(risen, SM_90A)


SLOPES = {**SLOPE, "scores": {"modify": "score + slope[h] * (k - q) + slope[0]"}}


@pytest.mark.parametrize("words", [{**SLOPE, "outputs": {"statistics": ["entropy"]}}, SLOPES])
def test_the_entropy_of_what_rises_evenly_and_a_second_number_need_registers(words: dict[str, Any]) -> None:
    chosen = choose_hopper_schedule(work_of(64, 64, **CAUSAL, **words), SM_90A)
    assert chosen is not None
    assert chosen.consumers == 2


def test_others_stay_with_the_family_that_runs_everywhere() -> None:
    assert choose_hopper_schedule(work_of(96, 96), SM_90A) is None
    assert choose_hopper_schedule(work_of(64, 80), SM_90A) is None
    assert choose_hopper_schedule(work_of(64, 64), SM_90) is None
    assert choose_hopper_schedule(work_of(256, 256, **BIAS), SM_90A) is None
    assert choose_hopper_schedule(work_of(128, 128, **BIAS), SM_90A) is not None
    assert choose_hopper_schedule(work_of(64, 64, **{**SLOPE, **SEEN}), SM_90A) is None


def test_every_schedule_of_the_space_is_legal_and_named_once() -> None:
    found = list(hopper_schedules(SIZES, SM_90A))
    assert len(found) == len(set(found)) > 5
    assert not [each for each in found if hopper_violations(each, SIZES, SM_90A)]


@pytest.mark.parametrize(("consumers", "looks_up"), SHARES)
def test_groups_share_the_registers_that_a_block_starts_with(consumers: int, looks_up: bool) -> None:
    plan = HopperSchedule(consumers, 64, 2, looks_up)
    at_start = SM_90A.registers // plan.threads // 8 * 8 * plan.threads
    asked = WARPGROUP * (plan.producer_registers + consumers * plan.consumer_registers)
    assert asked <= at_start


BROKEN = {
    "two or three groups multiply": HopperSchedule(4, 64, 2),
    "a block of keys": HopperSchedule(2, 72, 2),
    "two or three stages": HopperSchedule(2, 64, 1),
    "tiles and stages fit the shared": HopperSchedule(2, 176, 3),
    "tiles fit the registers": HopperSchedule(3, 128, 2),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_that_is_broken_says_why(rule: str) -> None:
    assert [each for each in hopper_violations(BROKEN[rule], SIZES, SM_90A) if each.startswith(rule)]
    assert [each for each in HOPPER_RULES if each.reason.startswith(rule)]


def test_other_heads_and_other_gpus_are_refused() -> None:
    plan = HopperSchedule(2, 64, 2)
    assert hopper_violations(plan, GpuSizes(96, 64), SM_90A)
    assert hopper_violations(plan, SIZES, SM_90)
