"""Operations on integer lanes are exact: NumPy's, which wrap around, and Python's floor division."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .lanes import (
    Machine,
    address,
    on_every_target,
    special_integers,
    text_of,
    tuples_of,
    whole_vectors,
)

Integers = np.ndarray[Any, Any]
SAME_KIND = (
    "x + y",
    "x - y",
    "x * y",
    "-x",
    "x + 1",
    "7 - x",
    "x * -3",
    "maximum(x, y)",
    "minimum(x, y)",
    "maximum(x, 0)",
    "absolute(x)",
    "floor_divide(x, y)",
    "modulo(x, y)",
    "floor_divide(x, 7)",
    "floor_divide(x, -7)",
    "floor_divide(x, 8)",
    "floor_divide(x, -1)",
    "floor_divide(100, y)",
    "modulo(x, 7)",
    "modulo(x, -7)",
    "modulo(x, 8)",
    "modulo(x, -1)",
    "modulo(-100, y)",
    "where(x < y, x, y)",
    "where(x <= y, x, y)",
    "where(x > y, x, 0)",
    "where(x >= y, 5, x)",
    "where(x == y, x, -1)",
    "where(x != y, x, -1)",
    "where(~((x < 3) & (y > -3)) | (x == y), x, y)",
)
TO_REAL = ("real(x)", "x + 0.5", "2.0 * x", "x / y", "where(x < 0.5, x, 0.25)", "real(x) * y")


@on_every_target
def test_the_least_and_the_greatest_lane_are_found_in_any_place(machine: Machine) -> None:
    line = "store_int64(out + 16 * i, least_lane(load_int32_lanes(x + i * 4 * LANES)))"
    other = "store_int64(out + 16 * i + 8, greatest_lane(load_int32_lanes(x + i * 4 * LANES)))"
    kernel = machine.compile_text(text_of(["x", "out"], line, other))
    lanes = machine.lanes
    values = np.vstack([9 * np.eye(lanes), -9 * np.eye(lanes), np.full((1, lanes), -3)]).astype(np.int32)
    values[-1, 0], values[-1, -1] = -(2**31), 2**31 - 1
    found = np.empty((len(values), 2), np.int64)
    kernel(address(values), address(found), len(values))
    np.testing.assert_array_equal(found, np.stack([values.min(axis=1), values.max(axis=1)], axis=1))


@on_every_target
def test_int32_lanes_are_stored_as_they_lie_wherever_that_is(machine: Machine) -> None:
    line = "store_int32_lanes(out + i * 4 * LANES, load_int32_lanes(x + i * 4 * LANES) - 7)"
    kernel = machine.compile_text(text_of(["x", "out"], line))
    numbers = np.random.default_rng(0).integers(-(2**31), 2**31, 4 * machine.lanes, dtype=np.int32)
    room = np.full(len(numbers) + 2, 5, np.int32)
    kernel(address(numbers), address(room[1:]), 4)  # 4 bytes off what a vector is aligned to
    np.testing.assert_array_equal(room[1:-1], numbers - np.int32(7))
    assert room[0] == room[-1] == 5


def floor_divide(x: Integers, y: Integers) -> Integers:
    """Python's //, but x where y is 0."""
    return np.where(y == 0, x, np.floor_divide(x, y))


IN_NUMPY = {
    "maximum": np.maximum,
    "minimum": np.minimum,
    "absolute": np.abs,
    "floor_divide": floor_divide,
    "modulo": lambda x, y: np.remainder(x, y),
    "where": np.where,
    "real": lambda x: x.astype(np.float32),
}


def operands(dtype: type[np.signedinteger[Any]]) -> Integers:
    rng = np.random.default_rng(2)
    limits = np.iinfo(dtype)
    anything = rng.integers(limits.min, limits.max, (2, 2048), dtype, endpoint=True)
    small = rng.integers(-20, 20, (2, 2048), dtype)
    of_both = np.vstack([anything[0], small[0]])
    return whole_vectors(np.hstack([tuples_of(special_integers(dtype), 2), anything, small, of_both]))


def evaluate(text: str, values: Integers, **kinds: type[np.generic]) -> Integers:
    """In NumPy; plain numbers take the operands' type there as they do in lanes."""
    x, y = (value.astype(kind) for value, kind in zip(values, kinds.values(), strict=True))
    with np.errstate(all="ignore"):
        return np.asarray(eval(text, IN_NUMPY | {"x": x, "y": y}))


