"""A lock between processes: with patience, and absent without complaint where files cannot be locked."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PAUSE_SECONDS = 0.02


@contextmanager
def hold(path: Path, patience_seconds: float) -> Iterator[bool]:
    """Hold the lock file; yields False, and goes on, where that was not possible in time.

    The lock dies with its process. Two threads of one process exclude each other too.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        yield False
        return
    try:
        held = _acquire(descriptor, time.monotonic() + patience_seconds)
        try:
            yield held
        finally:
            if held:
                _release(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "win32":

    def _acquire(descriptor: int, deadline: float) -> bool:
        return False

    def _release(descriptor: int) -> None:
        return

else:

    def _acquire(descriptor: int, deadline: float) -> bool:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
            except OSError:  # a file system without locks
                return False
            time.sleep(PAUSE_SECONDS)

    def _release(descriptor: int) -> None:
        # Closing alone would leave the lock with a child forked meanwhile, which inherits the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
