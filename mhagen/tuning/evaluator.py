"""Who evaluates candidates: processes of this machine, or the workers of any executor.

Both are asked for the same two things, and answer with futures. Of measurements one runs at a time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from queue import SimpleQueue
from threading import Lock
from time import monotonic
from typing import Any, Protocol, TypeAlias

from ..base.settings import allowed_cpus
from ..pipeline import circumstances
from ..runtime.host import host_target
from ..schedule.tuned import Circumstances
from ..spec.load import load_spec
from .isolated import Isolation, Limits, Reply, reply_of
from .verdict import Verdict

Json: TypeAlias = Mapping[str, Any]

SHORTEST_SECONDS = 0.2  # that anything is begun in
CHECK = "mhagen.tuning.checking:check"
MEASURE = "mhagen.tuning.timing:measure"


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
    if until - monotonic() > SHORTEST_SECONDS:
        host.start()
    left = until - monotonic()
    if left < SHORTEST_SECONDS:
        return Reply(Verdict.HUNG, detail="there was no time", was_cut_short=True)
    reply = host.run(request, replace(limits, seconds=min(left, limits.seconds)))
    return replace(reply, was_cut_short=reply.verdict is Verdict.HUNG and left < limits.seconds)


def shared_out(threads: int) -> tuple[frozenset[int], frozenset[int]]:
    """The CPUs that measure and those that check; none of either where they cannot be told apart."""
    if sys.platform != "linux":
        return frozenset(), frozenset()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) <= threads:
        return frozenset(), frozenset()
    return frozenset(cpus[:threads]), frozenset(cpus[threads:])


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

    def describe(self, spec: Json) -> Circumstances:
        return Circumstances(**self.executor.submit(describe, spec).result())

    def check(self, request: Json, limits: Limits, until: float) -> Future[Answer]:
        return self._asked(self.works[0], request, limits, until)

    def measure(self, request: Json, limits: Limits, until: float) -> Future[Answer]:
        return self._asked(self.works[1], request, limits, until)

    def _asked(self, work: str, request: Json, limits: Limits, until: float) -> Future[Answer]:
        # Clocks of other machines show other times: seconds are sent, as many as there are now.
        question = {
            "work": work,
            "path": self.path,
            "request": request,
            "limits": vars(limits),
            "seconds": until - monotonic(),
        }
        answer: Future[Answer] = Future()
        self.executor.submit(evaluate, question).add_done_callback(partial(pass_on, answer))
        return answer

    def close(self) -> None:
        """Nothing: the executor is the caller's."""


def pass_on(answer: Future[Answer], future: Future[dict[str, Any]]) -> None:
    """Of the executor's future to ours; what the executor raises is raised where the answer is asked for."""
    if future.cancelled():
        answer.cancel()
    elif (error := future.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(answer_of(future.result()))


def answer_of(document: Json) -> Answer:
    times = {name: document[name] for name in ("seconds", "was_cut_short")}
    reply = replace(reply_of(document["reply"]), **times)
    return Answer(reply, Circumstances(**document["circumstances"]))


def evaluate(question: Json) -> dict[str, Any]:
    """Check or measure in a process of its own, wherever this runs: from plain values to plain values."""
    host, lock = own_host(question["work"], tuple(question["path"]))
    with lock:
        until = monotonic() + question["seconds"]
        reply = run_until(host, question["request"], Limits(**question["limits"]), until)
    return {
        "reply": {"verdict": reply.verdict.value, "content": reply.content, "detail": reply.detail},
        "seconds": reply.seconds,
        "was_cut_short": reply.was_cut_short,
        "circumstances": asdict(circumstances_here(question["request"]["spec"])),
    }


def describe(spec: Json) -> dict[str, str]:
    """The circumstances of whatever machine this runs on."""
    return asdict(circumstances_here(spec))


@cache
def own_host(work: str, path: tuple[str, ...]) -> tuple[Isolation, Lock]:
    """The one host for such work in this process."""
    return Isolation(work, path=path), Lock()


def circumstances_here(spec: Json) -> Circumstances:
    """Those of this process.

    Raises   SpecError, UnsupportedError
    """
    loaded = load_spec(spec)
    return circumstances(loaded, host_target(loaded.dtype.value))
