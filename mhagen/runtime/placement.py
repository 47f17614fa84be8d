"""On which processors threads run, where the system lets a process say.

A thread that is woken may be put behind the one that wakes it. Then both share one processor, and others
idle, until the scheduler sees it some milliseconds later. A call is over by then.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress


def processor_reader() -> Callable[[], int] | None:
    """What tells on which processor a thread runs, in a fraction of a microsecond; None if nothing does."""
    if sys.platform != "linux":
        return None
    with suppress(OSError, AttributeError):  # a C library without it: threads stay where they are put
        return ctypes.PyDLL(None).sched_getcpu
    return None


CURRENT_PROCESSOR = processor_reader()


class Apart:
    """Keeps threads off the processor of whoever wakes them; otherwise they run where that one may."""

    def __init__(self) -> None:
        self._places: dict[
            int, set[int]
        ] = {}  # the processors on which a thread may run, where that was said

    def keep(self, threads: Sequence[int]) -> None:
        """Called before they are woken, with their numbers in the system."""
        if CURRENT_PROCESSOR is None:
            return
        with suppress(
            OSError
        ):  # a sandbox may forbid it, there may be one processor: they stay where they are
            others = os.sched_getaffinity(0) - {CURRENT_PROCESSOR()}
            for thread in threads:
                if self._places.get(thread) != others:
                    os.sched_setaffinity(thread, others)
                    self._places[thread] = others
