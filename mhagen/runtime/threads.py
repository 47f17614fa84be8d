"""The threads that run kernels: persistent, asleep between calls, each making one foreign call at a time.

No threading layer of Numba's is used. Its workqueue aborts the process when two Python threads call at once,
and OpenMP kills a child forked after first use; plain Python threads do neither.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from queue import SimpleQueue

from ..base import settings
from .placement import Apart

Task = Callable[[int], object]


class _Errand:
    """One call of a task, offered to one worker; its caller may take it back until the worker has begun.

    Every step can be repeated after an interrupt and then does nothing new.
    """

    __slots__ = ("done", "error", "gate", "index", "owner", "task")

    def __init__(self, task: Task, index: int) -> None:
        self.task: Task | None = task
        self.index = index
        self.owner: dict[str, str] = {}
        self.error: BaseException | None = None
        self.done = False
        self.gate = threading.Lock()
        self.gate.acquire()

    def is_for(self, taker: str) -> bool:
        # setdefault is atomic, and unlike a lock it gives the same answer when it is asked again.
        return self.owner.setdefault("owner", taker) is taker

    def run(self) -> None:
        task = self.task
        if task is None or not self.is_for("worker"):
            return
        try:
            task(self.index)
        except BaseException as error:
            self.error = error
        self.task = task = None  # it holds the caller's arrays: not a moment longer than needed
        self.done = True
        self.gate.release()

    def end(self) -> None:
        """Take the errand back, or sleep until the worker that has begun it has finished."""
        if self.is_for("caller"):
            self.task = None
            return
        while not self.done:
            self.gate.acquire()


def _serve(inbox: SimpleQueue[_Errand]) -> None:
    while True:
        errand = inbox.get()
        errand.run()
        del errand


class Team:
    """Persistent worker threads that share one task at a time with their caller.

    A task claims its work (kernels do so with an atomic counter), so any number of its calls do the whole.
    Callers from several threads at once do not wait for each other: each offers its task to the same workers,
    who serve in order of arrival, and goes on alone while they are busy.
    A forked child has no workers at first and makes its own.
    """

    def __init__(self) -> None:
        self._forget_workers()

    def _forget_workers(self) -> None:
        self._process = os.getpid()
        self._growing = threading.Lock()
        self._inboxes: list[SimpleQueue[_Errand]] = []
        self._numbers: list[int] = []  # of the workers, as the system counts threads
        self._apart = Apart()

    def run(self, workers: int, task: Task) -> None:
        """Call task(0) here and task(1), task(2) ... on other threads, until all that have begun have ended.

        A worker that has not woken up when task(0) returns is called off: by then all work has been claimed,
        and waiting would only add its wake-up, a whole time slice on a busy machine, to a short call.

        Raises   what a task raised, the caller's own first; but only after the others have ended, because
                 they write to the caller's arrays. An interrupt waits for that too, unless it comes in the
                 moment between task(0) and that wait, or right behind another one
        """
        if workers <= 1:
            task(0)
            return
        inboxes = self._workers(workers - 1)
        self._apart.keep(self._numbers[: workers - 1])
        errands = [_Errand(task, index) for index in range(1, len(inboxes) + 1)]
        try:
            for inbox, errand in zip(inboxes, errands, strict=True):
                inbox.put(errand)
            task(0)
        finally:
            interrupt = _end(errands)
        for failure in (interrupt, *(errand.error for errand in errands)):
            if failure is not None:
                raise failure

    def _workers(self, count: int) -> list[SimpleQueue[_Errand]]:
        if self._process != os.getpid():  # a forked child: the threads have stayed behind in the parent
            self._forget_workers()
        if len(self._inboxes) < count:
            with self._growing:
                self._grow(count)
        return self._inboxes[:count]

    def _grow(self, count: int) -> None:
        while len(self._inboxes) < count:
            inbox: SimpleQueue[_Errand] = SimpleQueue()
            worker = threading.Thread(target=_serve, args=(inbox,), name="mhagen worker", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # no more threads to be had: those we have do the whole, later
                return
            self._inboxes.append(inbox)
            if worker.native_id is not None:
                self._numbers.append(worker.native_id)


def _end(errands: list[_Errand]) -> BaseException | None:
    interrupt: BaseException | None = None
    while True:
        try:
            for errand in errands:
                errand.end()
            return interrupt
        except BaseException as error:  # raised by a signal handler: most likely KeyboardInterrupt
            interrupt = error


TEAM = Team()
_CHOSEN: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let calls inside, of this Python thread, use so many threads, whatever numba and settings say."""
    before = _CHOSEN.set(max(1, count))
    try:
        yield
    finally:
        _CHOSEN.reset(before)


def thread_count() -> int:
    """How many threads a call may use: as `threads` or Numba's own mask says, else what settings say.

    Numba is neither imported for this, nor are its threads launched.
    """
    chosen = _CHOSEN.get()
    if chosen is not None:
        return chosen
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if parallel is not None and getattr(parallel, "_is_initialized", False):
        return int(parallel.get_num_threads())
    return settings.thread_count()
