"""A schedule of a GPU as JSON, and back: of what a file says, nothing is believed unchecked."""

from __future__ import annotations

from dataclasses import Field, asdict, fields
from typing import Any

from ..runtime.entry import Doubt
from .gpu_plan import GpuSchedule
from .gpu_space import GpuPlan
from .hopper_plan import HopperSchedule
from .written import Json, integer, with_keys

KINDS: dict[str, type[GpuSchedule] | type[HopperSchedule]] = {"warps": GpuSchedule, "groups": HopperSchedule}


def kind_of(plan: GpuPlan) -> str:
    """Who multiplies: warps each for themselves, or groups of four."""
    return next(name for name, kind in KINDS.items() if isinstance(plan, kind))


def plan_to_json(plan: GpuPlan) -> Json:
    """The schedule as JSON has it: `plan_from_json` gives an equal one."""
    return {"kind": kind_of(plan), **asdict(plan)}


def plan_from_json(value: object) -> GpuPlan:
    """The schedule that a file describes. Whether it is legal, gpu_space.plan_violations says.

    Raises   Doubt, with a reason, for anything that `plan_to_json` does not write
    """
    named = value.get("kind") if isinstance(value, dict) else None
    if named not in KINDS:
        raise Doubt(f"the kind of a schedule is one of {', '.join(KINDS)}")
    kind = KINDS[named]
    given = with_keys(value, ("kind", *(each.name for each in fields(kind))), "a schedule")
    sizes: dict[str, Any] = {each.name: checked(given[each.name], each) for each in fields(kind)}
    return kind(**sizes)


def checked(value: object, field: Field[Any]) -> int:
    if field.type != "bool":
        return integer(value, field.name)
    if type(value) is not bool:
        raise Doubt(f"{field.name} is neither true nor false")
    return value
