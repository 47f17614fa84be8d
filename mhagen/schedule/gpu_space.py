"""Schedules of a GPU that are worth a try, of both families: the default first, then those most like it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TypeAlias

from ..base.target import Gpu
from .gpu_plan import GpuSchedule, gpu_schedules, gpu_violations, sizes_of
from .hopper_plan import (
    HopperSchedule,
    choose_gpu_family,
    choose_hopper_schedule,
    hopper_schedules,
    hopper_violations,
)
from .workload import Workload

GpuPlan: TypeAlias = GpuSchedule | HopperSchedule
# Others ask for the greatest score, and maxima are exact whatever is said.
LAZY_STATISTICS = frozenset({"lse"})


def gpu_space(work: Workload, gpu: Gpu) -> tuple[GpuPlan, ...]:
    """Every legal schedule, each once: of those before an end of time, the ones nearest to the default."""
    default = choose_gpu_family(work, gpu)
    others: tuple[GpuPlan, ...] = (
        *of_hopper(work, gpu),
        *gpu_schedules(sizes_of(work.most_demanding), gpu),
    )
    may_be_lazy = all(set(op.statistics) <= LAZY_STATISTICS for op in work.parts)
    telling = (each for each in others if may_be_lazy or each.is_lazy == default.is_lazy)
    return tuple(sorted(dict.fromkeys((default, *telling)), key=lambda each: steps_between(default, each)))


def of_hopper(work: Workload, gpu: Gpu) -> Iterator[HopperSchedule]:
    """Those of the family for Hopper, where it computes such heads: their masks are looked up, or not."""
    chosen, sizes = choose_hopper_schedule(work, gpu), sizes_of(work)
    if chosen is None:
        return
    for each in hopper_schedules(sizes, gpu):
        made = replace(each, looks_up=chosen.looks_up)
        if not hopper_violations(made, sizes, gpu):
            yield made


def steps_between(default: GpuPlan, other: GpuPlan) -> tuple[bool, int]:
    """How unlike two schedules are: another family is the most, then each field that differs."""
    shared = [each.name for each in fields(other) if hasattr(default, each.name)]
    differing = sum(getattr(default, name) != getattr(other, name) for name in shared)
    return type(default) is not type(other), differing


def plan_violations(plan: GpuPlan, work: Workload, gpu: Gpu) -> tuple[str, ...]:
    """The reasons of the rules of its family that a schedule breaks for such heads; none for a legal one."""
    if isinstance(plan, GpuSchedule):
        return gpu_violations(plan, sizes_of(work.most_demanding), gpu)
    chosen = choose_hopper_schedule(work, gpu)
    if chosen is None:
        return ("the family for Hopper computes no such heads",)
    if plan.looks_up != chosen.looks_up:
        return ("threads that copy read arrays if masks do, or do not",)
    return hopper_violations(plan, sizes_of(work), gpu)
