"""Who evaluates candidates: processes of this machine, or the workers of any executor.

Both are asked for the same two things, and answer with futures. Of measurements one runs at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from functools import cache
from queue import SimpleQueue
from threading import Lock, Timer
from time import monotonic
from typing import Any, Protocol, TypeAlias

from ..base.errors import UnsupportedError
from ..base.settings import allowed_cpus
from ..pipeline import circumstances
from ..runtime.host import host_target
from ..schedule.tuned import Circumstances
from ..spec.load import load_spec
from .isolated import GRACE_SECONDS, Isolation, Limits, Reply, reply_of
from .quiet import shared_out
from .verdict import Verdict

Json: TypeAlias = Mapping[str, Any]

SHORTEST_SECONDS = 0.2  # that anything is begun in
CHECK = "mhagen.tuning.checking:check"
MEASURE = "mhagen.tuning.timing:measure"
WORKER_SECONDS = 60.0  # that the worker of an executor may take to be there
IDLE_SECONDS = 60.0  # after which a worker's host is ended: it holds some hundred MB
NO_ANSWER = Reply(Verdict.HUNG, detail="no worker has answered in time", was_cut_short=True)
NO_TIME = Reply(Verdict.HUNG, detail="there was no time", was_cut_short=True)


@dataclass(frozen=True)
class Answer:
    """A reply, and under which circumstances it came about: those of the worker."""

    reply: Reply
    circumstances: Circumstances


class Evaluator(Protocol):
    """What a campaign needs. `until`, by the monotonic clock, everything has to have ended.

    Members   is_quiet_while_checking: may checks go on while something is timed?
    """

    jobs: int
    is_quiet_while_checking: bool

    def describe(self, spec: Json) -> Circumstances: ...

    def check(self, request: Json, limits: Limits, until: float) -> Future[Answer]: ...

    def measure(self, request: Json, limits: Limits, until: float) -> Future[Answer]: ...

    def close(self) -> None: ...


class LocalEvaluator:
    """Processes here: `jobs` that check, and one that measures, apart from them if there are CPUs enough."""

    def __init__(
        self,
        spec: Json,
        *,
        threads: int,
        jobs: int | None = None,
        works: tuple[str, str] = (CHECK, MEASURE),
        path: tuple[str, ...] = (),
    ) -> None:
        measuring, checking = shared_out(threads)
        self.is_quiet_while_checking = bool(checking)
        self.jobs = jobs or max(1, len(checking) or allowed_cpus())
        self._circumstances = circumstances_here(spec)
        check, measure = works
        self._hosts = [Isolation(check, checking, path) for _ in range(self.jobs)]
        self._idle: SimpleQueue[Isolation] = SimpleQueue()
        for host in self._hosts:
            self._idle.put(host)
        self._measurer = Isolation(measure, measuring, path)
        self._checks = ThreadPoolExecutor(self.jobs, "check")
        self._measurements = ThreadPoolExecutor(1, "measure")
        self._measurements.submit(self._measurer.start)  # meanwhile the first candidate is compiled

    def describe(self, spec: Json) -> Circumstances:
        return self._circumstances

    def check(self, request: Json, limits: Limits, until: float) -> Future[Answer]:
        return self._checks.submit(self._check, request, limits, until)

    def measure(self, request: Json, limits: Limits, until: float) -> Future[Answer]:
        return self._measurements.submit(self._answer, self._measurer, request, limits, until)

    def _check(self, request: Json, limits: Limits, until: float) -> Answer:
        host = self._idle.get()
        try:
            return self._answer(host, request, limits, until)
        finally:
            self._idle.put(host)

    def _answer(self, host: Isolation, request: Json, limits: Limits, until: float) -> Answer:
        return Answer(run_until(host, request, limits, until), self._circumstances)

    def close(self) -> None:
        """End all processes; what has not begun is not done."""
        for executor in (self._checks, self._measurements):
            executor.shutdown(wait=False, cancel_futures=True)
        for host in (*self._hosts, self._measurer):
            host.close()


def run_until(host: Isolation, request: Json, limits: Limits, until: float) -> Reply:
    """Do a piece of work, if there is time, as long as there is."""
    left = until - monotonic()
    is_ready = left > SHORTEST_SECONDS and host.start(left)
    left = until - monotonic()
    if not is_ready or left < SHORTEST_SECONDS:
        return NO_TIME
    reply = host.run(request, replace(limits, seconds=min(left, limits.seconds)))
    is_cut_short = reply.verdict is Verdict.HUNG and left < limits.seconds
    return replace(reply, was_cut_short=reply.was_cut_short or is_cut_short)


class RemoteEvaluator:
    """The workers of an executor: of dask.distributed, of mpi4py.futures, or of Python itself.

    Needs   workers alike that have this version, one on a machine: what else runs there is measured too
    """

    is_quiet_while_checking = False

    def __init__(
        self,
        executor: Executor,
        jobs: int = 1,
        works: tuple[str, str] = (CHECK, MEASURE),
        path: tuple[str, ...] = (),
    ) -> None:
        self.executor, self.jobs, self.works, self.path = executor, jobs, works, path
        self._circumstances: Circumstances | None = None
        # What waits, waits here: an executor would take it all, and a worker begin what is no longer wanted.
        self._handing_out = ThreadPoolExecutor(jobs, "remote")

    def describe(self, spec: Json) -> Circumstances:
        """Raises   UnsupportedError where no worker answers"""
        future = self.executor.submit(describe, spec)
        try:
            self._circumstances = Circumstances(**future.result(WORKER_SECONDS))
        except TimeoutError:
            future.cancel()
            raise UnsupportedError(
                f"no worker of the executor has answered in {WORKER_SECONDS:g} s"
            ) from None
        return self._circumstances

    def check(self, request: Json, limits: Limits, until: float) -> Future[Answer]:
        return self._handing_out.submit(self._asked, self.works[0], request, limits, until)

    def measure(self, request: Json, limits: Limits, until: float) -> Future[Answer]:
        return self._handing_out.submit(self._asked, self.works[1], request, limits, until)

    def _asked(self, work: str, request: Json, limits: Limits, until: float) -> Answer:
        here = self._circumstances or self.describe(request["spec"])
        # Clocks of other machines show other times: seconds are sent, as many as there are now.
        seconds = until - monotonic()
        if seconds < SHORTEST_SECONDS:
            return Answer(NO_TIME, here)
        question = {
            "work": work,
            "path": self.path,
            "request": request,
            "limits": vars(limits),
            "seconds": seconds,
        }
        future = self.executor.submit(evaluate, question)
        wait([future], seconds + GRACE_SECONDS)
        if not future.done():
            future.cancel()
            return Answer(NO_ANSWER, here)
        return answer_of(future.result())

    def close(self) -> None:
        """Hand nothing out any more. The executor is the caller's; hosts that idle end of themselves."""
        self._handing_out.shutdown(wait=False, cancel_futures=True)


