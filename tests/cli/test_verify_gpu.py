"""`mhagen build --backend cuda --verify`, on a simulated GPU: its kernels are run by an interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gpu import simulated, simulated_numba
from gpu.machine import run as machine
from gpu.simulated import Gpu
from gpu.toolchain import needs_compiler

from mhagen.base.target import SM_80
from mhagen.tuning import cuda, gpu_bench, gpu_verification

from .conftest import Run, written

pytestmark = needs_compiler
TOML = 'name = "verified"\ndtype = "bfloat16"\n[heads]\nquery = 1\ndim = 64\n'
LENGTHS = [(3, 70), (1, 259)]  # by tiles, and by parts
KEYS = 18  # which parameter of a kernel says how many there are
ASKED = ("build", "verified.toml", "--backend", "cuda", "--arch", "sm_80", "--verify")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gpu:
    """In place of that of this machine; an interpreter has time for two calls of two lengths."""
    written(tmp_path / "verified.toml", TOML)
    found = simulated.installed(monkeypatch, capability=(8, 0))
    simulated_numba.installed(found, monkeypatch)
    monkeypatch.setattr(gpu_bench, "gpu_of_this_machine", lambda: SM_80)
    monkeypatch.setattr(gpu_bench, "this_cuda", lambda: cuda.Cuda("13.0", (cuda.Gpu("None", "8.0"),), ""))
    monkeypatch.setattr(gpu_verification, "lengths", lambda source: LENGTHS)
    monkeypatch.setattr(gpu_verification, "CALLS", 1)
    return found


def test_kernels_are_compared_and_timed_with_arrays_and_events_of_numba(mhagen: Run, gpu: Gpu) -> None:
    said = mhagen(*ASKED, "--json")
    assert said.code == 0, said.err
    cases = said.document["specs"][0]["cases"]
    assert [(case["queries"], case["keys"]) for case in cases] == LENGTHS
    assert [case["seconds"] for case in cases] == [1e-3, 2e-3], "of tiles one kernel, and of parts two"
    assert all(0 < case["error"] < case["allowed"] for case in cases)


def test_a_kernel_that_is_wrong_is_not_written(
    mhagen: Run, gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = machine.launch

    def leave_out_a_key(program: Any, how: Any, arguments: tuple[int, ...], memory: Any) -> Any:
        count = arguments[KEYS] - 1
        return run(program, how, (*arguments[:KEYS], count, *arguments[KEYS + 1 :]), memory)

    monkeypatch.setattr(machine, "launch", leave_out_a_key)
    said = mhagen(*ASKED)
    assert said.code == 1
    assert "verified differs from the reference" in said.err
    assert not list(tmp_path.rglob("*.py"))
