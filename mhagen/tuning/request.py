"""What goes to a process that evaluates, and what it makes of it: plain values, and kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from ..base.target import Target, target_named
from ..pipeline import Kernel, compile_to_source, load_kernel
from ..schedule.plan import Schedule
from ..schedule.sight import Shape
from ..schedule.table import ScheduleTable
from ..spec.load import load_spec
from ..spec.model import Spec
from .trial import Call

Json: TypeAlias = Mapping[str, Any]


def keys_of(spec: Spec) -> dict[str, Any]:
    """The spec as `load_spec` takes it."""
    return spec.model_dump(mode="json", exclude_unset=True)


def request_of(spec: Spec, target: Target, schedules: Sequence[Schedule], call: Call | None = None) -> Json:
    """What `check` and `measure` must know. The first schedule is the one that others are compared with."""
    return {
        "spec": keys_of(spec),
        "target": target.name,
        "schedules": [asdict(schedule) for schedule in schedules],
        "call": None if call is None else {"shape": asdict(call.shape), "threads": call.threads},
    }


def schedules_in(request: Json) -> tuple[Schedule, ...]:
    """The schedules of a request."""
    return tuple(Schedule(**fields) for fields in request["schedules"])


def call_in(request: Json) -> Call:
    """The call of a request that has one."""
    return Call(Shape(**request["call"]["shape"]), request["call"]["threads"])


def built(request: Json, schedule: Schedule) -> Kernel:
    """The kernel of a schedule, from the cache or compiled into it.

    Raises   SpecError, UnsupportedError, InputError for an illegal schedule
    """
    spec, target = load_spec(request["spec"]), target_named(request["target"])
    return load_kernel(*compile_to_source(spec, target=target, tune=ScheduleTable.of(schedule)))
