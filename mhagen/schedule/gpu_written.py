"""A schedule of a GPU as JSON, and back: of what a file says, nothing is believed unchecked."""

from __future__ import annotations

from dataclasses import Field, asdict, fields
from typing import Any

from ..runtime.entry import Doubt
from .gpu_plan import GpuSchedule
from .gpu_space import GpuPlan
from .hopper_plan import HopperSchedule
from .written import Json, integer, with_keys

FAMILIES: dict[str, type[GpuSchedule] | type[HopperSchedule]] = {"mma": GpuSchedule, "hopper": HopperSchedule}


def family_of(plan: GpuPlan) -> str:
    """The name of its family of kernels."""
    return next(name for name, kind in FAMILIES.items() if isinstance(plan, kind))


def plan_to_json(plan: GpuPlan) -> Json:
    """The schedule as JSON has it: `plan_from_json` gives an equal one."""
    return {"family": family_of(plan), **asdict(plan)}


def plan_from_json(value: object) -> GpuPlan:
    """The schedule that a file describes. Whether it is legal, gpu_space.plan_violations says.

    Raises   Doubt, with a reason, for anything that `plan_to_json` does not write
    """
    family = value.get("family") if isinstance(value, dict) else None
    if family not in FAMILIES:
        raise Doubt(f"the family of a schedule is one of {', '.join(FAMILIES)}")
    kind = FAMILIES[family]
    given = with_keys(value, ("family", *(each.name for each in fields(kind))), "a schedule")
    sizes: dict[str, Any] = {each.name: checked(given[each.name], each) for each in fields(kind)}
    return kind(**sizes)


def checked(value: object, field: Field[Any]) -> int:
    if field.type != "bool":
        return integer(value, field.name)
    if type(value) is not bool:
        raise Doubt(f"{field.name} is neither true nor false")
    return value
