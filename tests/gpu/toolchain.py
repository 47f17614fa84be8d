"""NVIDIA's tools where they are installed: pip install 'mhagen[cuda]'. None of them needs a GPU.

Tests say by marks which of them they need. Where one is missing they are skipped; where MHAGEN_NEEDS_CUDA is
set, as .ci/run does when it has installed them, they fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mhagen.runtime.gpu_assembler import WHEEL
from mhagen.tuning.ptxas import figures_in

COMPILER = "numba-cuda"
DEMAND = "MHAGEN_NEEDS_CUDA"
OPCODE = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)", re.MULTILINE)


def tool(name: str) -> str | None:
    """The program of this name: that of the wheels, or another one on the PATH."""
    of_wheel = WHEEL / name
    return str(of_wheel) if of_wheel.is_file() else shutil.which(name)


def is_here(name: str) -> bool:
    if name == COMPILER:
        return find_spec("numba_cuda") is not None and find_spec("nvidia") is not None
    return tool(name) is not None


def require(*names: str) -> None:
    """Skip the test that runs where one of these tools is missing, or fail it where all are demanded."""
    missing = [name for name in names if not is_here(name)]
    if missing:
        refuse = pytest.fail if os.environ.get(DEMAND) else pytest.skip
        refuse(f"needs {' and '.join(missing)}: pip install 'mhagen[cuda]'")


needs_compiler = pytest.mark.needs_tools(COMPILER)
needs_ptxas = pytest.mark.needs_tools("ptxas")
needs_sass = pytest.mark.needs_tools("ptxas", "cuobjdump")


@dataclass(frozen=True)
class Assembled:
    """What ptxas made of a module, the worst of its kernels counting."""

    registers: int
    stack_bytes: int
    spilled_bytes: int
    cubin: Path
    log: str

    def sass(self) -> str:
        """The machine code as text."""
        cuobjdump = tool("cuobjdump")
        assert cuobjdump is not None
        done = subprocess.run(
            [cuobjdump, "--dump-sass", self.cubin], capture_output=True, text=True, check=True
        )
        return done.stdout

    def opcodes(self) -> Counter[str]:
        """How often each machine instruction stands in it, by the first part of its name."""
        return Counter(name.partition(".")[0] for name in OPCODE.findall(self.sass()))


def assemble(text: str, arch: str, folder: Path) -> Assembled:
    """Assemble a module; an AssertionError says what ptxas has against it."""
    ptxas = tool("ptxas")
    assert ptxas is not None
    source, cubin = folder / "kernel.ptx", folder / "kernel.cubin"
    source.write_text(text)
    command = [ptxas, f"-arch={arch}", "-v", source, "-o", cubin]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    figures = figures_in(log)
    return Assembled(figures.registers, figures.stack_bytes, figures.spilled_bytes, cubin, log)


def compile_to_ptx(
    kernel: Callable[..., Any], signature: Any, *, threads: int, capability: tuple[Any, ...]
) -> str:
    """The PTX of a kernel, for a capability such as (8, 0) or (9, 0, "a")."""
    from numba import cuda

    from mhagen.runtime import ptx_calls  # noqa: F401  instructions become callable

    text, _ = cuda.compile(
        kernel, signature, cc=capability, device=False, abi="numba", launch_bounds=(threads, 1)
    )
    assert isinstance(text, str)
    return text
