"""Square tiles turned over in registers: lanes become rows, whatever the strides."""

from __future__ import annotations

from typing import Any

import numpy as np

from .lanes import Machine, address, on_every_target, page_before_a_forbidden_one, survives

WHOLE = """
def kernel(source, source_stride, target, target_stride, scale):
    transpose_tile(source, source_stride, target, target_stride, load_real(scale))
"""
FIRST = """
def kernel(source, source_stride, rows, columns, target, target_stride, scale):
    transpose_tile_first(source, source_stride, rows, columns, target, target_stride, load_real(scale))
"""
SCALE = np.array([0.3], np.float32)


def square(lanes: int, stride: int) -> np.ndarray[Any, Any]:
    """LANES rows of LANES numbers; its rows lie `stride` numbers apart."""
    values = np.random.default_rng(6).standard_normal((lanes, stride), dtype=np.float32)
    return values[:, :lanes]


def strides_of(lanes: int) -> tuple[int, ...]:
    return (lanes, lanes + 1, 3 * lanes)


@on_every_target
def test_a_tile_is_turned_over_and_scaled(machine: Machine) -> None:
    turn, lanes = machine.compile_text(WHOLE), machine.lanes
    for stride in strides_of(lanes):
        for target_stride in strides_of(lanes):
            source, found = square(lanes, stride), np.full((lanes, target_stride), 7.0, np.float32)
            turn(address(source), 4 * stride, address(found), 4 * target_stride, address(SCALE))
            assert np.array_equal(found[:, :lanes], SCALE * source.T)
            assert (found[:, lanes:] == 7.0).all()


@on_every_target
def test_rows_may_run_backwards(machine: Machine) -> None:
    lanes = machine.lanes
    source, found = square(lanes, lanes), np.empty((lanes, lanes), np.float32)
    last = address(source[-1])
    machine.compile_text(WHOLE)(last, -4 * lanes, address(found), 4 * lanes, address(SCALE))
    assert np.array_equal(found, SCALE * source[::-1].T)


@on_every_target
def test_missing_columns_count_as_zero_and_missing_rows_repeat_the_last(machine: Machine) -> None:
    turn, lanes = machine.compile_text(FIRST), machine.lanes
    source = square(lanes, lanes + 3)
    for rows in range(1, lanes + 2):
        for columns in range(lanes + 2):
            found = np.full((lanes, lanes), np.nan, np.float32)
            turn(address(source), source.strides[0], rows, columns, address(found), 4 * lanes, address(SCALE))
            clamped = np.minimum(np.arange(lanes), rows - 1)
            expected = np.where(np.arange(lanes) < columns, SCALE * source[clamped], 0.0)
            assert np.array_equal(found, expected.T)


@on_every_target
def test_a_part_of_a_tile_before_a_forbidden_page_can_be_turned(machine: Machine) -> None:
    turn, lanes = machine.compile_text(FIRST), machine.lanes
    found = np.empty((lanes, lanes), np.float32)
    with page_before_a_forbidden_one() as page:

        def work() -> None:
            for rows in range(1, lanes + 1):
                for columns in range(lanes + 1):
                    start = address(page) + len(page) - 4 * rows * columns
                    turn(start, 4 * columns, rows, columns, address(found), 4 * lanes, address(SCALE))

        assert survives(work)
