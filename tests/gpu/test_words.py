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
