"""How fast pairs turn: each scaling against its formula as its authors and Transformers have it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mhagen.base.turning import Scaling, Turning

DIM, BASE, FACTOR, ORIGINAL = 64, 10000.0, 8.0, 4096
Array = np.ndarray[Any, np.dtype[np.float64]]
PLAIN: Array = 1.0 / BASE ** (np.arange(0, DIM, 2) / DIM)


def llama3() -> Array:
    low, high, wavelengths = ORIGINAL / 1.0, ORIGINAL / 4.0, 2 * math.pi / PLAIN
    smooth = (ORIGINAL / wavelengths - 1.0) / (4.0 - 1.0)
    between = (1 - smooth) * PLAIN / FACTOR + smooth * PLAIN
    return np.where(wavelengths < high, PLAIN, np.where(wavelengths > low, PLAIN / FACTOR, between))


def yarn() -> Array:
    def correction(rotations: float) -> float:
        return (DIM * math.log(ORIGINAL / (rotations * 2 * math.pi))) / (2 * math.log(BASE))

    low, high = math.floor(correction(32)), math.ceil(correction(1))
    extrapolated = 1 - np.clip((np.arange(DIM // 2) - low) / (high - low), 0, 1)
    return PLAIN / FACTOR * (1 - extrapolated) + PLAIN * extrapolated


def ntk(factor: float) -> Array:
    base = BASE * factor ** (DIM / (DIM - 2))
    return np.asarray(1.0 / base ** (np.arange(0, DIM, 2) / DIM))


FORMULAS: dict[Scaling, Callable[[int], Array]] = {
    Scaling.NONE: lambda keys: PLAIN,
    Scaling.LINEAR: lambda keys: PLAIN / FACTOR,
    Scaling.NTK: lambda keys: ntk(FACTOR),
    Scaling.DYNAMIC: lambda keys: ntk(FACTOR * max(keys, ORIGINAL) / ORIGINAL - (FACTOR - 1)),
    Scaling.LLAMA3: lambda keys: llama3(),
    Scaling.YARN: lambda keys: yarn(),
}


def test_every_scaling_has_its_formula_here() -> None:
    assert set(FORMULAS) == set(Scaling)


@pytest.mark.parametrize("scaling", FORMULAS)
@pytest.mark.parametrize("keys", [1, ORIGINAL, 3 * ORIGINAL + 1])
def test_rates_are_those_of_the_formula(scaling: Scaling, keys: int) -> None:
    turning = Turning(DIM, BASE, scaling, FACTOR, ORIGINAL)
    np.testing.assert_allclose(turning.rates(keys), FORMULAS[scaling](keys), rtol=1e-14)


def test_pairs_that_turn_often_enough_stay_as_they_are() -> None:
    turning = Turning(DIM, BASE, Scaling.YARN, FACTOR, ORIGINAL, beta_fast=1e-9, beta_slow=1e-10)
    np.testing.assert_allclose(turning.rates(0), PLAIN, rtol=1e-14)
