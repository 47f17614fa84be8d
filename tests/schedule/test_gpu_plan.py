"""Schedules of CUDA kernels: defaults are legal wherever they are chosen, and rules have reasons."""

from __future__ import annotations

from typing import Any

import pytest

from mhagen.base.target import GPUS, SM_90, Gpu
from mhagen.pipeline import compile_to_gpu_source
from mhagen.schedule.gpu_plan import (
    RULES,
    GpuSchedule,
    GpuSizes,
    choose_gpu_schedule,
    gpu_schedules,
    gpu_violations,
    sizes_of,
)
from mhagen.schedule.hopper_plan import choose_hopper_schedule
from mhagen.schedule.workload import workload_of

SIZES = GpuSizes(128, 128)


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
@pytest.mark.parametrize("keep", [None, "k <= q", "seen[k]"])
def test_the_schedule_that_is_chosen_is_legal(gpu: Gpu, keep: str | None) -> None:
    for dim in (1, 16, 40, 64, 80, 96, 128, 160, 192, 256):
        spec: dict[str, Any] = {"name": "s", "dtype": "float16", "heads": {"query": 2, "dim": dim}}
        if keep is not None:
            spec["mask"] = {"keep": keep}
        if keep == "seen[k]":
            spec["inputs"] = {"seen": {"shape": ["keys"], "dtype": "bool"}}
        _, program, source = compile_to_gpu_source(spec, gpu.name)
        work = workload_of(program.attention)
        chosen = choose_gpu_schedule(work, gpu)
        assert source.schedule in (chosen, choose_hopper_schedule(work, gpu))
        assert not gpu_violations(chosen, sizes_of(work), gpu)


def test_every_schedule_of_the_space_is_legal_and_named_once() -> None:
    found = list(gpu_schedules(SIZES, SM_90))
    assert len(found) == len(set(found)) > 5
    assert not [each for each in found if gpu_violations(each, SIZES, SM_90)]


BROKEN = {
    "a block of keys": GpuSchedule(4, 1, 24, 2, True),
    "a block of threads": GpuSchedule(17, 1, 64, 2, True),
    "up to four stages": GpuSchedule(4, 1, 64, 5, True),
    "tiles and stages fit": GpuSchedule(4, 1, 256, 4, True),
    "tiles fit the registers of a thread": GpuSchedule(4, 2, 128, 2, True),
    "the registers of all threads": GpuSchedule(16, 1, 64, 2, True),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_that_is_broken_says_why(rule: str) -> None:
    assert [each for each in gpu_violations(BROKEN[rule], SIZES, SM_90) if each.startswith(rule)]
    assert [each for each in RULES if each.reason.startswith(rule)]
