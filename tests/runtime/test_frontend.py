"""Kernels get from Numba what they need, and give nothing to what else Numba compiles in the process."""

from __future__ import annotations

import operator
import re

import numpy as np
import pytest
from numba.core import types
from numba.core.errors import TypingError
from numba.core.registry import cpu_target

from mhagen.runtime.frontend import EXCEPTION
from mhagen.runtime.native import RefusedCode
from mhagen.runtime.vectors import VectorType

from .lanes import Machine, address, on_every_target


@on_every_target
def test_a_function_that_nobody_calls_is_not_compiled(machine: Machine) -> None:
    machine.compile_text(
        "def never(at):\n    return load(at) & load(at)\n\ndef kernel(at):\n    store(at, splat(1.0))\n"
    )


@on_every_target
def test_a_function_is_compiled_for_each_combination_of_types_it_is_called_with(machine: Machine) -> None:
    kernel = machine.compile_text(
        "def twice(x):\n    return x + x\n\n"
        "def kernel(source, target):\n    store(target, twice(load(source + twice(VECTOR))))\n"
    )
    source = np.arange(3 * machine.lanes, dtype=np.float32)
    target = np.zeros(machine.lanes, np.float32)
    kernel(address(source), address(target))
    assert (target == 2 * source[2 * machine.lanes :]).all()


@on_every_target
def test_one_name_may_stand_for_values_of_different_types(machine: Machine) -> None:
    kernel = machine.compile_text(
        "def kernel(at):\n    at, place = load(at), at\n    store(place, at + at)\n"
    )
    numbers = np.arange(machine.lanes, dtype=np.float32)
    kernel(address(numbers))
    assert (numbers == 2 * np.arange(machine.lanes)).all()


@on_every_target
def test_the_elements_of_a_result_are_taken_by_their_numbers(machine: Machine) -> None:
    kernel = machine.compile_text(
        "def ends(first, last):\n    return min(first, last), max(first, last)\n\n"
        "def kernel(at, place):\n    pair = ends(7, 3)\n"
        "    store(place + pair[0] * VECTOR, splat(pair[1] + 0.5))\n"
    )
    lines = np.zeros((8, machine.lanes), np.float32)
    kernel(0, address(lines))
    assert (lines[3] == 7.5).all()
    assert np.count_nonzero(lines) == machine.lanes


@on_every_target
@pytest.mark.parametrize(
    "call",
    [
        "half(at, at)",
        "half()",
        "half(x=at)",
        "load(address=at)",
        "min(load(at), 1.0)",
        "load(min(at, key=at))",
    ],
)
def test_a_call_that_does_not_fit_does_not_compile(machine: Machine, call: str) -> None:
    with pytest.raises(TypingError):
        machine.compile_text(
            f"def half(x):\n    return load(x) * 0.5\n\ndef kernel(at):\n    store(at, {call})\n"
        )


@on_every_target
def test_a_kernel_that_may_raise_is_refused(machine: Machine) -> None:
    with pytest.raises(RefusedCode, match=re.escape(EXCEPTION)):
        machine.compile_text("def kernel(at, size):\n    for i in range(0, 8, size):\n        at += i\n")


def test_the_rest_of_the_process_never_meets_vectors() -> None:
    context = cpu_target.typing_context
    context.refresh()
    lanes = VectorType("float32", 8)
    assert context.resolve_function_type(operator.add, (types.int64, types.int64), {})
    with pytest.raises(TypingError):
        context.resolve_function_type(operator.add, (lanes, lanes), {})
