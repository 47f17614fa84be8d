"""A table of schedules as JSON, and back: of what a file says, nothing is believed unchecked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TypeAlias

from ..runtime.entry import Doubt
from .plan import Schedule
from .table import Bounds, Entry, Range, ScheduleTable

Json: TypeAlias = Mapping[str, object]
RANGE = tuple(each.name for each in fields(Range))
SIZES = tuple(each.name for each in fields(Schedule))


def table_to_json(table: ScheduleTable) -> Json:
    """The table as JSON has it: `table_from_json` gives an equal one."""
    return {"entries": [entry_to_json(entry) for entry in table.entries]}


def entry_to_json(entry: Entry) -> Json:
    bounds = {name: getattr(entry.range, name) for name in RANGE}
    lengths = {name: [each.low, each.high] for name, each in bounds.items()}
    return {**lengths, "schedule": asdict(entry.schedule)}


def table_from_json(value: object) -> ScheduleTable:
    """The table that a file describes. Whether it is legal depends on the target: schedule.table.faults says.

    Raises   Doubt, with a reason, for anything that `table_to_json` does not write
    """
    entries = with_keys(value, ("entries",), "a table")["entries"]
    if not isinstance(entries, list):
        raise Doubt("the entries of a table are no list")
    return ScheduleTable(tuple(entry_from_json(entry) for entry in entries))


def entry_from_json(value: object) -> Entry:
    entry = with_keys(value, (*RANGE, "schedule"), "an entry")
    sizes = with_keys(entry["schedule"], SIZES, "a schedule")
    bounds = {name: bounds_from_json(entry[name], name) for name in RANGE}
    return Entry(Range(**bounds), Schedule(**{name: integer(sizes[name], name) for name in SIZES}))


def bounds_from_json(value: object, name: str) -> Bounds:
    match value:
        case [low, None]:
            return Bounds(integer(low, name))
        case [low, high]:
            return Bounds(integer(low, name), integer(high, name))
    raise Doubt(f"{name} has no lowest and highest length")


def integer(value: object, name: str) -> int:
    if type(value) is not int:  # a bool is one by inheritance
        raise Doubt(f"{name} is no integer")
    return value


def text(value: object, name: str) -> str:
    """Raises   Doubt for what is no text."""
    if not isinstance(value, str):
        raise Doubt(f"{name} is no text")
    return value


def with_keys(value: object, keys: tuple[str, ...], what: str) -> Json:
    """A JSON object that has these keys and no other.

    Raises   Doubt
    """
    if not isinstance(value, dict) or set(value) != set(keys):
        raise Doubt(f"{what} has {', '.join(keys)} and nothing else")
    return value
