"""In which order heads are computed, where that is not all of them one after the other.

A place is a head's number in the order of tasks: part by part, those with the most to do first, and pruned
heads behind all others. Bundles are the heads of one part that share a key/value head: their places are
neighbours, so a bundle is its first place and how many members it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from .facts import Lowering
from .model import Lines, Names
from .part_model import OrderModel
from .statistics import blind_statistics

PLAIN = OrderModel(
    is_there=False,
    prunes=False,
    is_uneven=False,
    kept_heads="QUERY_HEADS",
    seat_lines=(),
    seat="h",
    next_lines=(),
    next_seat="next_h",
    head_lines=(),
    turn_doc="",
    turn_lines=(),
    turn_results="",
    next_results="",
    bundle_doc="",
    bundle_lines=(),
    bundle_results="",
    clear_doc="",
    clear_parameters=(),
    clear_arguments=(),
    clear_all_parameters=(),
    cleared_rows="",
    blind=(),
)


def order_model(facts: Lowering) -> OrderModel:
    work = facts.work
    if work.is_plain:
        return PLAIN
    parts = ", part" if len(work.parts) > 1 else ""
    kind, rest = (", kind", ", _") if parts else ("", "")
    of_place = "members of a bundle, and the part that they belong to" if parts else "members of a bundle"
    return OrderModel(
        is_there=True,
        prunes=facts.prunes,
        is_uneven=len({len(bundle) for bundle in work.bundles}) > 1,
        kept_heads="KEPT_HEADS",
        seat_lines=seat_lines(facts, ""),
        seat="seat" if facts.packs_heads else "h",
        next_lines=seat_lines(facts, "next_"),
        next_seat="next_seat" if facts.packs_heads else "next_h",
        head_lines=tuple(head_lines((*work.kept_heads, *work.pruned_heads))),
        turn_doc=f"Batch entry, place{parts} of a head: part by part, and of each, entry by entry."
        if parts
        else "Batch entry and place of a head: entry by entry.",
        turn_lines=tuple(turn_lines(facts)),
        turn_results=f"b, place{kind}",
        next_results=f"next_b, next_place{rest}",
        bundle_doc=f"The first place and the number of {of_place}.",
        bundle_lines=tuple(bundle_lines(facts)),
        bundle_results=f"first_place, members{kind}",
        clear_doc="A pruned head: 0, and the statistics of a query that sees no key.",
        clear_parameters=clear_parameters(facts),
        clear_arguments=clear_arguments(facts),
        clear_all_parameters=clear_all_parameters(facts),
        cleared_rows="queries if out_heads == QUERY_HEADS else 0" if facts.packs_heads else "queries",
        blind=blind_statistics(facts, "MINUS_INFINITY"),
    )


def seat_lines(facts: Lowering, which: str) -> Lines:
    """Where the output of a head goes: a layer's has no places for pruned heads."""
    line = f"{which}seat = {which}h if out_heads == QUERY_HEADS else {which}place"
    return (line,) if facts.packs_heads else ()


def head_lines(heads: Sequence[int]) -> Iterator[str]:
    """From places to heads, run by run of neighbours."""
    runs = [list(run) for _, run in groupby(enumerate(heads), lambda each: each[1] - each[0])]
    for run in runs[:-1]:
        yield f"if place < {run[-1][0] + 1}:"
        yield f"    return {shifted('place', run[0][1] - run[0][0])}"
    place, head = runs[-1][0]
    yield f"return {shifted('place', head - place)}"


def shifted(name: str, by: int) -> str:
    return f"{name} + {by}" if by > 0 else f"{name} - {-by}" if by < 0 else name


def turn_lines(facts: Lowering) -> Iterator[str]:
    counts = [len(heads) for heads in facts.work.heads_of_parts]
    if len(counts) == 1:
        yield "return turn // KEPT_HEADS, turn % KEPT_HEADS"
        return
    first = 0
    for number, count in enumerate(counts):
        result = f"return turn // {count}, {shifted(f'turn % {count}', first)}, {number}"
        if number == len(counts) - 1:
            yield result
        else:
            yield from (f"if turn < {count} * batch:", f"    {result}", f"turn -= {count} * batch")
        first += count


def bundle_lines(facts: Lowering) -> Iterator[str]:
    """From bundles to places, run by run of those that are alike."""
    runs = list(bundle_runs(facts))
    for number, (bundle, place, members, part) in enumerate(runs):
        first = shifted(f"(bundle - {bundle}) * {members}" if bundle else f"bundle * {members}", place)
        kind = f", {part}" if len(facts.work.parts) > 1 else ""
        result = f"return {first}, {members}{kind}"
        if number == len(runs) - 1:
            yield result
        else:
            yield from (f"if bundle < {runs[number + 1][0]}:", f"    {result}")


def bundle_runs(facts: Lowering) -> Iterator[tuple[int, int, int, int]]:
    """Of each run its first bundle, that one's first place, and the members and the part of all."""
    work, place = facts.work, 0
    before = None
    for number, bundle in enumerate(work.bundles):
        kind = (len(bundle), work.of[bundle[0]])
        if kind != before:
            yield number, place, *kind
        before, place = kind, place + len(bundle)


def bundles(facts: Lowering) -> str:
    """How many sets of rows a batch entry has in decoding."""
    return "KEY_VALUE_HEADS" if facts.work.is_plain else "BUNDLES"


def members(facts: Lowering) -> str:
    """How many heads a set of rows has, where it is known which."""
    return "GROUP_SIZE" if facts.work.is_plain else "members"


def most_members(facts: Lowering) -> str:
    return "GROUP_SIZE" if facts.work.is_plain else "MEMBERS"


def head_of_row(facts: Lowering, row: str) -> str:
    """The head of a row: of a plain kernel, counted from the first that reads the same keys."""
    return f"{row} % GROUP_SIZE" if facts.work.is_plain else f"head_at(first_place + {row} % members)"


def clear_parameters(facts: Lowering) -> Names:
    heads = ("out_heads",) if facts.packs_heads else ()
    return ("queries", "out", "out_stride", *heads, *facts.statistics)


def clear_arguments(facts: Lowering) -> Lines:
    size = facts.numbers.statistic.bytes
    statistics = (f"{name} + {size} * (b * QUERY_HEADS + h) * queries" for name in facts.statistics)
    heads = ("out_heads",) if facts.packs_heads else ()
    return ("queries", "out + b * out_batch + h * out_head", "out_stride", *heads, *statistics)


def clear_all_parameters(facts: Lowering) -> Names:
    """What clears all pruned heads knows of the call, and of the claims that are left for it."""
    heads = ("out_heads",) if facts.packs_heads else ()
    place = ("out", "out_batch", "out_head", "out_stride", *heads, *facts.statistics)
    return ("task", "tasks", "counter", "batch", "queries", *place)
