"""Makes os.fork() wait for LLVM.

A child forked while another thread compiles would find the compiler's locks taken by a thread that it does
not have, and hang at its first use of them (8 of 10 trials with Numba's). So the locks are taken around the
fork, which waits for a compilation to end.
Locks of our own that are held while something is compiled are OwnLocks, which a child has anew.
Processes started by spawn or forkserver need none of this.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from weakref import WeakSet

_taken = threading.local()


class OwnLock:
    """A lock that is free in a forked child, whichever other thread of the parent held it."""

    def __init__(self) -> None:
        self._lock, self._holder = threading.Lock(), 0
        _own_locks.add(self)

    def begin_child(self) -> None:
        """No thread but the one that has forked is there to give it back."""
        if self._holder != threading.get_ident():
            self._lock, self._holder = threading.Lock(), 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *raised: object) -> None:
        self._holder = 0
        self._lock.release()


_own_locks: WeakSet[OwnLock] = WeakSet()


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


def _begin_child() -> None:
    _give_back()
    for lock in tuple(_own_locks):
        lock.begin_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_give_back, after_in_child=_begin_child)
