"""Kernels of a process share what their functions were lowered to, and none can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mhagen.runtime import frontend, pieces
from mhagen.runtime.compiler import compile_kernel
from mhagen.runtime.frontend import FrontEnd
from mhagen.runtime.pieces import Kept, Piece

from .lanes import OURS, WORDS, Machine, machine_of, on_every_target

TEXT = """
def doubled(x):
    return x + x

def scaled(at, factor):
    return doubled(load(at)) * FACTOR

def {name}(at, count):
    for line in range(count):
        store(at + line * VECTOR, {body})
"""
SAME = "scaled(at, 1.0)"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """What this test has lowered, and nobody else."""
    own = Kept()
    monkeypatch.setattr(frontend, "KEPT", own)
    return own


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of functions that are lowered, in turn."""
    names: list[str] = []
    lower = FrontEnd.lower

    def told(self: FrontEnd, function: Any, *rest: Any) -> Piece:
        piece = lower(self, function, *rest)
        names.append(function.__name__)
        return piece

    monkeypatch.setattr(FrontEnd, "lower", told)
    return names


def functions(machine: Machine, name: str = "kernel", body: str = SAME, factor: float = 3.0) -> Any:
    names: dict[str, Any] = {**WORDS, "VECTOR": machine.target.vector_bytes, "FACTOR": factor}
    exec(TEXT.format(name=name, body=body), names)
    return tuple(names[each] for each in ("doubled", "scaled", name))


def code(machine: Machine, which: tuple[Callable[..., Any], ...]) -> bytes:
    return compile_kernel(which, machine.target, machine.computed, machine.cpu, "kernel")


@on_every_target
def test_a_function_of_two_kernels_is_lowered_once(machine: Machine, lowered: list[str]) -> None:
    code(machine, functions(machine))
    code(machine, functions(machine, "other", f"{SAME} + 1.0"))
    assert lowered == ["doubled", "scaled", "kernel", "other"]


@on_every_target
def test_a_kernel_is_the_same_whatever_was_compiled_before(machine: Machine, kept: Kept) -> None:
    first = code(machine, functions(machine))
    code(machine, functions(machine, "other", "doubled(load(at))"))
    assert code(machine, functions(machine)) == first
    kept.pieces.clear()
    code(machine, functions(machine, "other", "doubled(load(at))"))
    assert code(machine, functions(machine)) == first


@on_every_target
@pytest.mark.parametrize(
    "change",
    [{"factor": 5.0}, {"factor": 3}, {"body": f"{SAME} + 2.0"}],
    ids=["a constant of a callee", "its type", "a constant of its own"],
)
def test_what_reads_another_constant_is_another(
    machine: Machine, lowered: list[str], change: dict[str, Any]
) -> None:
    before = code(machine, functions(machine))
    del lowered[:]
    after = code(machine, functions(machine, **change))
    assert lowered[-1] == "kernel" and "doubled" not in lowered
    assert after != before


def test_what_is_for_another_target_or_type_is_another(lowered: list[str]) -> None:
    machines = [machine_of(target) for target in OURS]
    for machine in (*machines, *(replace(each, computed="float64") for each in machines)):
        del lowered[:]
        code(machine, functions(machine))
        assert lowered == ["doubled", "scaled", "kernel"]


def test_the_piece_that_was_used_longest_ago_goes_first(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST_KEPT", 2)
    made = {name: Piece(name, {}, {}, ()) for name in "abc"}
    kept.keep("a", made["a"])
    kept.keep("b", made["b"])
    assert kept.find("a") is made["a"]
    kept.keep("c", made["c"])
    assert [kept.find(name) for name in "abc"] == [made["a"], None, made["c"]]
