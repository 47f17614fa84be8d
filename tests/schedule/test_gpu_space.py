"""The schedules of a GPU that are tried: legal, each once, the default first; and what a file says of one."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from mhagen.base.target import GPUS, SM_80, SM_90A, Gpu
from mhagen.pipeline import compile_to_gpu_source
from mhagen.runtime.entry import Doubt
from mhagen.schedule.gpu_plan import GpuSchedule
from mhagen.schedule.gpu_space import GpuPlan, gpu_space, plan_violations, steps_between
from mhagen.schedule.gpu_written import kind_of, plan_from_json, plan_to_json
from mhagen.schedule.hopper_plan import HopperSchedule, choose_gpu_family
from mhagen.schedule.workload import Workload, workload_of

SEEN: dict[str, Any] = {
    "mask": {"keep": "seen[k]"},
    "inputs": {"seen": {"shape": ["keys"], "dtype": "bool"}},
}
MMA = GpuSchedule(warps=4, row_tiles=2, block_keys=64, stages=2, keeps_queries=True)
HOPPER = HopperSchedule(consumers=2, block_keys=128, stages=2, is_lazy=True)


def spec_of(dim: int, **changes: Any) -> dict[str, Any]:
    return {"name": "s", "dtype": "float16", "heads": {"query": 2, "dim": dim}, **changes}


def work_of(dim: int, **changes: Any) -> Workload:
    return workload_of(compile_to_gpu_source(spec_of(dim, **changes), "sm_80")[1].attention)


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
@pytest.mark.parametrize("changes", [{}, SEEN], ids=["dense", "seen"])
def test_the_default_comes_first_and_every_schedule_is_legal_and_there_once(
    gpu: Gpu, changes: dict[str, Any]
) -> None:
    for dim in (40, 64, 128, 256):
        work = work_of(dim, **changes)
        found = gpu_space(work, gpu)
        assert found[0] == choose_gpu_family(work, gpu)
        assert len(found) == len(set(found)) > 5
        assert not [each for each in found if plan_violations(each, work, gpu)]


def test_those_most_like_the_default_come_first() -> None:
    found = gpu_space(work_of(64), SM_90A)
    unlike = [steps_between(found[0], each) for each in found]
    assert unlike == sorted(unlike)
    assert unlike[:2] == [(False, 0), (False, 1)]


def test_both_families_are_tried_where_there_are_both() -> None:
    assert {kind_of(each) for each in gpu_space(work_of(64), SM_90A)} == {"warps", "groups"}
    assert {kind_of(each) for each in gpu_space(work_of(64), SM_80)} == {"warps"}
    assert {kind_of(each) for each in gpu_space(work_of(40), SM_90A)} == {"warps"}


def test_float32_is_multiplied_by_threads_and_keeps_no_queries_in_registers() -> None:
    work = work_of(64, dtype="float32")
    found = gpu_space(work, SM_90A)
    assert {kind_of(each) for each in found} == {"warps"}
    assert len(found) > 5
    assert not [each for each in found if getattr(each, "keeps_queries", True)]


def test_masks_in_arrays_are_looked_up_by_every_schedule_for_hopper() -> None:
    of_hopper = [each for each in gpu_space(work_of(64, **SEEN), SM_90A) if isinstance(each, HopperSchedule)]
    assert of_hopper
    assert all(each.looks_up for each in of_hopper)
    assert plan_violations(replace(of_hopper[0], looks_up=False), work_of(64, **SEEN), SM_90A)
    assert plan_violations(HOPPER, work_of(40), SM_90A)


def test_lazy_maxima_are_tried_only_where_they_change_the_kernel() -> None:
    outputs = {"outputs": {"statistics": ["max"]}}
    spec, work = spec_of(64, **outputs), work_of(64, **outputs)
    assert len({each.is_lazy for each in gpu_space(work, SM_80)}) == 1
    assert len({each.is_lazy for each in gpu_space(work_of(64), SM_80)}) == 2
    exact = [
        compile_to_gpu_source(spec, "sm_80", replace(MMA, is_lazy=lazy))[2].text for lazy in (True, False)
    ]
    assert all("LAZINESS = 0 " in text for text in exact)


@pytest.mark.parametrize("plan", [MMA, HOPPER], ids=kind_of)
def test_a_schedule_is_read_as_it_was_written(plan: GpuPlan) -> None:
    assert plan_from_json(plan_to_json(plan)) == plan


@pytest.mark.parametrize("plan", [MMA, HOPPER], ids=kind_of)
def test_what_is_not_as_it_was_written_is_doubted(plan: GpuPlan) -> None:
    written = dict(plan_to_json(plan))
    damaged: list[Any] = [None, {}, {**written, "kind": "threads"}, {**written, "more": 1}]
    damaged += [{**written, each.name: "4"} for each in fields(plan)]
    damaged += [{**written, "is_lazy": 1}, {**written, "block_keys": True}]
    for each in damaged:
        with pytest.raises(Doubt):
            plan_from_json(each)
