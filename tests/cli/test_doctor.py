"""`mhagen doctor`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mhagen.cli import doctor
from mhagen.runtime.host import host_target
from mhagen.tuning.cuda import Cuda, Gpu
from mhagen.tuning.machine import Machine, this_machine

from .conftest import Run


@pytest.fixture(scope="module")
def machine() -> Machine:
    """This machine, without what tests running beside this one do to it."""
    found = this_machine()
    return replace(found, workers=replace(found.workers, busy=None))


def shown(mhagen: Run, monkeypatch: pytest.MonkeyPatch, machine: Machine, *arguments: str):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(doctor, "this_machine", lambda: machine)
    return mhagen("doctor", *arguments)


def test_a_machine_is_told_in_full(mhagen: Run, monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    said = shown(mhagen, monkeypatch, machine)
    assert said.code == 0, said.err
    target = host_target()
    for told in (
        f"target: {target.name}, {target.lanes} float32 lanes",
        "threads     ",
        "mhagen's own threads; Numba's threading layers are not used",
        "float32 peak",
        "GFLOP/s on one thread",
        "read bandwidth",
        machine.keeping.directory,
        "CUDA",
        "numba ",
    ):
        assert told in said.out


def test_programs_get_the_same_facts(mhagen: Run, monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    facts = shown(mhagen, monkeypatch, machine, "--json").document
    assert facts["processor"]["target"]["lanes"] == host_target().lanes
    assert facts["limits"]["fma_peak"] > 1e9
    assert facts["versions"]["mhagen"] == facts["mhagen"]
    assert isinstance(facts["findings"], list)


def test_what_stops_kernels_fails_and_comes_with_a_remedy(
    mhagen: Run, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    said = shown(mhagen, monkeypatch, replace(machine, compiles=False, limits=None))
    assert said.code == 1
    assert "not measured" in said.out
    assert "error: NUMBA_DISABLE_JIT turns the compiler off" in said.err
    assert "to do: unset NUMBA_DISABLE_JIT" in said.err


def test_what_slows_kernels_is_a_warning(
    mhagen: Run, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    alone = replace(machine.workers, used=1, allowed=1, cpus=8)
    said = shown(mhagen, monkeypatch, replace(machine, workers=alone))
    assert said.code == 0
    assert "warning: this process may run on only one of 8 CPUs" in said.err


def test_gpus_are_told(mhagen: Run, monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    cuda = Cuda("13.0", (Gpu("NVIDIA H200", "9.0"),), "")
    said = shown(mhagen, monkeypatch, replace(machine, cuda=cuda))
    assert "NVIDIA H200, compute capability 9.0 (driver for CUDA 13.0)" in said.out


def test_what_compiles_for_gpus_is_told_and_what_to_install(
    mhagen: Run, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    monkeypatch.setattr(doctor, "ptxas_version", lambda: "cuda_13.0")
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    said = shown(mhagen, monkeypatch, machine)
    assert "numba-cuda: not installed, ptxas: cuda_13.0" in said.out
    assert "need both: pip install 'mhagen[cuda]'" in said.out
    found = shown(mhagen, monkeypatch, machine, "--json").document["gpu_tools"]
    assert found == {"numba-cuda": None, "ptxas": "cuda_13.0"}
