"""What is tried: a schedule in a call."""

from __future__ import annotations

from dataclasses import dataclass

from ..backend.acceptance import Example
from ..schedule.plan import Schedule
from ..schedule.sight import Shape


@dataclass(frozen=True)
class Call:
    """The lengths of a call, and how many threads it may use."""

    shape: Shape
    threads: int = 1

    @property
    def example(self) -> Example:
        return Example(self.shape.batch, self.shape.queries, self.shape.keys, seed=0)

    def __str__(self) -> str:
        shape, threads = self.shape, f", {self.threads} threads" if self.threads > 1 else ""
        return f"b={shape.batch},q={shape.queries},k={shape.keys}{threads}"


@dataclass(frozen=True)
class Trial:
    """A schedule that may serve a call."""

    call: Call
    schedule: Schedule
