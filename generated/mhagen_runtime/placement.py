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
        self._kept: tuple[int, int] | None = None  # off which processor, and how many of them

    def keep(self, threads: Sequence[int]) -> None:
        """Called before they are woken, with their numbers in the system.

        It takes a microsecond for each where the caller has come to another processor. Several callers
        at once have the same threads moved to and fro, to where none of them is slower than before.
        """
        if CURRENT_PROCESSOR is None:
            return
        here = (CURRENT_PROCESSOR(), len(threads))
        if here == self._kept:
            return
        self._kept = here
        others = os.sched_getaffinity(0) - {here[0]}
        if not others:  # there is only this one
            return
        for thread in threads:
            with suppress(OSError):  # a sandbox may forbid it, and a thread may have ended
                os.sched_setaffinity(thread, others)
