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


def test_without_ptxas_the_driver_gets_the_ptx(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_assembler, "ptxas", lambda: None)
    assert kernel.image((8, 0)) == kernel.code()


def test_a_ptxas_that_refuses_is_told_and_the_driver_gets_the_ptx(
    kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ptxas"
    program.write_text('#!/bin/sh\ntest "$1" = --version && echo V11 && exit\necho too new >&2\nexit 1\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(gpu_assembler, "ptxas", lambda: str(program))
    with pytest.warns(AssemblerWarning, match="sm_80: too new"):
        assert kernel.image((8, 0)) == kernel.code()
