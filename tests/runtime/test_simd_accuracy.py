"""Elementary functions are as near to the truth as their docstrings say, and right where their range ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .lanes import (
    SPECIAL_REALS,
    WORDS,
    Machine,
    address,
    on_every_target,
    same_reals,
    text_of,
    tuples_of,
    whole_vectors,
)

Reals = np.ndarray[Any, Any]
Function = Callable[..., Reals]
CHUNK, CHUNKS = 1 << 18, 8  # points of a range: two million
SMALLEST = 2.0**-149

# In float64, which is exact enough to be the truth.
TRUTHS: dict[str, Function] = {
    "exp2": np.exp2,
    "exp2_weight": np.exp2,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "power": np.power,
}
CALLS = {name: f"{name}(x, y)" if name == "power" else f"{name}(x)" for name in TRUTHS}


def between(low: float, high: float) -> Function:
    """Points that lie evenly."""
    return lambda rng: rng.uniform(low, high, CHUNK).astype(np.float32)


def sizes(low: float, high: float) -> Function:
    """Points of either sign whose exponents lie evenly."""
    return lambda rng: (np.exp2(rng.uniform(low, high, CHUNK)) * rng.choice((-1, 1), CHUNK)).astype(
        np.float32
    )


def positive(low: float, high: float) -> Function:
    return lambda rng: np.abs(sizes(low, high)(rng))


# Where each function is claimed to be accurate: its operands, range by range.
RANGES: dict[str, tuple[tuple[Function, ...], ...]] = {
    "exp2": ((between(-1, 1),), (between(-126, 127),), (sizes(-40, 0),)),
    "exp2_weight": ((between(-1, 1),), (between(-126, 127),), (sizes(-40, 0),)),
    "exp": ((between(-1, 1),), (between(-104, 88.72),), (sizes(-40, 0),)),
    "log": ((positive(-149, 127.99),), (between(0.5, 2),)),
    "tanh": ((between(-10, 10),), (sizes(-149, 3),)),
    "sigmoid": ((between(-104, 20),), (sizes(-40, 3),)),
    "power": (
        (positive(-10, 10), between(-12, 12)),
        (between(0.9, 1.1), between(-900, 900)),
        (positive(-149, 127.99), between(-1, 1)),
        (positive(-0.01, 0.01), sizes(-3, 14)),
    ),
}


def evaluate(machine: Machine, name: str, x: Reals, y: Reals) -> Reals:
    lines = ["x, y = load(xs + i * VECTOR), load(ys + i * VECTOR)"]
    lines += [
        f"if chosen == {i}:\n            store(out + i * VECTOR, {CALLS[f]})" for i, f in enumerate(CALLS)
    ]
    kernel = machine.compile_text(text_of(["chosen", "xs", "ys", "out"], *lines))
    out = np.empty(len(x), np.float32)
    kernel(list(CALLS).index(name), address(x), address(y), address(out), len(x) // machine.lanes)
    return out


def truth(name: str, x: Reals, y: Reals) -> Reals:
    operands = (x, y) if name == "power" else (x,)
    with np.errstate(all="ignore"):
        result: Reals = TRUTHS[name](*(operand.astype(np.float64) for operand in operands))
    return result


def ulps(found: Reals, expected: Reals) -> Reals:
    """Distances in units of the last place that the expected result has in float32."""
    with np.errstate(all="ignore"):
        nearest = expected.astype(np.float32)
        unit = np.maximum(np.spacing(np.abs(nearest)).astype(np.float64), SMALLEST)
        distance = np.abs(found - expected) / unit
    same = (found == nearest) | (np.isnan(found) & np.isnan(nearest))
    return np.where(same, 0.0, np.nan_to_num(distance, nan=np.inf))


def claimed_ulps(name: str) -> float:
    claim = re.search(r"Numbers:? +([\d.]+) ulp", WORDS[name].__doc__ or "")
    assert claim, f"{name} does not say how accurate it is"
    return float(claim[1])


def worst_of(machine: Machine, name: str, operands: tuple[Function, ...]) -> tuple[float, float]:
    """The greatest distance, and the operand it is found at."""
    rng = np.random.default_rng(7)
    return max(chunk_worst(machine, name, [operand(rng) for operand in operands]) for _ in range(CHUNKS))


def chunk_worst(machine: Machine, name: str, operands: list[Reals]) -> tuple[float, float]:
    x, y = operands[0], operands[-1]
    distances = ulps(evaluate(machine, name, x, y), truth(name, x, y))
    at = int(distances.argmax())
    return float(distances[at]), float(x[at])


CASES = [
    pytest.param(name, operands, id=f"{name}-{i}")
    for name, ranges in RANGES.items()
    for i, operands in enumerate(ranges)
]


@on_every_target
@pytest.mark.parametrize(("name", "operands"), CASES)
def test_a_function_is_as_accurate_as_it_says(
    machine: Machine, name: str, operands: tuple[Function, ...]
) -> None:
    worst, x = worst_of(machine, name, operands)
    assert worst <= claimed_ulps(name), f"{name}({x!r})"


def values_at(machine: Machine, name: str, points: list[float], y: float = 1.0) -> list[float]:
    x = whole_vectors(np.array([points], np.float32))[0]
    found: list[float] = evaluate(machine, name, x, np.full_like(x, y))[: len(points)].tolist()
    return found


@on_every_target
@pytest.mark.parametrize("word", ["exp2", "exp2_weight"])
def test_exp2_of_a_whole_number_is_exact(machine: Machine, word: str) -> None:
    points = [float(n) for n in range(-126, 128)]
    assert values_at(machine, word, points) == [2.0**n for n in points]


@on_every_target
@pytest.mark.parametrize("word", ["exp2", "exp2_weight"])
def test_exp2_of_what_is_below_150_is_zero(machine: Machine, word: str) -> None:
    points = [-150.5, -151.0, -200.0, -256.0, -1000.0, -1e10, -1e30, -3.4e38, -np.inf]
    found = values_at(machine, word, points)
    assert found == [0.0] * len(points)
    assert not np.signbit(found).any()


@on_every_target
def test_exp2_fades_to_zero_below_126(machine: Machine) -> None:
    x = np.linspace(-150, -126, 1 << 16, dtype=np.float32)
    found = evaluate(machine, "exp2", x, x)
    expected = truth("exp2", x, x)
    assert ((found == 0.0) | (ulps(found, expected) <= claimed_ulps("exp2"))).all()


@on_every_target
def test_a_weight_below_the_normal_numbers_is_none_itself(machine: Machine) -> None:
    x = np.linspace(-150, -126, 1 << 16, dtype=np.float32)
    found = evaluate(machine, "exp2_weight", x, x)
    assert (found >= 0.0).all()
    assert (found <= 2.0**-126).all()


# fmt: off
ENDS: dict[str, tuple[tuple[float, float], ...]] = {
    "exp2": ((0.0, 1.0), (-0.0, 1.0), (1e-45, 1.0), (np.nan, np.nan)),
    "exp2_weight": ((0.0, 1.0), (-0.0, 1.0), (1e-45, 1.0), (np.nan, np.nan)),
    "exp": (
        (0.0, 1.0), (-0.0, 1.0), (88.73, np.inf), (1e30, np.inf), (np.inf, np.inf), (-104.0, 0.0),
        (-1e30, 0.0), (-np.inf, 0.0), (np.nan, np.nan),
    ),
    "log": (
        (0.0, -np.inf), (-0.0, -np.inf), (1.0, 0.0), (-1.0, np.nan), (-1e-45, np.nan), (np.inf, np.inf),
        (-np.inf, np.nan), (np.nan, np.nan),
    ),
    "tanh": (
        (0.0, 0.0), (-0.0, -0.0), (1e-45, 1e-45), (20.0, 1.0), (-1e30, -1.0), (np.inf, 1.0), (-np.inf, -1.0),
        (np.nan, np.nan),
    ),
    "sigmoid": (
        (0.0, 0.5), (-0.0, 0.5), (40.0, 1.0), (np.inf, 1.0), (-105.0, 0.0), (-np.inf, 0.0), (np.nan, np.nan),
    ),
}
# fmt: on


@on_every_target
@pytest.mark.parametrize("name", ENDS)
def test_a_function_is_right_at_its_ends(machine: Machine, name: str) -> None:
    points, expected = zip(*ENDS[name], strict=True)
    found = values_at(machine, name, list(points))
    same = same_reals(np.array(found, np.float32), np.array(expected, np.float32))
    assert same.all(), f"{name} of {points} is {found}"


@on_every_target
def test_power_has_all_cases_of_c(machine: Machine) -> None:
    more = np.array([3.0, -3.0, 2.0, 16777217.0, 4e9, -0.3], np.float32)
    x, y = whole_vectors(tuples_of(np.concatenate([SPECIAL_REALS, more]), 2))
    found, expected = evaluate(machine, "power", x, y), truth("power", x, y)
    wrong = np.flatnonzero(
        (ulps(found, expected) > claimed_ulps("power")) | (np.signbit(found) != np.signbit(expected))
    )
    wrong = wrong[~np.isnan(expected[wrong])][:1]
    assert not len(wrong), f"{x[wrong]} ** {y[wrong]} is {found[wrong]}, not {expected[wrong]}"
    assert np.array_equal(np.isnan(found), np.isnan(expected))


@on_every_target
def test_a_function_of_one_lane_does_not_see_the_others(machine: Machine) -> None:
    for name in ("exp2", "exp2_weight", "exp", "log", "tanh", "sigmoid"):
        calm = evaluate(machine, name, np.full(64, 0.7, np.float32), np.ones(64, np.float32))
        x = np.resize(np.array([0.7, np.nan, 0.7, np.inf, 0.7, -np.inf], np.float32), 64)
        x[63] = 0.7
        found = evaluate(machine, name, np.ascontiguousarray(x), np.ones(64, np.float32))
        at = x == np.float32(0.7)
        assert np.array_equal(found[at], calm[at]), name
