"""What ptxas says of a kernel while it assembles it: registers, spills, shared memory. No GPU is needed."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import UnsupportedError
from ..runtime.gpu_assembler import PATIENCE_SECONDS, ptxas, ptxas_version

REMEDY = (
    "pip install 'nvidia-cuda-nvcc==13.0.*', or all that kernels for GPUs need: pip install 'mhagen[cuda]'"
)
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
FIGURES = re.compile(r"(\d+) bytes (stack frame|spill stores|spill loads)")
SERIALIZED = "wgmma.mma_async instructions are serialized"  # they wait for each other, and nothing overlaps


@dataclass(frozen=True)
class Figures:
    """What ptxas made of a module, the worst of its kernels counting.

    Units    registers of a thread; spilled_bytes of a thread, stored and loaded; shared_bytes of a block,
             beside those that are asked for at the launch
    """

    registers: int
    stack_bytes: int
    spilled_bytes: int
    shared_bytes: int
    is_serialized: bool


def figures_in(log: str) -> Figures:
    """What is said in the output of `ptxas -v`."""
    worst: Counter[str] = Counter()
    for count, what in FIGURES.findall(log):
        worst[what] = max(worst[what], int(count))
    return Figures(
        registers=max(map(int, USED.findall(log)), default=0),
        stack_bytes=worst["stack frame"],
        spilled_bytes=worst["spill stores"] + worst["spill loads"],
        shared_bytes=max(map(int, SHARED.findall(log)), default=0),
        is_serialized=SERIALIZED in log,
    )


def require_ptxas() -> str:
    """The program.

    Raises   UnsupportedError where there is none that runs
    """
    program = ptxas()
    if program is None or not ptxas_version():
        raise UnsupportedError(f"schedules of GPUs are sifted by ptxas, which is not here: {REMEDY}")
    return program


def figures_of(ptx: bytes, architecture: str) -> Figures:
    """Assemble a module for GPUs of that architecture ("sm_90a"), and say what it takes.

    Raises   UnsupportedError where there is no ptxas, or it refuses, or takes too long
    """
    program = require_ptxas()
    with tempfile.TemporaryDirectory(prefix="mhagen-") as folder:
        source, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_bytes(ptx)
        command = (program, f"-arch={architecture}", "-v", str(source), "-o", str(cubin))
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            raise UnsupportedError(f"ptxas refuses it: {said[0] if said else error}") from error
    return figures_in(done.stdout + done.stderr)
