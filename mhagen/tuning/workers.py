"""How many threads kernels run on here, and why that many."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..base import settings
from ..base.errors import InputError
from ..runtime.threads import thread_count

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # two numbers of microseconds: CPU time, of each period
# The modules that hold Numba's threading layers; importing one loads its library, and starts no thread.
LAYER_MODULES = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}


@dataclass(frozen=True)
class Workers:
    """Threads and what limits them.

    `used` is None if NUMBA_NUM_THREADS is not a number. `quota` is how many CPUs' time a container may take,
    `load` how many programs have wanted a CPU in the last minute; None where that is not known.
    """

    used: int | None
    asked: str | None
    cpus: int
    allowed: int
    quota: float | None
    load: float | None
    numba_layer: str | None

    @property
    def reason(self) -> str:
        """Why kernels use as many threads as they do."""
        if self.asked is not None:
            return f"{settings.THREADS.name} is {self.asked[:32]}"
        if self.allowed < self.cpus:
            return f"this process may run on {self.allowed} of {self.cpus} CPUs"
        return "one for each CPU"

    @property
    def machine_is_busy(self) -> bool:
        """Whether others take so much time that measurements say little."""
        return self.load is not None and self.load > max(1.0, 0.75 * self.allowed)


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
        load=load(),
        numba_layer=numba_layer(),
    )


def cpu_quota(file: Path = QUOTA) -> float | None:
    """How many CPUs' time the processes of this container may take together; None for no limit."""
    try:
        time, period = file.read_text(encoding="ascii").split()
        return None if time == "max" else int(time) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def load() -> float | None:
    return None if sys.platform == "win32" else os.getloadavg()[0]


def numba_layer() -> str | None:
    """The threading layer that Numba's own parallel code would load here; None if there is none."""
    from numba import config

    chosen, order = str(config.THREADING_LAYER), config.THREADING_LAYER_PRIORITY  # type: ignore[attr-defined]
    for layer in (chosen,) if chosen in LAYER_MODULES else order:
        try:
            import_module(f"numba.np.ufunc.{LAYER_MODULES[layer]}")
        except ImportError:
            continue
        return str(layer)
    return None
