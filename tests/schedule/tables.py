"""Tables to test with: legal ones of any shape, and what breaks each rule."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from mhagen.base.target import AVX512
from mhagen.schedule.choose import DEFAULTS
from mhagen.schedule.plan import Schedule
from mhagen.schedule.table import EVERY_CALL, MOST_ENTRIES, Bounds, Entry, Range, ScheduleTable, faults

TARGET = AVX512
PLAN = DEFAULTS[TARGET.name]
FEW = replace(PLAN, tile_queries=32, block_keys=64, chunk_keys=128, decode_queries=3)
LONG = replace(PLAN, tile_queries=128)


def table(*entries: tuple[Range, Schedule]) -> ScheduleTable:
    return ScheduleTable(tuple(Entry(*entry) for entry in entries))


def bounds() -> st.SearchStrategy[Bounds]:
    """Small ones, so that ranges meet often."""
    low, more = st.integers(1, 9), st.none() | st.integers(0, 9)
    both = st.builds(lambda low, more: Bounds(low, None if more is None else low + more), low, more)
    return st.just(Bounds()) | both


def ranges() -> st.SearchStrategy[Range]:
    return st.builds(Range, queries=bounds(), keys=bounds(), batch=bounds(), threads=bounds())


def schedules() -> st.SearchStrategy[Schedule]:
    return st.builds(
        lambda tile, block, chunk, few: replace(
            PLAN, tile_queries=32 * tile, block_keys=8 * block, chunk_keys=chunk, decode_queries=few
        ),
        *(st.sampled_from([1, 2, 8]), st.sampled_from([1, 32]), st.sampled_from([100, 512])),
        st.sampled_from([1, 8]),
    )


def any_tables() -> st.SearchStrategy[ScheduleTable]:
    """Tables whose last range is every call; other rules they may break."""
    firsts = st.lists(st.builds(Entry, ranges(), schedules()), max_size=MOST_ENTRIES - 1)
    return st.builds(
        lambda entries, last: ScheduleTable((*entries, Entry(EVERY_CALL, last))), firsts, schedules()
    )


def legal_tables() -> st.SearchStrategy[ScheduleTable]:
    return any_tables().map(mended).filter(lambda each: not faults(each, TARGET))


def mended(given: ScheduleTable) -> ScheduleTable:
    """Without what no call reaches; batch and threads are bounded only where sums stay in order."""
    last = given.last
    kept: list[Entry] = []
    for entry in given.entries:
        range_, plan = entry.range, entry.schedule
        if not range_.is_of_lengths_alone:
            plan = replace(last, tile_queries=plan.tile_queries)
        if not any(each.range.holds(range_) for each in kept):
            kept.append(Entry(range_, plan))
    return ScheduleTable(tuple(kept))
