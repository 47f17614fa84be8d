"""Which schedule serves which calls: lengths are run-time values, and one schedule is not best for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from ..base.dtypes import DType
from ..base.target import Target
from .legal import violations
from .plan import SIZES_OF_A_CALL, SIZES_OF_SUMS, Schedule
from .sight import Shape

MOST_ENTRIES = 12  # a dozen comparisons a call, and a dozen kernels at most to compile
MOST_LENGTH = 1 << 40  # more than there is memory for, and small in 64 bits
SMALL_CALL = Shape(1, 16, 16)


@dataclass(frozen=True)
class Bounds:
    """Lengths from low to high, both inside; no high: as long as you like."""

    low: int = 1
    high: int | None = None

    def __contains__(self, length: int) -> bool:
        return self.low <= length and (self.high is None or length <= self.high)

    def holds(self, other: Bounds) -> bool:
        """Is all of the other inside?"""
        return other.low in self and (self.high is None or (other.high is not None and other.high in self))

    def __str__(self) -> str:
        match self:
            case Bounds(1, None):
                return "any"
            case Bounds(low, None):
                return f"from {low}"
            case Bounds(low, high) if low == high:
                return str(low)
            case Bounds(1, high):
                return f"up to {high}"
        return f"{self.low} to {self.high}"


ANY = Bounds()


@dataclass(frozen=True)
class Range:
    """The calls whose lengths are in all of these bounds.

    Terms    threads: how many a call may use, whether or not its work is worth so many
    """

    queries: Bounds = ANY
    keys: Bounds = ANY
    batch: Bounds = ANY
    threads: Bounds = ANY

    def serves_lengths(self, queries: int, keys: int) -> bool:
        return queries in self.queries and keys in self.keys

    def serves(self, shape: Shape, threads: int) -> bool:
        lengths = self.serves_lengths(shape.queries, shape.keys)
        return lengths and shape.batch in self.batch and threads in self.threads

    def holds(self, other: Range) -> bool:
        """Is every call of the other inside?"""
        return all(getattr(self, each.name).holds(getattr(other, each.name)) for each in fields(self))

    @property
    def is_of_lengths_alone(self) -> bool:
        return self.batch == ANY and self.threads == ANY

    def __str__(self) -> str:
        bounds = {each.name: getattr(self, each.name) for each in fields(self)}
        return (
            ", ".join(f"{name} {each}" for name, each in bounds.items() if each != ANY) or "all other calls"
        )


EVERY_CALL = Range()


@dataclass(frozen=True)
class Entry:
    """A schedule and the calls that it is for."""

    range: Range
    schedule: Schedule


@dataclass(frozen=True)
class ScheduleTable:
    """Schedules by the lengths of a call: the first whose range holds the call serves it.

    A table of one entry is a schedule for all calls: what an untuned build has.
    """

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, schedule: Schedule) -> ScheduleTable:
        return cls((Entry(EVERY_CALL, schedule),))

    def place(self, shape: Shape, threads: int) -> int:
        """The number of the entry that serves a call."""
        return next(i for i, each in enumerate(self.entries) if each.range.serves(shape, threads))

    def pick(self, shape: Shape, threads: int) -> Schedule:
        """The schedule that serves a call."""
        return self.entries[self.place(shape, threads)].schedule

    @property
    def last(self) -> Schedule:
        """The schedule of calls that no other entry holds."""
        return self.entries[-1].schedule

    @property
    def home(self) -> int:
        """The entry of the smallest calls, whose sizes are the constants of a module."""
        return self.place(SMALL_CALL, threads=1)

    @property
    def is_one(self) -> bool:
        return len(self.entries) == 1

    def __str__(self) -> str:
        return "\n".join(f"{each.range}: {sizes_of_a_call(each.schedule)}" for each in self.entries)


def sizes_of_a_call(schedule: Schedule) -> str:
    return ", ".join(f"{name} {getattr(schedule, name)}" for name in SIZES_OF_A_CALL)


def sizes(schedule: Schedule, names: tuple[str, ...]) -> tuple[int, ...]:
    """The sizes of these names."""
    return tuple(getattr(schedule, name) for name in names)


def faults(table: ScheduleTable, target: Target, dtype: DType = DType.FLOAT32) -> tuple[str, ...]:
    """The rules that a table breaks, each with its reason; none for a legal one."""
    found = tuple(faults_of_ranges(table))
    if found:  # what follows relies on them
        return found
    return (*faults_of_schedules(table, target, dtype), *faults_of_sums(table))


def faults_of_ranges(table: ScheduleTable) -> Iterator[str]:
    if not 1 <= len(table.entries) <= MOST_ENTRIES:
        yield f"a table has 1 to {MOST_ENTRIES} entries, for each may be compiled and each is compared with"
        return
    for number, entry in enumerate(table.entries):
        for bounds in (getattr(entry.range, each.name) for each in fields(Range)):
            high = MOST_LENGTH if bounds.high is None else bounds.high
            if not 1 <= bounds.low <= high <= MOST_LENGTH:
                yield f"entry {number}: lengths go up from 1, so {bounds.low} to {bounds.high} holds none"
        before = [i for i in range(number) if table.entries[i].range.holds(entry.range)]
        if before:
            yield f"entry {number} serves no call: entry {before[0]} comes first and holds all of its calls"
    if table.entries[-1].range != EVERY_CALL:
        yield "the last entry is for every call, or some call would find none"


def faults_of_schedules(table: ScheduleTable, target: Target, dtype: DType) -> Iterator[str]:
    shared = tuple(each.name for each in fields(Schedule) if each.name not in SIZES_OF_A_CALL)
    for number, entry in enumerate(table.entries):
        yield from (f"entry {number}: {reason}" for reason in violations(entry.schedule, target, dtype))
        other = [name for name in shared if getattr(entry.schedule, name) != getattr(table.last, name)]
        if other:
            yield (
                f"entry {number} has another {', '.join(other)}: register tiles shape the text of functions, "
                "and a module has each function once"
            )


def faults_of_sums(table: ScheduleTable) -> Iterator[str]:
    """A result does not depend on other sequences of the batch, nor on threads, bit for bit."""
    for queries, keys in corners(table):
        served = may_serve(table, queries, keys)
        orders = {sizes(table.entries[number].schedule, SIZES_OF_SUMS) for number in served}
        if len(orders) > 1:
            yield (
                f"entries {', '.join(map(str, served))} share calls of {queries} queries and {keys} keys and "
                f"differ in {', '.join(SIZES_OF_SUMS)}: these order the sums, so results would depend on the "
                "batch or on threads"
            )
            return


def corners(table: ScheduleTable) -> Iterator[tuple[int, int]]:
    """Of each combination of lengths that ranges tell apart, the shortest."""

    def starts(name: str) -> list[int]:
        found = {1}
        for entry in table.entries:
            bounds: Bounds = getattr(entry.range, name)
            found |= {bounds.low} if bounds.high is None else {bounds.low, bounds.high + 1}
        return sorted(found)

    return ((queries, keys) for queries in starts("queries") for keys in starts("keys"))


def may_serve(table: ScheduleTable, queries: int, keys: int) -> list[int]:
    """The entries that serve these lengths with some batch and some number of threads."""
    found = []
    for number, entry in enumerate(table.entries):
        if entry.range.serves_lengths(queries, keys):
            found.append(number)
            if entry.range.is_of_lengths_alone:
                break
    return found
