"""From schedules of single calls to a table of ranges, one for every call.

A tuned call stands for those near it: up to the geometric middle between it and the next tuned one, and where
there is none, up to so many times its length. The schedule for all others serves what lies farther away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isqrt

from ..schedule.plan import SIZES_OF_SUMS, Schedule
from ..schedule.sight import Shape
from ..schedule.table import MOST_ENTRIES, Bounds, Entry, Range, ScheduleTable
from .candidates import MOST_DECODE_QUERIES
from .trial import Call

REACHES = (4, 2, 1)  # times a tuned length, or a part of it: as far as there is time to look
# Calls of less have a short way in, which those of other sums lose: 10 us. So nothing reaches down below it.
SHORT_LENGTH = 128
Chosen = Mapping[Call, Schedule]
# What stands for all that was not tuned: some words, a short text, half a page, the next token.
OTHERS = tuple(Call(Shape(*each)) for each in ((1, 16, 16), (4, 128, 128), (1, 512, 512), (1, 1, 2048, 2047)))


@dataclass(frozen=True)
class Bucket:
    """Calls that share a range, in one of its lengths."""

    bounds: Bounds
    calls: tuple[Call, ...]


def table_of(chosen: Chosen, default: Schedule, reach: int = REACHES[0]) -> ScheduleTable:
    """The table in which each call finds its schedule; `default` serves all others.

    Needs    schedules that differ in their sizes of a call only
    """
    entries: list[Entry] = []
    for group in groups_of(chosen, default, reach):
        needed = [entry for entry in group if entry.schedule != default]
        if len(entries) + len(needed) < MOST_ENTRIES:  # where there are more, they are served as untuned
            entries += needed
    return ScheduleTable((*entries, Entry(Range(), default)))


def groups_of(chosen: Chosen, default: Schedule, reach: int) -> Iterator[tuple[Entry, ...]]:
    """The entries of calls of about the same lengths."""
    for queries in split(tuple(chosen), lambda call: call.shape.queries, query_edge(default), reach):
        for keys in split(queries.calls, lambda call: call.shape.keys, middle, reach):
            lengths = Range(queries=queries.bounds, keys=keys.bounds)
            yield tuple(entries_within(lengths, keys.calls, chosen))


def entries_within(lengths: Range, calls: Sequence[Call], chosen: Chosen) -> Iterator[Entry]:
    """Entries of the same lengths. Batch and threads may choose the size of tasks, not the order of sums."""
    batches = split(calls, lambda call: call.shape.batch, middle, None)
    leading = chosen[calls[0]]
    for batch in batches:
        for threads in split(batch.calls, lambda call: call.threads, middle, None):
            schedule = with_sums_of(chosen[threads.calls[0]], leading)
            if schedule != leading:
                yield Entry(replace(lengths, batch=batch.bounds, threads=threads.bounds), schedule)
    yield Entry(lengths, leading)


def with_sums_of(schedule: Schedule, leading: Schedule) -> Schedule:
    return replace(schedule, **{name: getattr(leading, name) for name in SIZES_OF_SUMS})


def split(
    calls: Sequence[Call],
    length_of: Callable[[Call], int],
    edge: Callable[[int, int], int],
    reach: int | None,
) -> tuple[Bucket, ...]:
    """The calls by one of their lengths, each with the bounds up to its neighbours'."""
    lengths = sorted({length_of(call) for call in calls})
    edges = [edge(below, above) for below, above in pairwise(lengths)]
    lows = [1 if reach is None else lowest(lengths[0], reach), *(each + 1 for each in edges)]
    highs = [*edges, None if reach is None else lengths[-1] * reach]
    return tuple(
        Bucket(Bounds(low, high), tuple(call for call in calls if length_of(call) == length))
        for length, low, high in zip(lengths, lows, highs, strict=True)
    )


def lowest(length: int, reach: int) -> int:
    return max(-(-length // reach), min(length, SHORT_LENGTH))


def middle(below: int, above: int) -> int:
    """The last length that belongs to the one below."""
    return max(below, min(above - 1, isqrt(below * above)))


def query_edge(default: Schedule) -> Callable[[int, int], int]:
    """As `middle`, but few queries, which go their own way through the kernel, keep to themselves."""

    def edge(below: int, above: int) -> int:
        few = min(default.decode_queries, MOST_DECODE_QUERIES)
        return few if below <= few < above else middle(below, above)

    return edge


def ends_of(table: ScheduleTable, calls: Iterable[Call]) -> tuple[Call, ...]:
    """The shortest and the longest call of each range, with the batch and threads of the one it is for."""
    known = tuple(calls)
    found: list[Call] = []
    for call in known:
        entry = table.entries[table.place(call.shape, call.threads)]
        queries, keys = entry.range.queries, entry.range.keys
        if queries.high is not None and keys.high is not None:
            found += [
                lengthened(call, length) for length in ((queries.low, keys.low), (queries.high, keys.high))
            ]
    return tuple(each for each in dict.fromkeys(found) if each not in known)


def ends_within(call: Call, reach: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Queries and keys of the shortest and the longest call that it may stand for."""
    queries, keys = call.shape.queries, call.shape.keys
    return (lowest(queries, reach), lowest(keys, reach)), (queries * reach, keys * reach)


def others_of(table: ScheduleTable) -> tuple[Call, ...]:
    """Some calls that the schedule for all others serves."""
    last = len(table.entries) - 1
    return tuple(call for call in OTHERS if table.place(call.shape, call.threads) == last)


def lengthened(call: Call, lengths: tuple[int, int]) -> Call:
    queries, keys = lengths
    return replace(call, shape=Shape(call.shape.batch, queries, keys, keys - queries))
