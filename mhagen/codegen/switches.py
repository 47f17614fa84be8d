"""Heads that differ, in one kernel: functions that call those of the part that a head belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .facts import Lowering
from .model import Names
from .part_model import CaseModel, SwitchModel

# The parameters of a part's function, and what it is called with.
Call = tuple[Names, Names]


@dataclass(frozen=True)
class Switched:
    """What a function is called with; and where there are several parts, the function that chooses."""

    arguments: Names
    switches: tuple[SwitchModel, ...]


def switch_of(name: str, doc: str, calls: Sequence[Call], facts: Lowering) -> Switched:
    """Calls of each part's function of this name; parameters of one name have one argument in all parts."""
    if len(calls) == 1:
        return Switched(calls[0][1], ())
    together = {parameter: argument for call in calls for parameter, argument in zip(*call, strict=True)}
    cases = tuple(
        CaseModel(part.number, f"{name}{part.suffix}", parameters)
        for part, (parameters, _) in zip(facts.parts, calls, strict=True)
    )
    switch = SwitchModel(name, doc, ("kind", *together), cases, ())
    return Switched(("kind", *together.values()), (switch,))


def view_switch(facts: Lowering, arguments: Sequence[Names]) -> Switched:
    """The same of visibility; heads that see everything have none."""
    if len(arguments) == 1:
        return Switched(arguments[0], ())
    seen = [part for part in facts.parts if part.view_code is not None]
    if not seen:
        return Switched((), ())
    calls = {part.number: (view_parameters(part), arguments[part.number]) for part in seen}
    together = {p: argument for call in calls.values() for p, argument in zip(*call, strict=True)}
    cases = tuple(
        CaseModel(part.number, f"return visibility{part.suffix}", calls[part.number][0]) for part in seen
    )
    doc = "What a tile looks like to a head of this kind."
    switch = SwitchModel("visibility", doc, ("kind", *together), cases, ("return FULL",))
    return Switched(("kind", *together.values()), (switch,))


def view_parameters(facts: Lowering) -> Names:
    """Those of visibility, where there is a mask."""
    names = frozenset() if facts.view_code is None else facts.view_code.names
    return ("q_low", "q_high", "k_low", "k_high", *facts.place(names))


def reach_switch(facts: Lowering, arguments: Sequence[Names]) -> Switched:
    """The same of the bounds of loops over keys; where a mask gives none, they take all."""
    reaching = [part for part in facts.parts if part.reach_code is not None]
    if len(arguments) == 1 or not reaching:
        return Switched(arguments[0], ())
    names = ("q_low", "q_high", "keys", "single")
    calls = {part.number: ((*names, *reach_place(part)), arguments[part.number]) for part in reaching}
    together = {p: argument for call in calls.values() for p, argument in zip(*call, strict=True)}
    cases = tuple(
        CaseModel(part.number, f"return reached_tiles{part.suffix}", calls[part.number][0])
        for part in reaching
    )
    doc = "Which keys a head of this kind needs to look at."
    switch = SwitchModel("reached_tiles", doc, ("kind", *together), cases, ("return 0, keys",))
    return Switched(("kind", *together.values()), (switch,))


def reach_place(facts: Lowering) -> Names:
    return facts.place(facts.reach_code.names) if facts.reach_code else ()
