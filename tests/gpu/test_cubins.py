"""Machine code of kernels for GPUs: made without one, kept, and loaded without a compiler."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from gpu.attention import module_of, spec_of
from gpu.toolchain import needs_compiler, needs_ptxas
from mhagen.runtime import gpu_assembler, gpu_launch
from mhagen.runtime.gpu_assembler import AssemblerWarning, ptxas_version

pytestmark = [needs_compiler, needs_ptxas]
ELF = b"\x7fELF"
WORKING = gpu_assembler.ptxas()
SPEC = spec_of(mask={"keep": "k <= q"})


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The smallest one, and a cache of its own."""
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "cache"))
    ptxas_version.cache_clear()
    yield module_of(SPEC).MERGING
    ptxas_version.cache_clear()


def refuse(*arguments: Any) -> Any:
    raise AssertionError("nothing is compiled")


def test_a_cubin_is_made_once_for_each_class_of_gpu(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = kernel.image((8, 0)), kernel.image((9, 0))
    assert first[:4] == other[:4] == ELF
    assert first != other
    monkeypatch.setattr(gpu_launch, "assembled", refuse)
    monkeypatch.setattr(gpu_launch.GpuKernel, "code", refuse)
    assert kernel.image((8, 0)) == first
    assert kernel.image((9, 0)) == other


def without_ptxas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_assembler, "ptxas", lambda: None)
    ptxas_version.cache_clear()


def as_built_anew(kernel: Any) -> Any:
    """The same kernel as another process has it."""
    return kernel.with_constants()


def test_without_ptxas_a_cubin_in_the_cache_is_loaded_and_nothing_is_compiled(
    kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cubin = kernel.image((8, 0))
    without_ptxas(monkeypatch)
    monkeypatch.setattr(gpu_launch, "assembled", refuse)
    monkeypatch.setattr(gpu_launch.GpuKernel, "code", refuse)
    assert as_built_anew(kernel).image((8, 0)) == cubin


def test_each_ptxas_makes_a_cubin_of_its_own_and_the_last_serves_where_there_is_none(
    kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    monkeypatch.setattr(gpu_launch, "assembled", lambda code, architecture: made[-1])
    for version in ("V12", "V13", "V12"):
        monkeypatch.setattr(gpu_launch, "ptxas_version", lambda version=version: version)
        made.append(b"by " + version.encode())
        assert kernel.image((8, 0)) == made[-1]
    monkeypatch.setattr(gpu_launch, "ptxas_version", lambda: "")
    assert kernel.image((8, 0)) == b"by V13"


OTHERS = {
    "sources": ("compiler_identity", lambda: "another"),
    "versions of Numba": ("version", lambda package: "0.0"),
    "versions of its CUDA compiler": ("version_of", lambda package: "0.0"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_without_ptxas_a_cubin_of_others_is_not_used(
    kernel: Any, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    kernel.image((8, 0))
    without_ptxas(monkeypatch)
    monkeypatch.setattr(gpu_launch.GpuKernel, "code", lambda self: b"compiled now")
    assert as_built_anew(kernel).image((8, 0))[:4] == ELF
    assert as_built_anew(kernel).image((9, 0)) == b"compiled now", "it is for other GPUs"
    monkeypatch.setattr(gpu_launch, *OTHERS[other])
    assert as_built_anew(kernel).image((8, 0)) == b"compiled now"


def test_without_ptxas_and_a_cubin_the_driver_gets_the_ptx(
    kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ptxas(monkeypatch)
    assert kernel.image((8, 0)) == kernel.code()


def test_a_ptxas_that_refuses_is_told_and_the_driver_gets_the_ptx(
    kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a cubin that another one has made."""
    program = tmp_path / "ptxas"
    program.write_text('#!/bin/sh\ntest "$1" = --version && echo V11 && exit\necho too new >&2\nexit 1\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(gpu_assembler, "ptxas", lambda: str(program))
    with pytest.warns(AssemblerWarning, match="sm_80: too new"):
        assert kernel.image((8, 0)) == kernel.code()
    monkeypatch.setattr(gpu_assembler, "ptxas", lambda: WORKING)
    ptxas_version.cache_clear()
    cubin = kernel.image((8, 0))
    monkeypatch.setattr(gpu_assembler, "ptxas", lambda: str(program))
    ptxas_version.cache_clear()
    with pytest.warns(AssemblerWarning, match="sm_80: too new"):
        assert kernel.image((8, 0)) == cubin
