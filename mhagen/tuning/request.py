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
from ..schedule.written import table_from_json, table_to_json
from ..spec.load import load_spec
from ..spec.model import Spec
from .trial import Call

Json: TypeAlias = Mapping[str, Any]


def keys_of(spec: Spec) -> dict[str, Any]:
    """The spec as `load_spec` takes it."""
    return spec.model_dump(mode="json", exclude_unset=True)


def request_of(
    spec: Spec,
    target: Target,
    schedules: Sequence[Schedule],
    call: Call | None = None,
    tables: Sequence[ScheduleTable] = (),
) -> Json:
    """What `check` and `measure` must know. The first schedule is the one that others are compared with.

    `tables` come behind the schedules, each a whole module.
    """
    return {
        "spec": keys_of(spec),
        "target": target.name,
        "schedules": [asdict(schedule) for schedule in schedules],
        "tables": [table_to_json(table) for table in tables],
        "call": None if call is None else {"shape": asdict(call.shape), "threads": call.threads},
    }


def tables_in(request: Json) -> tuple[ScheduleTable, ...]:
    """The modules of a request: one for each of its schedules, then its tables."""
    alone = (ScheduleTable.of(Schedule(**fields)) for fields in request["schedules"])
    return (*alone, *map(table_from_json, request["tables"]))


def call_in(request: Json) -> Call:
    """The call of a request that has one."""
    return Call(Shape(**request["call"]["shape"]), request["call"]["threads"])


def built(request: Json, table: ScheduleTable) -> Kernel:
    """The kernel with a table, from the cache or compiled into it.

    Raises   SpecError, UnsupportedError, InputError for an illegal table
    """
    spec, target = load_spec(request["spec"]), target_named(request["target"])
    return load_kernel(*compile_to_source(spec, target=target, tune=table))
