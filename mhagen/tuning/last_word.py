"""The end of a campaign: the module that would be used beside the untuned one, and what follows from that.

What users get is a module with a table, and not the candidates one by one: so it is built, compared with the
reference, and timed in each call, at the ends of its ranges, and, where its tiles are others than the
default's, in calls that nobody has tuned. Calls that do not gain are taken out, and what is left begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ..base.errors import InternalError
from ..schedule.plan import Schedule
from ..schedule.table import ScheduleTable, faults
from .buckets import ends_of, others_of, table_of
from .candidates import Subject, shared, with_tiles_of
from .decide import KEPT, UNCHANGED, UNTRIED, Failure, Module, against, gains, losers, outcome_of
from .gain import loses
from .ledger import Ledger
from .result import Outcome
from .trial import Call, Trial
from .verdict import Verdict
from .workshop import Workshop

LEAST_GAIN_OF_TILES = 0.01  # of others than the default's, over these
Word: TypeAlias = tuple[tuple[Outcome, ...], ScheduleTable]


def last_word(subject: Subject, ledger: Ledger, workshop: Workshop) -> Word:
    """Try one module after the other until one is right and gains; record each outcome with its reason.

    Raises   InternalError where a table would be illegal
    """
    given, table = End(subject, ledger, workshop).word()
    outcomes = tuple(map(ledger.with_default_seconds, given))
    for outcome in outcomes:
        ledger.close(outcome)
    return outcomes, table


@dataclass(frozen=True)
class End:
    """The last comparisons of a campaign."""

    subject: Subject
    ledger: Ledger
    workshop: Workshop

    @property
    def calls(self) -> tuple[Call, ...]:
        return self.ledger.known.calls

    def word(self) -> Word:
        reach = self.workshop.reach
        outcomes = self.nothing()
        waiting = list(self.modules(reach))
        while waiting:
            module = waiting.pop(0)
            outcomes = self.judged(module, bool(waiting))
            lost = losers(module, outcomes)
            if not lost and gains(outcomes):
                if (slower := self.slower_elsewhere(module)) is None:
                    return outcomes, module.table
                outcomes = rejected(outcomes, self.subject.default, slower)
                if not module.is_moved and reach > 1:
                    reach = 1
                    waiting.insert(0, self.module(module.chosen, reach))
                continue
            if not module.is_moved and gains(outcomes):
                waiting.insert(0, self.module({**module.chosen, **dict.fromkeys(lost, module.base)}, reach))
            why = f"the module that makes it faster is no gain for {', '.join(map(str, lost))}"
            outcomes = rejected(outcomes, self.subject.default, why)
        return outcomes, self.before(outcomes)

    def nothing(self) -> tuple[Outcome, ...]:
        """The default for each call, as if there were no other."""
        return tuple(Outcome(call, self.subject.default, True, self.why_nothing(call)) for call in self.calls)

    def why_nothing(self, call: Call) -> str:
        timed = [each for each in self.ledger.tried.values() if each.trial.call == call]
        return UNCHANGED if any(each.ratio is not None for each in timed) else UNTRIED

    def before(self, outcomes: Sequence[Outcome]) -> ScheduleTable:
        """What earlier runs have found for calls of which this one says nothing."""
        compared = {each.call for each in outcomes if each.ratio is not None}
        kept = {call: each for call, each in self.ledger.earlier_finals().items() if call not in compared}
        return (
            self.module(kept, self.workshop.reach).table if kept else ScheduleTable.of(self.subject.default)
        )

    def modules(self, reach: int) -> Iterator[Module]:
        """The best of all, and the best with the default's tiles. What was tuned before keeps its tiles."""
        known, default = self.ledger.known, self.subject.default
        earlier = {c: s for c, s in self.ledger.earlier_finals().items() if c not in self.calls}
        if earlier:
            found = known.with_tiles_of(next(iter(earlier.values())))
            ranked = [] if found is None else [found[1]]
        else:
            best, near = known.best_choice(), known.with_tiles_of(default)
            assert near is not None  # all calls know the default
            is_better = best[0] <= (1 - LEAST_GAIN_OF_TILES) * near[0]
            ranked = [best[1], near[1]] if is_better else [near[1]]
        for chosen in ranked:
            if any(schedule != default for schedule in chosen.values()):
                yield self.module({**earlier, **chosen}, reach)

    def module(self, chosen: Mapping[Call, Schedule], reach: int) -> Module:
        base = with_tiles_of(self.subject, self.subject.default, next(iter(chosen.values())))
        table = table_of(chosen, base, reach)
        if broken := faults(table, self.subject.target, self.subject.work.dtype):
            raise InternalError(f"the table that was tuned is illegal: {'; '.join(broken)}")
        return Module(chosen, base, table, shared(base) != shared(self.subject.default))

    def judged(self, module: Module, is_followed: bool) -> tuple[Outcome, ...]:
        """What the comparison of a module says, call by call."""
        budget, share = self.workshop.budget, 2 if is_followed else 1
        wrong = self.workshop.check_table(module.table, budget.left / share - budget.comparison / 2)
        if wrong is not None:
            return tuple(
                each if module.serves_as_untuned(each.call) else replace(each, reason=KEPT + wrong)
                for each in self.nothing()
            )
        outcomes = []
        for number, call in enumerate(self.calls):
            left = (budget.left / share - self.workshop.ends_seconds) / (len(self.calls) - number)
            final = self.workshop.compare(call, module.table, left)
            outcome = outcome_of(module, call, self.subject.default, final)
            outcomes.append(outcome)
            rounds, verdict = (None, final.verdict) if isinstance(final, Failure) else (final, Verdict.OK)
            self.ledger.note_finalist(Trial(call, module.chosen[call]), verdict, outcome.reason, rounds)
        return tuple(outcomes)

    def slower_elsewhere(self, module: Module) -> str | None:
        """Where the module is slower than the untuned one outside of the calls it is for, if anywhere."""
        tuned = [call for call in module.chosen if module.chosen[call] != module.base]
        places = (*ends_of(module.table, tuned), *(others_of(module.table) if module.is_moved else ()))
        for number, place in enumerate(places):
            left = self.workshop.budget.left / (len(places) - number)
            final = self.workshop.compare_shortly(place, module.table, left)
            if isinstance(final, Failure):
                return f"{final.cause}, at {place}, which it would serve as well"
            if loses(ratio := against(final.own, final.default)):
                return f"at {place}, which it would serve as well, it is slower: {ratio}"
        return None


def rejected(outcomes: Sequence[Outcome], default: Schedule, why: str) -> tuple[Outcome, ...]:
    """The default for those as well that would not have kept it."""
    return tuple(
        each if each.kept_default else replace(each, schedule=default, kept_default=True, reason=KEPT + why)
        for each in outcomes
    )
