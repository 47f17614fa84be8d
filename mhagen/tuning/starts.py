"""What earlier records offer to a search: where to begin, and never what to believe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from ..schedule.plan import Schedule
from ..schedule.tuned import Circumstances
from .candidates import Subject, rounded
from .record import Record
from .trial import Call
from .verdict import Verdict

MOST_STARTS = 3  # of a call


def seeds_of(
    subject: Subject, records: Iterable[Record], here: Circumstances, calls: Sequence[Call]
) -> Mapping[Call, tuple[Schedule, ...]]:
    """For each call the schedules that were fastest somewhere else, fitted to this target."""
    found: dict[Call, dict[Schedule, float]] = {call: {} for call in calls}
    for record in records:
        if record.call in found and record.circumstances != here and is_faster(record):
            schedule = rounded(subject, record.schedule)
            if subject.is_legal(schedule):
                found[record.call][schedule] = median(record.ratios)
    return {call: tuple(sorted(each, key=lambda s: each[s])[:MOST_STARTS]) for call, each in found.items()}


def is_faster(record: Record) -> bool:
    return record.verdict is Verdict.OK and bool(record.seconds) and median(record.ratios) < 1
