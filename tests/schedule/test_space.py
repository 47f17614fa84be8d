"""The space of schedules: all of it can be written as a kernel, and the default is in it."""

from __future__ import annotations

import pytest

from mhagen.base.target import AVX2, AVX512, AVX512_BF16, NEON, Target
from mhagen.codegen.lower import lower
from mhagen.schedule.choose import choose_schedule
from mhagen.schedule.legal import violations
from mhagen.schedule.plan import Schedule
from mhagen.schedule.space import schedules
from mhagen.schedule.table import ScheduleTable

from .graphs import program, work

CASES = [
    *((target, "float32", dim) for target in (AVX512, AVX2, NEON) for dim in (8, 40, 64, 256)),
    *((target, "float64", 64) for target in (AVX512, AVX2, NEON)),
    *((target, "bfloat16", 64) for target in (AVX512_BF16, AVX512, AVX2)),
    (AVX512, "float16", 80),
]
each_case = pytest.mark.parametrize(
    ("target", "dtype", "dim"), CASES, ids=[f"{target.name}-{dtype}-{dim}" for target, dtype, dim in CASES]
)


def space(target: Target, dtype: str, dim: int) -> tuple[Schedule, ...]:
    default = choose_schedule(program(dtype, dim).attention, target)
    return schedules(default, work(dtype, dim), target)


@each_case
def test_every_schedule_is_legal(target: Target, dtype: str, dim: int) -> None:
    assert not any(violations(schedule, target) for schedule in space(target, dtype, dim))


@each_case
def test_every_schedule_can_be_lowered(target: Target, dtype: str, dim: int) -> None:
    for schedule in space(target, dtype, dim):
        lower(program(dtype, dim), ScheduleTable.of(schedule), target)


@each_case
def test_the_space_is_small_and_has_no_schedule_twice(target: Target, dtype: str, dim: int) -> None:
    found = space(target, dtype, dim)
    assert 4 < len(found) < 100
    assert len(set(found)) == len(found)


@each_case
def test_the_default_comes_first(target: Target, dtype: str, dim: int) -> None:
    assert space(target, dtype, dim)[0] == choose_schedule(program(dtype, dim).attention, target)


@each_case
def test_a_value_tile_is_no_wider_than_the_values(target: Target, dtype: str, dim: int) -> None:
    lanes = target.lanes_of(dtype)
    assert all((schedule.value_vectors - 1) * lanes < dim for schedule in space(target, dtype, dim))
