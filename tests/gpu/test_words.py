"""What kernels call for reals is what NumPy does: their text, run with NumPy's numbers and instructions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from gpu import single
from gpu.machine.memory import GlobalMemory, SharedMemory
from gpu.toolchain import needs_compiler

pytestmark = needs_compiler
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.75, -2.5, 3.0, 7.25, -1e-3, 3e38, -1e38, 1e-30, np.inf, -np.inf, np.nan)
RNG = np.random.default_rng(3)
NUMBERS = [*SPECIAL, *(RNG.standard_normal(25) * 10.0 ** RNG.integers(-12, 13, 25))]


def on_host(name: str) -> Callable[..., Any]:
    """A function of gpu_words for one number: instructions by their meanings."""
    from mhagen.runtime import gpu_divisions, gpu_words
    from mhagen.runtime.ptx_instruction import Instruction

    module = gpu_words if hasattr(gpu_words, name) else gpu_divisions
    names: dict[str, Any] = {**vars(module), "float32": np.float32, "uint32": np.uint32}
    for each, value in tuple(names.items()):
        if isinstance(value, Instruction):
            names[each] = lambda *xs, meaning=value.meaning: meaning(*(np.array([x]) for x in xs))[0]
        elif isinstance(value, FunctionType) and value.__module__ == module.__name__:
            names[each] = FunctionType(value.__code__, names, each)
    found: Callable[..., Any] = names[name]
    return found


def spread(low: float, high: float) -> Any:
    """Numbers between two others, as many of each size."""
    return 10 ** RNG.uniform(np.log10(low), np.log10(high), 700)


AROUND_1 = np.concatenate([RNG.uniform(0.4, 2.5, 700), 1 + spread(1e-6, 0.5), 1 - spread(1e-6, 0.5)])
POSITIVE = np.concatenate([AROUND_1, spread(1e-37, 1e38)])
SMALL = np.concatenate([RNG.uniform(-10, 10, 700), spread(1e-8, 1), -spread(1e-8, 1)])
LARGE = np.concatenate([RNG.uniform(-87, 88.7, 1500), SMALL])
UNIT = 2.0**-23
# Where they are right, by how much of the result, and how much beside. What instructions may add on a GPU,
# which are exact here, is left out of it: 2 units for powers of two and logarithms, 1 for a reciprocal.
WORDS: dict[str, tuple[Callable[..., Any], Any, float, float]] = {
    "exp": (np.exp, LARGE, 1.5, 0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), LARGE, 2, 0),
    "log": (np.log, POSITIVE, 1.5, 0),
    "fine_log": (np.log, POSITIVE, 2, 0),
    "hyperbolic_tangent": (np.tanh, SMALL, 0, 2),
    "fine_hyperbolic_tangent": (np.tanh, SMALL, 2, 0),
}


@pytest.mark.parametrize("word", WORDS)
def test_functions_of_reals_are_as_exact_as_they_say(word: str) -> None:
    wanted, numbers, of_it, beside = WORDS[word]
    function, numbers = on_host(word), numbers.astype(np.float32)
    found = np.array([function(x) for x in numbers], np.float64)
    exact = wanted(numbers.astype(np.float64))
    worst = np.argmax(np.abs(found - exact) - UNIT * (of_it * np.abs(exact) + beside))
    assert abs(found[worst] - exact[worst]) <= UNIT * (of_it * abs(exact[worst]) + beside), numbers[worst]


@pytest.mark.parametrize("word", WORDS)
def test_functions_of_what_is_not_finite_are_numpys(word: str) -> None:
    function = on_host(word)
    for x in (0.0, -0.0, np.inf, -np.inf, np.nan, 200.0, -200.0):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, wanted = function(np.float32(x)), WORDS[word][0](np.float64(x)).astype(np.float32)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=2.0**-126)


def test_remainders_are_exact_for_quotients_of_any_length() -> None:
    from mhagen.runtime.ptx_reals import remainder

    numbers = [*NUMBERS, 1e-45, -3e-45, 1e-39, 16777215.0, 2.0**127, 1e38 / 3]
    x, y = (each.astype(np.float32).ravel() for each in np.meshgrid(numbers, numbers))
    x, y = (np.resize(each, -(-each.size // 32) * 32) for each in (x, y))
    found = single.run(remainder, (x, y), SharedMemory(0), GlobalMemory(1 << 13))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, np.fmod(x, y))


@pytest.mark.parametrize(
    ("word", "wanted"),
    [("real_modulo", np.remainder), ("real_floor_divide", np.floor_divide), ("power", np.power)],
)
def test_pairs_of_reals_become_what_numpy_makes_of_them(word: str, wanted: Callable[..., Any]) -> None:
    function, wrong = on_host(word), []
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for x in map(np.float32, NUMBERS):
            for y in map(np.float32, NUMBERS):
                found, expected = function(x, y), np.float32(wanted(x, y))
                error = 1e-6 if word != "power" else 3e-7 * (2 + abs(y)) * (1 + abs(np.log2(abs(x) or 1)))
                if not np.isclose(found, expected, rtol=float(error), atol=1.2e-38, equal_nan=True):
                    wrong.append((x, y, found, expected))
    assert not wrong, wrong[:20]
