"""Numbers of other formats are widened exactly and rounded to nearest; pairs are added up in float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from .lanes import (
    SPECIAL_REALS,
    Machine,
    address,
    on_every_target,
    on_every_target_of_pairs,
    random_reals,
    text_of,
)

Array = np.ndarray[Any, Any]
STORED = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype(np.float16)}
FORMATS = STORED | {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
COUNT = 64  # numbers: several whole vectors of every target

on_every_stored = pytest.mark.parametrize("stored", STORED)
on_every_format = pytest.mark.parametrize("stored", FORMATS)
in_both = pytest.mark.parametrize("computed", ["float32", "float64"])


def some(dtype: np.dtype[Any], count: int = COUNT) -> Array:
    """Any bits at all for 16-bit formats; numbers that float32 holds for the others."""
    rng = np.random.default_rng(3)
    if dtype.itemsize == 2:
        return rng.integers(0, 1 << 16, count).astype(np.uint16).view(dtype)
    return rng.standard_normal(count).astype(np.float32).astype(dtype)


def same(found: Array, expected: Array) -> bool:
    return bool(np.array_equal(found, expected, equal_nan=True))


@on_every_target
@on_every_format
@in_both
def test_numbers_of_every_format_are_read_exactly(machine: Machine, stored: str, computed: str) -> None:
    machine = replace(machine, computed=computed)
    values = some(FORMATS[stored])
    size = values.itemsize
    lines = (
        f"store(out, load_{stored}_lanes(x))",
        f"store(out + VECTOR, take_{stored}(x, wide(lane_numbers()) + 3))",
        f"store_real(out + 2 * VECTOR, load_{stored}(x + {5 * size}))",
    )
    kernel = machine.compile_text(text_of(["x", "out"], *lines))
    lanes = machine.lanes
    found = np.zeros(3 * lanes, computed)
    kernel(address(values), address(found), 1)
    expected = values.astype(computed)
    assert same(found[:lanes], expected[:lanes])
    assert same(found[lanes : 2 * lanes], expected[3 : 3 + lanes])
    assert same(found[2 * lanes], expected[5])


@on_every_target
@on_every_stored
def test_the_first_numbers_are_read_and_written_alone(machine: Machine, stored: str) -> None:
    text = text_of(["x", "count", "out"], f"store_{stored}_first(out, load_{stored}_first(x, count), count)")
    kernel = machine.compile_text(text)
    values = some(STORED[stored])
    for count in range(machine.lanes + 1):
        found = np.zeros(COUNT, STORED[stored])
        kernel(address(values), count, address(found), 1)
        assert same(found[:count], values[:count])
        assert not found[count:].any()


@on_every_target
@on_every_stored
def test_numbers_are_rounded_to_the_nearest_even(machine: Machine, stored: str) -> None:
    text = text_of(["x", "out"], f"store_{stored}_lanes(out + i * VECTOR // 2, load(x + i * VECTOR))")
    kernel = machine.compile_text(text)
    halves = np.arange(-512, 512, dtype=np.float32) / 2 + 256  # ties of bfloat16
    values = np.concatenate([random_reals(np.random.default_rng(5), (4096,)), halves, SPECIAL_REALS])
    values = np.ascontiguousarray(values[: len(values) // machine.lanes * machine.lanes])
    found = np.zeros(len(values), STORED[stored])
    kernel(address(values), address(found), len(values) // machine.lanes)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(STORED[stored])
    assert same(found, expected)


def pairs_of(even: Array, odd: Array) -> Array:
    return np.stack([even, odd], axis=-1).reshape(-1)


def reals(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(count).astype(ml_dtypes.bfloat16)


@on_every_target_of_pairs
def test_pairs_are_multiplied_and_added_in_float32(machine: Machine) -> None:
    lines = (
        "x = load_pairs(xs)",
        "store(out, dot_pairs(x, load_pairs(ys), load(zs)))",
        "store(out + VECTOR, dot_pairs(x, load_pair_each(ys + 4), load(zs)))",
    )
    kernel = machine.compile_text(text_of(["xs", "ys", "zs", "out"], *lines))
    lanes = machine.lanes
    x, y, z = reals(2 * lanes, 1), reals(2 * lanes, 2), some(np.dtype(np.float32), lanes)
    found = np.zeros(2 * lanes, np.float32)
    kernel(address(x), address(y), address(z), address(found), 1)
    products = (x.astype(np.float64) * y).reshape(lanes, 2).sum(axis=1) + z
    repeated = (x.astype(np.float64).reshape(lanes, 2) * y[2:4].astype(np.float64)).sum(axis=1) + z
    np.testing.assert_allclose(found[:lanes], products, rtol=3e-6, atol=3e-6)
    np.testing.assert_allclose(found[lanes:], repeated, rtol=3e-6, atol=3e-6)


@on_every_target_of_pairs
def test_pairs_are_packed_scaled_and_kept_half_by_half(machine: Machine) -> None:
    lines = (
        "both = pack_pairs(load(even), load(odd))",
        "store_pairs(out, both)",
        "store_pairs(out + VECTOR, scale_pairs(both, splat(0.5)))",
        "store_pairs(out + 2 * VECTOR, keep_pairs(both, 0, 1))",
        "store_pairs(out + 3 * VECTOR, keep_pairs(both, 1, 0))",
    )
    kernel = machine.compile_text(text_of(["even", "odd", "out"], *lines))
    even, odd = (some(np.dtype(np.float32), machine.lanes) * factor for factor in (1.0, -3.0))
    found = np.zeros((4, 2 * machine.lanes), ml_dtypes.bfloat16)
    kernel(address(even), address(odd), address(found), 1)
    rounded = [each.astype(ml_dtypes.bfloat16) for each in (even, odd)]
    zero = np.zeros_like(rounded[0])
    half = ml_dtypes.bfloat16(0.5)
    assert same(found[0], pairs_of(*rounded))
    assert same(found[1], pairs_of(rounded[0] * half, rounded[1] * half))
    assert same(found[2], pairs_of(zero, rounded[1]))
    assert same(found[3], pairs_of(rounded[0], zero))


@on_every_target_of_pairs
def test_two_rows_are_zipped_to_pairs(machine: Machine) -> None:
    lines = (
        "store_pairs(out, load_zipped(even, odd))",
        "store_pairs(out + VECTOR, load_zipped_first(even, odd, count))",
    )
    kernel = machine.compile_text(text_of(["even", "odd", "count", "out"], *lines))
    even, odd = reals(machine.lanes, 4), reals(machine.lanes, 5)
    for count in (0, 1, machine.lanes - 1):
        found = np.ones((2, 2 * machine.lanes), ml_dtypes.bfloat16)
        kernel(address(even), address(odd), count, address(found), 1)
        inside = np.arange(machine.lanes) < count
        assert same(found[0], pairs_of(even, odd))
        assert same(found[1], pairs_of(np.where(inside, even, 0), np.where(inside, odd, 0)))


@on_every_target_of_pairs
def test_pairs_are_turned_over_and_rows_behind_the_last_repeat_it(machine: Machine) -> None:
    lines = (
        "transpose_pairs(x, 4 * LANES, out, VECTOR)",
        "transpose_pairs_first(x, 4 * LANES, rows, columns, out + LANES * VECTOR, VECTOR)",
    )
    kernel = machine.compile_text(text_of(["x", "rows", "columns", "out"], *lines))
    lanes = machine.lanes
    values = np.random.default_rng(6).integers(0, 1 << 31, (lanes, lanes)).astype(np.int32)
    for rows, columns in ((lanes, lanes), (1, 1), (lanes - 1, 2)):
        found = np.zeros((2, lanes, lanes), np.int32)
        kernel(address(values), rows, columns, address(found), 1)
        part = values[np.minimum(np.arange(lanes), rows - 1)] * (np.arange(lanes) < columns)
        assert same(found[0], values.T)
        assert same(found[1], part.T)


@on_every_target
def test_an_int16_keeps_its_sign(machine: Machine) -> None:
    kernel = machine.compile_text(text_of(["x", "out"], "store_real(out, 1.0 * load_int16(x))"))
    for value in (-(2**15), -1, 0, 7):
        found = np.zeros(1, np.float32)
        kernel(address(np.array([value], np.int16)), address(found), 1)
        assert found[0] == value


@on_every_target_of_pairs
def test_the_first_pairs_are_read_alone(machine: Machine) -> None:
    kernel = machine.compile_text(
        text_of(["x", "count", "out"], "store_pairs(out, load_pairs_first(x, count))")
    )
    values = reals(2 * machine.lanes, 7)
    for count in range(machine.lanes + 1):
        found = np.ones(2 * machine.lanes, ml_dtypes.bfloat16)
        kernel(address(values), count, address(found), 1)
        assert same(found, np.where(np.arange(2 * machine.lanes) < 2 * count, values, ml_dtypes.bfloat16(0)))


@on_every_target
@in_both
def test_the_lanes_of_vectors_are_added_up_each_to_one_lane(machine: Machine, computed: str) -> None:
    machine = replace(machine, computed=computed)
    kernel = machine.compile_text(text_of(["x", "out"], "store(out, sum_lanes(x))"))
    values = np.random.default_rng(8).standard_normal((machine.lanes, machine.lanes)).astype(computed)
    found = np.zeros(machine.lanes, computed)
    kernel(address(values), address(found), 1)
    np.testing.assert_allclose(found, values.sum(axis=1, dtype=np.float64), rtol=1e-5, atol=1e-5)


@on_every_target
def test_arrivals_are_counted(machine: Machine) -> None:
    kernel = machine.compile_text(
        text_of(["counter", "out"], "store_real(out + 4 * i, 1.0 * arrive(counter))")
    )
    counter, found = np.array([5], np.int64), np.zeros(3, np.float32)
    kernel(address(counter), address(found), 3)
    assert counter[0] == 8
    assert found.tolist() == [5.0, 6.0, 7.0]


@on_every_target_of_pairs
def test_two_long_rows_are_zipped_half_by_half(machine: Machine) -> None:
    lines = (
        "above, below = load_pairs(even), load_pairs(odd)",
        "store_pairs(out, zip_low(above, below))",
        "store_pairs(out + VECTOR, zip_high(above, below))",
    )
    kernel = machine.compile_text(text_of(["even", "odd", "out"], *lines))
    even, odd = reals(2 * machine.lanes, 9), reals(2 * machine.lanes, 10)
    found = np.zeros(4 * machine.lanes, ml_dtypes.bfloat16)
    kernel(address(even), address(odd), address(found), 1)
    assert same(found, pairs_of(even, odd))


@on_every_target
def test_an_int64_is_written_and_far_memory_may_be_asked_for(machine: Machine) -> None:
    kernel = machine.compile_text(text_of(["out"], "prefetch_far(out)", "store_int64(out + 8 * i, 7 - i)"))
    found = np.zeros(3, np.int64)
    kernel(address(found), 3)
    assert found.tolist() == [7, 6, 5]


@on_every_target
@pytest.mark.parametrize(("word", "error"), [("exp2_degree_3", 1.1e-4), ("exp2_degree_4", 3e-6)])
def test_short_polynomials_keep_the_digits_they_claim(machine: Machine, word: str, error: float) -> None:
    kernel = machine.compile_text(
        text_of(["x", "out"], f"store(out + i * VECTOR, {word}(load(x + i * VECTOR)))")
    )
    values = np.concatenate([np.random.default_rng(11).uniform(-126, 126, 1 << 16), np.arange(-64, 64)])
    values = values.astype(np.float32)
    found = np.zeros_like(values)
    kernel(address(values), address(found), len(values) // machine.lanes)
    expected = np.exp2(values.astype(np.float64))
    assert np.abs(found / expected - 1).max() <= error
    assert (found[-128:] == expected[-128:]).all()


@on_every_target
def test_the_short_tanh_keeps_the_digits_it_claims_and_is_right_at_its_ends(machine: Machine) -> None:
    text = text_of(["x", "out"], "store(out + i * VECTOR, tanh_short(load(x + i * VECTOR)))")
    rng = np.random.default_rng(13)
    points = np.concatenate([rng.uniform(-12, 12, 1 << 16), 2.0 ** rng.uniform(-60, 4, 1 << 16)])
    ends = np.resize(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1.0]), 64)
    values = np.concatenate([points, ends]).astype(np.float32)
    found = np.zeros_like(values)
    machine.compile_text(text)(address(values), address(found), len(values) // machine.lanes)
    expected = np.tanh(values.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=6.5e-6, atol=0)
    assert (np.signbit(found) == np.signbit(expected))[~np.isnan(expected)].all()
