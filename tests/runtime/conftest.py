"""Object code small enough to look at, places for a cache, and what one process sees of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from mhagen.runtime.obtain import obtain_function
from mhagen.runtime.store import CacheWarning, Store

NOTE = "add avx512 znver4"
# Writes a + b to an address.
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


@pytest.fixture
def directory() -> Iterator[Path]:
    """A place that also a user without privileges can reach."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place / "cache"
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def plain_user(directory: Path) -> Iterator[None]:
    """Without privileges, for which modes mean nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(directory.parent, 65534, -1)
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("this system has no user 65534")
    yield
    os.seteuid(0)


class Visit:
    """What one process sees that wants the kernel: its own store, and whether it had to build."""

    def __init__(self, key: str, directory: Path, code: bytes) -> None:
        self.builds = 0
        self.result = np.zeros(1, np.int64)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function = obtain_function(Store(directory), key, NOTE, "add", 3, lambda: self.build(code))
        self.warnings = [str(warning.message) for warning in caught]
        assert all(warning.category is CacheWarning for warning in caught)
        function(self.result.ctypes.data, 2, 40)
        assert self.result[0] == 42

    def build(self, code: bytes) -> bytes:
        self.builds += 1
        return code


@pytest.fixture
def visit(add_code: bytes) -> Callable[[str, Path], Visit]:
    return lambda key, directory: Visit(key, directory, add_code)
