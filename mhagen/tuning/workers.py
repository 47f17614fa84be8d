"""How many threads kernels run on here, and why that many."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..base import settings
from ..base.errors import InputError
from ..runtime.threads import thread_count
from .toolchain import threading_layer

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # two numbers of microseconds: CPU time, of each period
BUSY_SHARE = 0.75  # of the CPUs: one program that compiles or measures needs the rest


@dataclass(frozen=True)
class Workers:
    """Threads and what limits them.

    `used` is None if NUMBA_NUM_THREADS is not a number. `quota` is how many CPUs' time a container may take;
    `busy`, how many CPUs others ask for, if that is so many that measurements say little.
    """

    used: int | None
    asked: str | None
    cpus: int
    allowed: int
    quota: float | None
    busy: float | None
    numba_layer: str | None

    @property
    def reason(self) -> str:
        """Why kernels use as many threads as they do."""
        if self.asked is not None:
            return f"{settings.THREADS.name} is {self.asked[:32]}"
        if self.allowed < self.cpus:
            return f"this process may run on {self.allowed} of {self.cpus} CPUs"
        return "one for each CPU"


def these_workers() -> Workers:
    try:
        used = thread_count()
    except InputError:
        used = None
    return Workers(
        used=used,
        asked=settings.THREADS.text(),
        cpus=os.cpu_count() or 1,
        allowed=settings.allowed_cpus(),
        quota=cpu_quota(),
        busy=busy(),
        numba_layer=threading_layer(),
    )


def cpu_quota(file: Path = QUOTA) -> float | None:
    """How many CPUs' time the processes of this container may take together; None for no limit."""
    try:
        time, period = file.read_text(encoding="ascii").split()
        return None if time == "max" else int(time) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def busy() -> float | None:
    """How many CPUs programs have asked for in the last minute, if there are hardly so many; else None."""
    if sys.platform == "win32":
        return None
    load = os.getloadavg()[0]
    return load if load > max(1.0, BUSY_SHARE * settings.allowed_cpus()) else None
