"""What makes times of this machine say less: told before they are measured."""

from __future__ import annotations

from collections.abc import Iterable

from ..base import settings
from ..tuning.workers import busy
from .output import warn

TIMES_SAY_LITTLE = "the times below say little"


def warn_if_disturbed(threads: Iterable[int] = (), consequence: str = TIMES_SAY_LITTLE) -> None:
    """Warn of other programs, and of more threads than this process has CPUs for."""
    if (load := busy()) is not None:
        warn(f"other programs keep this machine busy (load {load:.1f}): {consequence}")
    allowed, most = settings.allowed_cpus(), max(threads, default=1)
    if most > allowed:
        cpus = "1 CPU" if allowed == 1 else f"{allowed} CPUs"
        warn(f"{most} threads take turns on {cpus}: {consequence}")