def answer_of(document: Json) -> Answer:
    times = {name: document[name] for name in ("seconds", "was_cut_short")}
    reply = replace(reply_of(document["reply"]), **times)
    return Answer(reply, Circumstances(**document["circumstances"]))


def evaluate(question: Json) -> dict[str, Any]:
    """Check or measure in a process of its own, wherever this runs: from plain values to plain values."""
    until = monotonic() + question["seconds"]
    host = own_host(question["work"], tuple(question["path"]))
    reply = host.run(question["request"], Limits(**question["limits"]), until)
    return {
        "reply": {"verdict": reply.verdict.value, "content": reply.content, "detail": reply.detail},
        "seconds": reply.seconds,
        "was_cut_short": reply.was_cut_short,
        "circumstances": asdict(circumstances_here(question["request"]["spec"])),
    }


def describe(spec: Json) -> dict[str, str]:
    """The circumstances of whatever machine this runs on."""
    return asdict(circumstances_here(spec))


class OwnHost:
    """The one host for such work in this process. It is ended when nothing was asked for a while."""

    def __init__(self, work: str, path: tuple[str, ...]) -> None:
        self.isolation, self._lock, self._asked = Isolation(work, path=path), Lock(), 0

    def run(self, request: Json, limits: Limits, until: float) -> Reply:
        """Do a piece of work, in turn with others that are asked for."""
        if not self._lock.acquire(timeout=max(0.0, until - monotonic())):
            return NO_TIME
        try:
            return run_until(self.isolation, request, limits, until)
        finally:
            self._asked += 1
            self._end_when_idle(self._asked)
            self._lock.release()

    def _end_when_idle(self, asked: int) -> None:
        expiry = Timer(IDLE_SECONDS, self._expire, (asked,))
        expiry.daemon = True
        expiry.start()

    def _expire(self, asked: int) -> None:
        with self._lock:
            if asked == self._asked:
                self.isolation.close()


@cache
def own_host(work: str, path: tuple[str, ...]) -> OwnHost:
    return OwnHost(work, path)


def circumstances_here(spec: Json) -> Circumstances:
    """Those of this process.

    Raises   SpecError, UnsupportedError
    """
    loaded = load_spec(spec)
    return circumstances(loaded, host_target(loaded.dtype.value))
