"""Operations on float32 lanes give bit for bit what NumPy gives, special numbers included."""

from __future__ import annotations

from typing import Any

import numpy as np

from .lanes import (
    SPECIAL_REALS,
    Machine,
    address,
    on_every_target,
    random_reals,
    same_reals,
    text_of,
    tuples_of,
    whole_vectors,
)

Reals = np.ndarray[Any, Any]

# Each is compiled as it stands, and evaluated as it stands in NumPy's words.
EXPRESSIONS = (
    "x + y",
    "x - y",
    "x * y",
    "x / y",
    "-x",
    "x + 1",
    "2.5 - x",
    "3 * x",
    "x / 3.0",
    "1.0 / x",
    "fma(x, y, z)",
    "fma(x, -1.0, y)",
    "fma(x, x, 1)",
    "maximum(x, y)",
    "minimum(x, y)",
    "maximum(x, 0.5)",
    "minimum(0.5, x)",
    "maximum_or_nan(x, y)",
    "minimum_or_nan(x, y)",
    "absolute(x)",
    "round_down(x)",
    "floor_divide(x, y)",
    "modulo(x, y)",
    "modulo(x, 3.0)",
    "modulo(-1e9, y)",
    "square_root(x)",
    "real(x)",
    "splat(0.1)",
    "splat(0.1) * x",
    "where(x < y, x, z)",
    "where(x <= y, x, z)",
    "where(x > y, x, z)",
    "where(x >= y, x, z)",
    "where(x == y, x, z)",
    "where(x != y, x, z)",
    "where(x < 1, 0.0, x)",
    "where(2.0 > x, x, INFINITY)",
    "where((x < y) & (y < z), x, z)",
    "where((x < y) | (y < z), x, z)",
    "where(~(x < y), x, z)",
    "where((x < y) & True, x, z)",
    "where((x < y) | False, x, z)",
)


def fma(x: Reals, y: Reals, z: Reals) -> Reals:
    """x * y + z, rounded once: the float64 sum is rounded to odd, so that rounding it again does no harm."""
    product = np.multiply(x, y, dtype=np.float64)
    total = product + z
    rest = (product - (total - (total - product))) + (z - (total - product))
    even = total.view(np.int64) % 2 == 0
    towards = np.where(rest > 0, np.inf, -np.inf)
    odd = np.where(even & (rest != 0) & np.isfinite(rest), np.nextafter(total, towards), total)
    return odd.astype(np.float32)


IN_NUMPY = {
    "fma": fma,
    "floor_divide": np.floor_divide,
    "modulo": np.remainder,
    "maximum": lambda x, y: np.where(x > y, x, y),
    "minimum": lambda x, y: np.where(x < y, x, y),
    "maximum_or_nan": lambda x, y: np.where((x > y) | np.isnan(x), x, y),
    "minimum_or_nan": lambda x, y: np.where((x < y) | np.isnan(x), x, y),
    "absolute": np.abs,
    "round_down": np.floor,
    "square_root": np.sqrt,
    "real": np.positive,
    "splat": np.float32,
    "where": np.where,
    "INFINITY": np.inf,
}


def operands() -> Reals:
    rng = np.random.default_rng(1)
    near = rng.standard_normal((3, 4096), dtype=np.float32)
    return whole_vectors(np.hstack([tuples_of(SPECIAL_REALS, 3), random_reals(rng, (3, 4096)), near]))


def evaluate(text: str, values: Reals) -> Reals:
    with np.errstate(all="ignore"):
        result = eval(text, IN_NUMPY | dict(zip("xyz", values, strict=True)))
    return np.broadcast_to(np.asarray(result, np.float32), values.shape[1:])


@on_every_target
def test_operations_on_real_lanes_are_those_of_numpy(machine: Machine) -> None:
    values = operands()
    lines = [f"{name} = load(operands + {i} * size + i * VECTOR)" for i, name in enumerate("xyz")]
    lines += [f"store(out + {i} * size + i * VECTOR, {text})" for i, text in enumerate(EXPRESSIONS)]
    kernel = machine.compile_text(text_of(["operands", "size", "out"], *lines))
    results = np.empty((len(EXPRESSIONS), values.shape[1]), np.float32)
    kernel(address(values), values.strides[0], address(results), values.shape[1] // machine.lanes)
    for text, found in zip(EXPRESSIONS, results, strict=True):
        expected = evaluate(text, values)
        wrong = np.flatnonzero(~same_reals(found, expected))
        first = wrong[:1]
        assert not len(wrong), f"{text} of {values[:, first]}: {found[first]}, not {expected[first]}"


@on_every_target
def test_any_lane_sees_each_lane(machine: Machine) -> None:
    kernel = machine.compile_text(
        text_of(["x", "out"], "store_real(out + 4 * i, 1.0 if any_lane(load(x + i * VECTOR) > 0.0) else 0.0)")
    )
    values = np.vstack([np.eye(machine.lanes), np.zeros(machine.lanes)]).astype(np.float32)
    found = np.empty(len(values), np.float32)
    kernel(address(values), address(found), len(values))
    assert found.tolist() == [1.0] * machine.lanes + [0.0]


@on_every_target
def test_loops_may_sum_into_a_vector(machine: Machine) -> None:
    text = "def kernel(x, out, vectors):\n    total = splat(0.0)\n    for i in range(vectors):\n"
    text += "        total += load(x + i * VECTOR)\n    store(out, total)\n"
    values = np.arange(8 * machine.lanes, dtype=np.float32).reshape(8, machine.lanes)
    found = np.empty(machine.lanes, np.float32)
    machine.compile_text(text)(address(values), address(found), 8)
    assert np.array_equal(found, values.sum(axis=0))
