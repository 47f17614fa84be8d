"""A first filter of schedules for GPUs, which needs none: what ptxas says of each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from ..base.settings import allowed_cpus
from ..base.target import Gpu
from ..schedule.gpu_space import GpuPlan
from ..schedule.gpu_written import plan_to_json
from .evaluator import run_until
from .isolated import Isolation, Json, Limits, Reply

CHECK = "mhagen.tuning.gpu_checking:check"
CHECK_SECONDS = 120.0  # the longest kernels take a quarter of that
MEMORY_BYTES = 8 << 30
NO_TIME_LEFT = "there was no time to compile it"


@dataclass(frozen=True)
class Sifted:
    """What became of a schedule.

    Units    registers of a thread; shared_bytes of a block of threads; blocks that a multiprocessor holds
    Members  why_not: the reason why it is dropped, or why nothing is known of it; empty for one that passes
    """

    plan: GpuPlan
    why_not: str = ""
    is_known: bool = False  # was it compiled, or refused?
    registers: int = 0
    shared_bytes: int = 0
    blocks: int = 0

    @property
    def passes(self) -> bool:
        return self.is_known and not self.why_not


class Sieve:
    """Processes that compile, each with limits on time and memory; in turn where there is one.

    check   "package.module:function" that a process runs; path: more folders in which it looks for modules
    """

    def __init__(self, jobs: int | None = None, check: str = CHECK, path: tuple[str, ...] = ()) -> None:
        self.jobs = jobs or allowed_cpus()
        self._hosts = [Isolation(check, path=path) for _ in range(self.jobs)]
        self._idle: SimpleQueue[Isolation] = SimpleQueue()
        for host in self._hosts:
            self._idle.put(host)
        self._pool = ThreadPoolExecutor(self.jobs, "sieve")

    def sift(
        self, spec: Json, target: Gpu, plans: Sequence[GpuPlan], until: float, tell: Callable[[Sifted], Any]
    ) -> tuple[Sifted, ...]:
        """Try schedules in their order until some time, by the monotonic clock; `tell` is told of each."""
        begun = [(plan, self._pool.submit(self._reply, spec, target, plan, until)) for plan in plans]
        return tuple(told(begun, tell))

    def _reply(self, spec: Json, target: Gpu, plan: GpuPlan, until: float) -> Reply:
        request = {"spec": spec, "arch": target.name, "schedule": plan_to_json(plan)}
        host = self._idle.get()
        try:
            return run_until(host, request, Limits(CHECK_SECONDS, MEMORY_BYTES), until)
        finally:
            self._idle.put(host)

    def close(self) -> None:
        """End all processes; what has not begun is not done."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for host in self._hosts:
            host.close()


def told(begun: Sequence[tuple[GpuPlan, Future[Reply]]], tell: Callable[[Sifted], Any]) -> Iterator[Sifted]:
    for plan, future in begun:
        found = sifted(plan, future.result())
        tell(found)
        yield found


def sifted(plan: GpuPlan, reply: Reply) -> Sifted:
    """What a reply says of a schedule."""
    if reply.was_cut_short:
        return Sifted(plan, NO_TIME_LEFT)
    if not reply.is_good:
        return Sifted(plan, f"{reply.verdict.value}: {reply.detail}", is_known=True)
    said = reply.content
    figures = {name: int(said[name]) for name in ("registers", "shared_bytes", "blocks")}
    return Sifted(plan, "; ".join(reasons_against(said)), is_known=True, **figures)


def reasons_against(said: Json) -> Iterator[str]:
    """Why a schedule is dropped, by what ptxas says: memory in place of registers is slow."""
    if said["spilled_bytes"]:
        yield f"it spills {said['spilled_bytes']} bytes of a thread"
    elif said["stack_bytes"]:
        yield f"it has {said['stack_bytes']} bytes of a thread on the stack"
    if said["is_serialized"]:
        yield "its wgmma wait for each other"
    if not said["blocks"]:
        yield "a multiprocessor has not what one block of threads needs"
