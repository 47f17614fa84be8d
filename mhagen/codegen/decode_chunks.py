"""Which chunks of keys are tasks in decoding: those that some head of a set of rows may see."""

from __future__ import annotations

from collections.abc import Sequence

from .facts import Lowering
from .model import Names
from .order import bundles
from .part_model import CaseModel, SwitchModel
from .switches import Switched

REACH = ("position", "queries", "keys")


def reaches(facts: Lowering) -> bool:
    """Are chunks of a part cut off?"""
    return facts.reach_code is not None


def reaches_by_head(facts: Lowering) -> bool:
    """Do heads that are computed together differ in it? Then chunks that any of them sees are tasks."""
    return facts.reach_code is not None and "h" in facts.reach_code.names


def any_reaches(facts: Lowering) -> bool:
    return any(map(reaches, facts.parts))


def place_of_reach(facts: Lowering) -> Names:
    return facts.place(facts.reach_code.names) if facts.reach_code else ()


def heads_of_reach(facts: Lowering) -> Names:
    """What says which heads are computed together."""
    if not reaches_by_head(facts):
        return ()
    return ("key_value_head",) if facts.work.is_plain else ("first_place", "members")


def head_of_member(facts: Lowering) -> str:
    plain = "key_value_head * GROUP_SIZE + member"
    return plain if facts.work.is_plain else "head_at(first_place + member)"


def reach_parameters(facts: Lowering) -> Names:
    place = (name for name in place_of_reach(facts) if name not in ("h", *REACH))
    return (*REACH, *heads_of_reach(facts), *place)


def span_parameters(facts: Lowering) -> Names:
    place = (name for name in place_of_reach(facts) if name not in ("b", "h", "batch", *REACH))
    return ("batch", "queries", "keys", "offsets", *place)


def sets_of_span(facts: Lowering) -> str:
    """The sets of rows of a batch entry that may differ in their reach, as what a loop goes through."""
    if facts.work.is_plain:
        return "key_value_head in range(KEY_VALUE_HEADS)"
    sets = sets_of_parts(facts)
    first = sum(sets[: facts.number])
    return f"bundle in range({first}, {first + sets[facts.number]})"


def set_lines(facts: Lowering) -> Names:
    """The heads of a set of rows."""
    if facts.work.is_plain:
        return ()
    return (f"first_place, members{', _' if len(facts.parts) > 1 else ''} = bundle_at(bundle)",)


def spans(facts: Lowering) -> Names:
    """How many chunks are tasks for a set of rows, part by part."""
    own = ["span"] if len(facts.parts) == 1 else [f"span{part.number}" for part in facts.parts]
    return tuple(name if reaches(part) else "chunks" for name, part in zip(own, facts.parts, strict=True))


def chunk_switch(facts: Lowering, arguments: Sequence[Names]) -> Switched:
    """What finds the chunks for heads of a kind; where a mask cuts none off, they take all."""
    if len(facts.parts) == 1 or not arguments:
        return Switched(arguments[0] if arguments else (), ())
    reaching = [part for part in facts.parts if reaches(part)]
    cases = tuple(
        CaseModel(part.number, f"return reached_chunks{part.suffix}", names)
        for part, names in zip(reaching, arguments, strict=True)
    )
    together = ("kind", *dict.fromkeys(name for names in arguments for name in names))
    doc = "Which chunks a head of this kind needs to look at."
    last = ("return 0, (keys + CHUNK_KEYS - 1) // CHUNK_KEYS",)
    return Switched(together, (SwitchModel("reached_chunks", doc, together, cases, last),))


def has_turns(facts: Lowering) -> bool:
    """Do parts differ in how many tasks they have for a set of rows? Then tasks are counted part by part."""
    return len(facts.parts) > 1 and any_reaches(facts)


def sets_of_parts(facts: Lowering) -> list[int]:
    """How many sets of rows a batch entry has, part by part."""
    parts = [facts.work.of[bundle[0]] for bundle in facts.work.bundles]
    return [parts.count(part.number) for part in facts.parts]


def end_lines(facts: Lowering) -> Names:
    """Behind the last task of each part."""
    if not has_turns(facts):
        return ()
    found = enumerate(zip(sets_of_parts(facts), spans(facts), strict=True))
    return tuple(
        f"end{number} = {f'end{number - 1} + ' if number else ''}batch * {sets} * {span} * row_blocks"
        for number, (sets, span) in found
    )


def tasks(facts: Lowering) -> str:
    if has_turns(facts):
        return f"end{len(facts.parts) - 1}"
    return f"batch * {bundles(facts)} * {spans(facts)[0]} * row_blocks"


def turn_lines(facts: Lowering) -> Names:
    """A task's number among those of its part, the part's first set of rows, and the chunks of each set."""
    if not has_turns(facts):
        return ()
    before, names = sets_of_parts(facts), spans(facts)
    lines = [f"turn, base, span = task, 0, {names[0]}"]
    for number in range(1, len(names)):
        lines.append(f"if task >= end{number - 1}:")
        first = f"batch * {sum(before[:number])}"
        lines.append(f"    turn, base, span = task - end{number - 1}, {first}, {names[number]}")
    return tuple(lines)