LOADS = {
    np.int32: "load_int32_lanes({} + i * VECTOR)",
    np.int64: "take_int64({}, wide(lane_numbers()) + i * LANES)",
}


@on_every_target
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_operations_on_integer_lanes_are_those_of_numpy(
    machine: Machine, dtype: type[np.signedinteger[Any]]
) -> None:
    values = operands(dtype)
    expected = np.stack([evaluate(text, values, x=dtype, y=dtype).astype(dtype) for text in SAME_KIND])
    lines = [f"{name} = {LOADS[dtype].format(f'operands + {i} * size')}" for i, name in enumerate("xy")]
    for i, text in enumerate(SAME_KIND):
        known = LOADS[dtype].format(f"expected + {i} * size")
        lines.append(f"store(out + ({i} * vectors + i) * VECTOR, where({text} == {known}, splat(1.0), 0.0))")
    kernel = machine.compile_text(text_of(["operands", "expected", "size", "out"], *lines))
    right = np.empty(expected.shape, np.float32)
    vectors = values.shape[1] // machine.lanes
    kernel(address(values), address(expected), values.strides[0], address(right), vectors)
    for text, known, flags in zip(SAME_KIND, expected, right, strict=True):
        wrong = np.flatnonzero(flags != 1.0)[:1]
        assert not len(wrong), f"{text} of {values[:, wrong]} is not {known[wrong]}"


@on_every_target
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integer_lanes_become_real_lanes_rounded_once(
    machine: Machine, dtype: type[np.signedinteger[Any]]
) -> None:
    values = operands(dtype)
    lines = [f"{name} = {LOADS[dtype].format(f'operands + {i} * size')}" for i, name in enumerate("xy")]
    lines += [f"store(out + ({i} * vectors + i) * VECTOR, {text})" for i, text in enumerate(TO_REAL)]
    kernel = machine.compile_text(text_of(["operands", "size", "out"], *lines))
    found = np.empty((len(TO_REAL), values.shape[1]), np.float32)
    kernel(address(values), values.strides[0], address(found), values.shape[1] // machine.lanes)
    reals = values.astype(np.float32)
    for text, row in zip(TO_REAL, found, strict=True):
        expected = evaluate(text, reals, x=np.float32, y=np.float32).astype(np.float32)
        assert np.array_equal(row, expected, equal_nan=True), text


@on_every_target
def test_lanes_of_32_and_64_bits_meet_in_64(machine: Machine) -> None:
    lines = (
        "x = load_int32_lanes(operands + i * VECTOR)",
        "sum_ = wide(x) * 4294967296 + x",
        "known = take_int64(expected, wide(lane_numbers()) + i * LANES)",
        "store(out + i * VECTOR, where((sum_ == known) & (x + (known - x) == sum_), splat(1.0), 0.0))",
    )
    values = operands(np.int32)[0]
    expected = values.astype(np.int64) * 2**32 + values
    right = np.empty(len(values), np.float32)
    kernel = machine.compile_text(text_of(["operands", "expected", "out"], *lines))
    kernel(address(values), address(expected), address(right), len(values) // machine.lanes)
    assert right.min() == 1.0


@on_every_target
def test_lane_numbers_count_from_zero(machine: Machine) -> None:
    found = np.empty(machine.lanes, np.float32)
    machine.compile_text(text_of(["out"], "store(out, real(lane_numbers()))"))(address(found), 1)
    assert found.tolist() == list(range(machine.lanes))


@on_every_target
def test_division_agrees_with_python_on_all_signs(machine: Machine) -> None:
    numbers = [-9, -8, -7, -1, 1, 7, 8, 9, 2**31 - 1, -(2**31) + 1]
    values = whole_vectors(tuples_of(np.array(numbers, np.int32), 2))
    lines = (
        "x, y = load_int32_lanes(operands + i * VECTOR), load_int32_lanes(operands + size + i * VECTOR)",
        "store(out + i * VECTOR, real(floor_divide(x, y)))",
        "store(out + size + i * VECTOR, real(modulo(x, y)))",
    )
    found = np.empty(values.shape, np.float32)
    kernel = machine.compile_text(text_of(["operands", "size", "out"], *lines))
    kernel(address(values), values.strides[0], address(found), values.shape[1] // machine.lanes)
    pairs = list(zip(*values.tolist(), strict=True))
    assert np.array_equal(found[0], np.array([x // y for x, y in pairs], np.float32))
    assert np.array_equal(found[1], np.array([x % y for x, y in pairs], np.float32))
