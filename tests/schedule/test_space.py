"""The space of schedules: all of it can be written as a kernel, and the default is in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mhagen.base.dtypes import DType
from mhagen.base.target import AVX2, AVX512, AVX512_BF16, NEON, Target
from mhagen.codegen.lower import lower
from mhagen.codegen.render import render
from mhagen.schedule.choose import choose_schedule
from mhagen.schedule.legal import violations
from mhagen.schedule.numbers import numbers_of
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
    """As the rules have it, and as their own words do."""
    numbers = numbers_of(DType(dtype), target, (dim,))
    for each in space(target, dtype, dim):
        assert violations(each, target, DType(dtype)) == ()
        group = each.query_vectors * numbers.lanes
        assert each.tile_queries % group == 0 and group % each.value_rows == 0
        assert each.block_keys % each.key_rows == each.key_rows % numbers.together == 0
        for rows, vectors in ((each.key_rows, each.query_vectors), (each.value_rows, each.value_vectors)):
            assert rows * vectors + vectors + 1 <= target.registers


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


SIZES = {
    "tile_queries": (48, 96, 192),
    "block_keys": (24, 48, 120),
    "key_rows": (1, 2, 3, 4, 6, 8),
    "query_vectors": (1, 2, 3, 4),
    "value_rows": (1, 2, 4, 8),
    "value_vectors": (1, 2, 3),
    "chunk_keys": (1, 48, 100),
    "decode_rows": (1, 2, 3, 4, 8, 16),
    "decode_queries": (1, 5, 8),
}
FORMATS = [
    *((target, "float32") for target in (AVX512, AVX2, NEON)),
    *((target, "float64") for target in (AVX512, AVX2, NEON)),
    *((AVX512_BF16, dtype) for dtype in ("bfloat16", "float16")),
]


@pytest.mark.parametrize(("target", "dtype"), FORMATS, ids=[f"{t.name}-{dtype}" for t, dtype in FORMATS])
@given(data=st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=[*HealthCheck])
def test_every_schedule_that_passes_the_rules_can_be_written(
    target: Target, dtype: str, data: st.DataObject
) -> None:
    """And what it is written from is what the schedule says: nothing is cut to fit."""
    default = choose_schedule(program(dtype, 64).attention, target)
    schedule = replace(default, **{name: data.draw(st.sampled_from(of)) for name, of in SIZES.items()})
    assume(not violations(schedule, target, DType(dtype)))
    model = lower(program(dtype, 64), ScheduleTable.of(schedule), target)
    compile(render(model), "<module>", "exec")
    assert model.kernel.decode.dots[0].rows == schedule.decode_rows


@pytest.mark.parametrize(
    ("target", "dtype", "changed", "reason"),
    [
        (AVX512_BF16, "bfloat16", {"key_rows": 1}, "a pair would lie in two"),
        (AVX512, "float32", {"decode_rows": 16}, "two of each, fit the registers"),
        (AVX2, "float64", {"decode_rows": 8}, "two of each, fit the registers"),
    ],
)
def test_what_cannot_be_written_is_illegal(
    target: Target, dtype: str, changed: dict[str, int], reason: str
) -> None:
    default = choose_schedule(program(dtype, 64).attention, target)
    assert any(reason in each for each in violations(replace(default, **changed), target, DType(dtype)))
