"""Object code small enough to look at: `add` writes a + b to an address."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import pytest

ADD = """
define void @add(i64 %out, i64 %a, i64 %b) {
  %sum = add i64 %a, %b
  %place = inttoptr i64 %out to ptr
  store i64 %sum, ptr %place
  ret void
}
"""


def assemble(text: str) -> bytes:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=3, codemodel="jitdefault", jit=True)
    code: bytes = machine.emit_object(llvm.parse_assembly(text))
    return code


@pytest.fixture(scope="session")
def add_code() -> bytes:
    return assemble(ADD)


@pytest.fixture(scope="session")
def assembled() -> Callable[[str], bytes]:
    return assemble


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a process of its own, without any of this one's state."""

    def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "always", "-c", script, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
