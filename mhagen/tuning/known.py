"""What a search knows: which candidates were tried for which calls, and how they did beside the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import exp, log
from statistics import fmean, median
from typing import TypeAlias

from ..schedule.plan import SIZES_OF_A_CALL, Schedule
from .candidates import DECODE, LINEAR, PREFILL, Subject, shared
from .trial import Call, Trial

Footprint = tuple[tuple[str, int], ...]
Sizes = Mapping[str, int]
Choice: TypeAlias = tuple[float, dict[Call, Schedule]]  # the mean ratio of a module's schedules, and these
# What a module has once, by the part of it that reads it: these are chosen independently of each other.
PARTS = tuple(
    tuple(name for name in part if name not in SIZES_OF_A_CALL) for part in (PREFILL, DECODE, LINEAR)
)


class Known:
    """The ratios of candidates to the default, call by call. The default's own is 1."""

    def __init__(self, subject: Subject, calls: Sequence[Call]) -> None:
        self.subject, self.calls = subject, tuple(calls)
        self._ratios: dict[Call, dict[Footprint, tuple[float, ...]]] = {call: {} for call in calls}
        self._schedules: dict[Call, dict[Footprint, Schedule]] = {call: {} for call in calls}
        self._failed: dict[Call, set[Footprint]] = {call: set() for call in calls}
        self._passed_over: dict[Call, set[Footprint]] = {call: set() for call in calls}
        for call in calls:
            self.add(Trial(call, subject.default), (1.0,))

    def add(self, trial: Trial, ratios: Sequence[float]) -> None:
        """More rounds of a candidate: its time over the default's."""
        footprint = self.subject.footprint(trial.call, trial.schedule)
        before = self._ratios[trial.call].get(footprint, ())
        self._ratios[trial.call][footprint] = (*before, *ratios)
        self._schedules[trial.call].setdefault(footprint, trial.schedule)

    def fail(self, trial: Trial) -> None:
        """A candidate that is of no use, however fast it was before. The default has been checked."""
        footprint = self.subject.footprint(trial.call, trial.schedule)
        if footprint != self.subject.footprint(trial.call, self.subject.default):
            self._failed[trial.call].add(footprint)

    def pass_over(self, trial: Trial) -> None:
        """A candidate of which nothing was learned, and that is not tried again."""
        self._passed_over[trial.call].add(self.subject.footprint(trial.call, trial.schedule))

    def is_tried(self, trial: Trial) -> bool:
        call, footprint = trial.call, self.subject.footprint(trial.call, trial.schedule)
        return any(
            footprint in each for each in (self._ratios[call], self._failed[call], self._passed_over[call])
        )

    def ratio(self, trial: Trial) -> float | None:
        """The median of its rounds; None if there are none."""
        ratios = self._ratios[trial.call].get(self.subject.footprint(trial.call, trial.schedule))
        return None if ratios is None else median(ratios)

    def _useful(self, call: Call) -> dict[Footprint, tuple[float, ...]]:
        """The rounds of those that have not failed."""
        failed = self._failed[call]
        return {each: ratios for each, ratios in self._ratios[call].items() if each not in failed}

    def doubtful(self, call: Call, count: int, rounds: int) -> tuple[Schedule, ...]:
        """Those of the fastest that have been timed in few rounds: some are there by luck."""
        useful = self._useful(call)
        footprints = sorted(useful, key=lambda each: median(useful[each]))
        default = self.subject.footprint(call, self.subject.default)
        front = [each for each in footprints[: count + 1] if each != default][:count]
        few = [each for each in front if len(useful[each]) < rounds]
        return tuple(self._schedules[call][each] for each in few)

    def tried(self, call: Call) -> Iterator[tuple[Schedule, float]]:
        """Those that have been timed and have not failed, with their ratios."""
        for footprint, ratios in self._useful(call).items():
            yield self._schedules[call][footprint], median(ratios)

    def best(self, call: Call) -> Schedule:
        """The fastest for this call alone."""
        return min(self.tried(call), key=lambda each: each[1])[0]

    def jointly(self) -> dict[Call, Schedule]:
        """The fastest for all calls together that one module can hold: all have the same register tiles."""
        return self.best_choice()[1]

    def best_choice(self) -> Choice:
        """That, and its mean ratio: geometric, each call counting the same."""
        choices = map(self.choice, self.modules())
        return min((each for each in choices if each is not None), key=lambda each: each[0])

    def modules(self) -> Iterator[Sizes]:
        """All combinations of the sizes of a module that were seen to work somewhere."""
        schedules = [schedule for call in self.calls for schedule, _ in self.tried(call)]
        parts = [
            tuple(dict.fromkeys(tuple((name, getattr(each, name)) for name in part) for each in schedules))
            for part in PARTS
        ]
        for combination in product(*parts):
            yield dict(pair for part in combination for pair in part)

    def choice(self, sizes: Sizes) -> Choice | None:
        """The fastest of each call with these sizes of the module, and their mean ratio."""
        logarithms, chosen = [], {}
        for call in self.calls:
            fitting = [each for each in self.tried(call) if self.agrees(call, each[0], sizes)]
            if not fitting:
                return None
            schedule, ratio = min(fitting, key=lambda each: each[1])
            logarithms.append(log(ratio))
            chosen[call] = replace(schedule, **sizes)
        if not all(map(self.subject.is_legal, chosen.values())):
            return None
        return exp(fmean(logarithms)), chosen

    def agrees(self, call: Call, schedule: Schedule, sizes: Sizes) -> bool:
        """Would the call notice if the schedule had these sizes?"""
        return all(sizes.get(name, size) == size for name, size in self.subject.footprint(call, schedule))

    def with_tiles_of(self, schedule: Schedule) -> Choice | None:
        """The fastest of each call in a module with the tiles of a schedule, if all were tried with these."""
        return self.choice(dict(shared(schedule)))
