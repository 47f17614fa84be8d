"""Which candidate to try next: strategies, each a sequence of proposals that go by what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Protocol

from ..schedule.plan import Schedule
from .candidates import Model, Subject, distinct, neighbours, shared, space, with_tiles_of
from .known import Known
from .trial import Call, Trial

# A candidate that is modelled so much slower than the best is not tried: the model errs by a tenth.
PRUNED = 1.25
FIRST_TRIALS = 12  # of a call, before its neighbours are looked at


class Strategy(Protocol):
    """An order of trials.  halves: may the slower of a batch be given up after a few rounds?"""

    halves: bool

    def propose(self, known: Known, count: int) -> tuple[Trial, ...]:
        """So many trials that have not been made, or fewer; none at the end of the search."""
        ...

    def ahead(self, known: Known, count: int) -> tuple[Trial, ...]:
        """Trials that are likely to be proposed later, whatever comes of those before."""
        ...


class InOrder:
    """All trials of a list."""

    def __init__(self, trials: Iterable[Trial], halves: bool = True) -> None:
        self.trials, self.halves = tuple(dict.fromkeys(trials)), halves

    def propose(self, known: Known, count: int) -> tuple[Trial, ...]:
        return tuple(islice((trial for trial in self.trials if not known.is_tried(trial)), count))

    ahead = propose


class Climb:
    """The best of the model first; then one step from what is best so far, until no step helps."""

    halves = True

    def __init__(self, subject: Subject, model: Model, first: InOrder) -> None:
        self.subject, self.model, self.first = subject, model, first

    def propose(self, known: Known, count: int) -> tuple[Trial, ...]:
        return self.first.propose(known, count) or self.steps(known, count)

    def ahead(self, known: Known, count: int) -> tuple[Trial, ...]:
        return self.first.ahead(known, count)

    def steps(self, known: Known, count: int) -> tuple[Trial, ...]:
        best = known.jointly()
        by_call = (self.steps_of(known, call, best) for call in known.calls)
        return tuple(islice(alternating(by_call), count))

    def steps_of(self, known: Known, call: Call, best: Mapping[Call, Schedule]) -> Iterator[Trial]:
        """What the tiles that suit other calls do for this one, then the neighbours: likely ones first."""
        alone = [
            known.best(other) for other in known.calls if shared(known.best(other)) != shared(best[call])
        ]
        moved = [with_tiles_of(self.subject, best[call], other) for other in alone]
        near = neighbours(self.subject, call, best[call])
        found = distinct(
            self.subject, call, (*moved, *sorted(near, key=lambda s: self.model.seconds(call, s)))
        )
        trials = (Trial(call, schedule) for schedule in found)
        return (trial for trial in trials if not known.is_tried(trial) and self.is_likely(trial, best[call]))

    def is_likely(self, trial: Trial, best: Schedule) -> bool:
        modelled = self.model.seconds(trial.call, trial.schedule)
        return modelled <= PRUNED * self.model.seconds(trial.call, best)


def by_model(subject: Subject, model: Model, call: Call, seeds: Sequence[Schedule]) -> tuple[Trial, ...]:
    """The seeds, then the grid of a call in the model's order, without what it finds much too slow."""
    found = {schedule: model.seconds(call, schedule) for schedule in space(subject, call)}
    likely = [schedule for schedule in found if found[schedule] <= PRUNED * min(found.values())]
    ordered = sorted(likely, key=lambda schedule: found[schedule])
    return tuple(Trial(call, schedule) for schedule in distinct(subject, call, (*seeds, *ordered)))


Seeds = Mapping[Call, Sequence[Schedule]]


def model_strategy(subject: Subject, model: Model, calls: Sequence[Call], seeds: Seeds) -> Strategy:
    """The grid in the model's order, and nothing else."""
    return InOrder(alternating(by_model(subject, model, call, seeds.get(call, ())) for call in calls))


def climb_strategy(subject: Subject, model: Model, calls: Sequence[Call], seeds: Seeds) -> Strategy:
    """The first of the grid in the model's order, then a climb."""
    ordered = (by_model(subject, model, call, seeds.get(call, ()))[:FIRST_TRIALS] for call in calls)
    return Climb(subject, model, InOrder(alternating(ordered)))


def exhaustive_strategy(subject: Subject, model: Model, calls: Sequence[Call], seeds: Seeds) -> Strategy:
    """The whole grid, each candidate in all rounds."""
    trials = ((Trial(call, schedule) for schedule in space(subject, call)) for call in calls)
    return InOrder(alternating(trials), halves=False)


def optuna_strategy(subject: Subject, model: Model, calls: Sequence[Call], seeds: Seeds) -> Strategy:
    """What Optuna suggests.

    Raises   UnsupportedError where it is not installed
    """
    from .optuna_search import Suggested

    return Suggested(subject, model, calls, seeds)


STRATEGIES: Mapping[str, Callable[[Subject, Model, Sequence[Call], Seeds], Strategy]] = {
    "model": model_strategy,
    "climb": climb_strategy,
    "exhaustive": exhaustive_strategy,
    "optuna": optuna_strategy,
}


def alternating(each: Iterable[Iterable[Trial]]) -> Iterator[Trial]:
    """The first of all, then the second of all, and so on."""
    rows = zip_longest(*each)
    return (trial for trial in chain.from_iterable(rows) if trial is not None)
