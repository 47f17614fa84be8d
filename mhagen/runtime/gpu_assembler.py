"""PTX to a cubin, the machine code of one class of GPU: by NVIDIA's ptxas, which needs no GPU.

Where there is neither ptxas nor a cubin in the cache, the driver does the same with the PTX when a kernel is
loaded, in each process anew.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import tempfile
import warnings
from functools import cache
from pathlib import Path

WHEEL = Path(sysconfig.get_paths()["purelib"], "nvidia", "cu13", "bin")
PATIENCE_SECONDS = 120.0  # long kernels take one or two


class AssemblerWarning(RuntimeWarning):
    """ptxas is there and of no use. The driver assembles kernels instead; results are the same."""


@cache
def ptxas() -> str | None:
    """The program: that of the wheel nvidia-cuda-nvcc, or another one on the PATH."""
    of_wheel = WHEEL / "ptxas"
    return str(of_wheel) if of_wheel.is_file() else shutil.which("ptxas")


@cache
def ptxas_version() -> str:
    """What it says of itself; empty where there is none."""
    program = ptxas()
    if program is None:
        return ""
    try:
        return _run(program, "--version").splitlines()[-1]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        warnings.warn(f"{program} does not run: {error}", AssemblerWarning, stacklevel=2)
        return ""


def assembled(ptx: bytes, architecture: str) -> bytes | None:
    """The cubin of a module for GPUs of that architecture ("sm_90a"); None where there is no ptxas.

    A ptxas that refuses, as one does that is older than the PTX, is one AssemblerWarning.
    """
    program = ptxas()
    if program is None or not ptxas_version():
        return None
    with tempfile.TemporaryDirectory(prefix="mhagen-") as folder:
        source, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_bytes(ptx)
        try:
            _run(program, f"-arch={architecture}", str(source), "-o", str(cubin))
            return cubin.read_bytes()
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            warnings.warn(
                f"{program} cannot assemble for {architecture}: {said}", AssemblerWarning, stacklevel=2
            )
            return None


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS)
    return done.stdout
