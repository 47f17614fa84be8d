"""Candidates for GPUs that go wrong on purpose, in a process that compiles them and without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import mhagen
from mhagen.base.errors import UnsupportedError
from mhagen.schedule.gpu_space import GpuPlan
from mhagen.tuning.gpu_sieve import NO_TIME_LEFT, Sifted

GOOD = {
    "registers": 96, "stack_bytes": 0, "spilled_bytes": 0, "shared_bytes": 10240, "is_serialized": False,
    "blocks": 5, "seconds": 0.1,
}  # fmt: skip


def check(request: dict[str, Any]) -> dict[str, Any]:
    """As tuning.gpu_checking.check, for schedules told apart by their blocks of keys."""
    match request["schedule"]["block_keys"]:
        case 32:
            return {**GOOD, "spilled_bytes": 40, "stack_bytes": 40}
        case 48:
            raise UnsupportedError("ptxas refuses it: too many words")
        case 128:
            time.sleep(600)
    return GOOD


@dataclass(frozen=True)
class Sieving:
    """Compiles nothing, and drops what it is told to; of most it has no time to know anything."""

    known: int = 4
    against: Callable[[GpuPlan], str] = lambda plan: ""

    def sift(self, spec: Any, target: Any, plans: Any, until: float, tell: Any) -> tuple[Sifted, ...]:
        known = [Sifted(plan, self.against(plan), True, 96, 10240, 5) for plan in plans[: self.known]]
        return (*known, *(Sifted(plan, NO_TIME_LEFT) for plan in plans[self.known :]))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Reckoning:
    """A simulated GPU: its kernels are the reference, with what is planted added to one of the results."""

    spec: dict[str, Any]
    off: float = 0.0
    off_in: int = 0
    milliseconds: float = 1.0
    name: str = "Planted"

    def attention(self, source: Any) -> Callable[..., Any]:
        return partial(self._attend, source.target)

    def _attend(self, target: Any, *, out: Any, **arrays: Any) -> Any:
        found = mhagen.reference({**self.spec, "projections": None}).attention(**arrays)
        results = list(found) if isinstance(found, tuple) else [found]
        results[self.off_in] = results[self.off_in] + self.off
        out[...] = results[0]
        return type(found)(out, *results[1:]) if results[1:] else out

    def put(self, array: Any) -> Any:
        return array

    def fetch(self, array: Any, dtype: Any) -> Any:
        return np.array(array)

    def seconds(self, call: Any, count: int) -> list[float]:
        return [self.milliseconds / 1e3] * count
