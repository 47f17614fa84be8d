"""A tuning campaign, from the default schedule to the last word, within its budget.

check the default                       it has to be right, and shows how long things take
propose, check, time in turn, record    again and again, while there is time
time the winner beside the default      in a process of its own: what it says is what counts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic

from ..base.errors import InputError, InternalError, VerificationError
from ..base.spelling import did_you_mean
from ..base.target import target_named
from ..schedule.plan import Schedule
from ..schedule.table import ScheduleTable
from ..spec.model import Spec
from .budget import CALLS_OF_A_START, CHECKS_AT_THE_END, CHECKS_OF_ONE, Budget
from .candidates import Model, space, subject_of
from .evaluator import SHORTEST_SECONDS, Answer, Evaluator
from .last_word import last_word
from .ledger import Ledger
from .records import Records
from .request import keys_of
from .result import End, Outcome, Tuning
from .search import STRATEGIES, Strategy
from .shortage import Shortage
from .starts import seeds_of
from .trial import Call, Trial
from .verdict import Verdict
from .workshop import SHORTEST_MEASUREMENT, Workshop

FIRST_SHARE, LATER_SHARE = 0.4, 0.8  # of the time for the search, that a batch may take
MOST_OF_CHECKS = 0.6  # of the time for the search, where nothing is timed meanwhile
MOST_AT_FIRST, MOST_LATER = 12, 6  # trials of a batch
FINALISTS, TELLING_ROUNDS = 3, 12  # of a call, before the last comparison


@dataclass(frozen=True)
class Plan:
    """What is to be tuned, and how.  began: when the time of the budget did, by time.monotonic(); or now."""

    spec: Spec
    calls: tuple[Call, ...]
    budget: float
    strategy: str = "climb"
    is_fresh: bool = False
    began: float | None = None


@dataclass(frozen=True)
class Progress:
    """How far a campaign is.  Units: left, budget: seconds; best: the least ratio to the default."""

    stage: str
    tried: int
    space: int
    compiled: int
    measured: int
    failed: int
    best: float
    left: float
    budget: float


Observer = Callable[[Progress], object]


def ignore(progress: Progress) -> None:
    """An observer that looks away."""


class Campaign:
    """One run. What it has measured is kept line by line, so that it can be stopped at any moment.

    Raises   InputError, UnsupportedError for a strategy that there is not
    """

    def __init__(
        self, plan: Plan, evaluator: Evaluator, records: Records | None, observe: Observer = ignore
    ) -> None:
        require_strategy(plan.strategy)
        self.budget = Budget(plan.budget, plan.began)
        self.plan, self.observe, self.stage = plan, observe, "starting"
        self.here = evaluator.describe(keys_of(plan.spec))
        self.subject = subject_of(plan.spec, target_named(self.here.target))
        self.model = Model(self.subject)
        self.ledger = Ledger(self.subject, self.model, plan.calls, self.here, records, plan.is_fresh)
        self.workshop = Workshop(self.subject, evaluator, self.budget, self.ledger, plan.calls, self.tell)
        self.shortage: Shortage | None = None
        self.space = sum(len(space(self.subject, call)) for call in plan.calls)

    def run(self) -> Tuning:
        """Search, compare, decide.

        Raises   VerificationError or InternalError where the default schedule itself does not work
        """
        try:
            end = self.search() if self.default_works() else End.SHORT
            self.tell("comparing with the default")
            outcomes, table = last_word(self.subject, self.ledger, self.workshop)
        except KeyboardInterrupt:
            self.tell("interrupted")  # with what was kept since it was last told
            raise
        return self.result(end, outcomes, table)

    def default_works(self) -> bool:
        """Check the default; False where the budget does not last for it."""
        self.tell("checking the default")
        seconds = self.budget.left_for_search
        answer = self.workshop.check(self.subject.default, seconds)
        if answer is None:
            self.shortage = Shortage.of_the_default(max(0.0, seconds), self.plan.budget)
            return False
        reply = answer.reply
        if not reply.is_good:
            for call in self.plan.calls:
                self.ledger.fail(Trial(call, self.subject.default), reply, answer.circumstances)
            error = VerificationError if reply.verdict is Verdict.WRONG else InternalError
            raise error(f"the default schedule is {reply.verdict.value}: {reply.detail}")
        self.budget.begin_search()
        return True

    def search(self) -> End:
        """Trial after trial, until nothing is left to try, or no time."""
        seeds = seeds_of(self.subject, self.ledger.earlier, self.here, self.plan.calls)
        strategy = STRATEGIES[self.plan.strategy](self.subject, self.model, self.plan.calls, seeds)
        began = self.budget.spent
        while (count := self.batch_size()) > 0:
            self.tell("searching")
            trials = strategy.propose(self.ledger.known, count)
            if not trials:
                self.time_again()
                return End.SPACE
            if not self.attempt(trials, strategy):
                break
        if not self.ledger.tried:
            self.shortage = self.why_none(began)
        self.time_again()
        return End.BUDGET

    def batch_size(self) -> int:
        """As many trials as the first share of the time, or a few steps, allow; none when time is up."""
        self.budget.keep_for_the_end(self.workshop.call_seconds.values(), self.workshop.ends_seconds)
        is_first = not self.ledger.tried
        if is_first:
            self.budget.make_room(self.seconds_to_time_one())
        left = self.budget.left_for_search
        if not is_first:  # the best are timed again
            left -= sum(self.workshop.seconds_to_time(call, FINALISTS) for call in self.plan.calls)
        dearest = max(self.workshop.call_seconds.values())
        each = self.budget.trial_seconds(dearest, self.workshop.evaluator.jobs)
        # A check that turns out to be too long is ended in time: it may also be short, or in the cache.
        if left < SHORTEST_MEASUREMENT + dearest * CALLS_OF_A_START:
            return 0
        share, most = (FIRST_SHARE, MOST_AT_FIRST) if is_first else (LATER_SHARE, MOST_LATER)
        if self.workshop.evaluator.is_quiet_while_checking:  # what is ready is timed at once
            return most
        return max(1, min(int(left * share / each), most))

    def seconds_to_time_one(self) -> float:
        """One candidate, in the call that takes longest."""
        return max(self.workshop.seconds_to_time(call, 1) for call in self.plan.calls)

    def why_none(self, began: float) -> Shortage:
        """The search began so late that no candidate could be tried."""
        one = self.budget.check.seconds + self.seconds_to_time_one()
        end = self.budget.comparison + CHECKS_AT_THE_END * self.budget.check.seconds
        left = max(0.0, self.budget.left + self.budget.spent - began)
        return Shortage(one, left, began + CHECKS_OF_ONE * one + end)

    def attempt(self, trials: Sequence[Trial], strategy: Strategy) -> bool:
        """Look trials up in the records, or check and time them; False if time lasts for none of them."""
        new = [trial for trial in trials if not self.ledger.recall(trial)]
        until = monotonic() + self.seconds_to_check(new)
        for trial in new:
            self.workshop.begin_check(trial.schedule, until)
        while new:
            self.tell("compiling and checking")
            answers = self.workshop.checked(tuple({trial.schedule for trial in new}), until)
            self.take([trial for trial in new if trial.schedule in answers], answers, strategy)
            new = [trial for trial in new if trial.schedule not in answers]
        return any(map(self.ledger.known.is_tried, trials))

    def take(
        self, trials: Sequence[Trial], answers: Mapping[Schedule, Answer | None], strategy: Strategy
    ) -> None:
        """Time those that are right while others are checked."""
        for trial in trials:
            answer = answers[trial.schedule]
            if answer is not None and not answer.reply.is_good:
                self.ledger.fail(trial, answer.reply, answer.circumstances)
        self.tell("measuring")
        if not self.ledger.tried:
            self.budget.make_room(inf)  # what is checked already is timed, if anything can be
        for call in self.plan.calls:
            right = [
                trial.schedule
                for trial in trials
                if trial.call == call
                and (answer := answers[trial.schedule]) is not None
                and answer.reply.is_good
            ]
            if right and self.budget.left_for_search > SHORTEST_SECONDS:
                ahead = strategy.ahead(self.ledger.known, 2 * self.workshop.evaluator.jobs)
                self.workshop.time(call, right, strategy.halves, ahead)

    def time_again(self) -> None:
        """Time the first of each call in more rounds: a few rounds make some fast by luck."""
        self.tell("timing the best again")
        for call in self.plan.calls:
            front = self.ledger.known.doubtful(call, FINALISTS, TELLING_ROUNDS)
            if front and self.budget.left_for_search > SHORTEST_SECONDS:
                self.workshop.time(call, front, halves=False)

    def seconds_to_check(self, trials: Sequence[Trial]) -> float:
        """What is left when those that are ready have been timed: half of them, as the clock may have it."""
        calls = [call for call in self.plan.calls if any(trial.call == call for trial in trials)]
        counts = {call: sum(trial.call == call for trial in trials) for call in calls}
        if self.workshop.evaluator.is_quiet_while_checking:
            return self.budget.left_for_search - SHORTEST_MEASUREMENT
        timing = sum(self.workshop.seconds_to_time(call, -(-count // 2)) for call, count in counts.items())
        left = self.budget.left_for_search
        # Where other programs run, timing takes longer than it has to: candidates would all be for nothing.
        return min(left - timing, max(MOST_OF_CHECKS * left, self.budget.longest_check))

    def result(self, end: End, outcomes: tuple[Outcome, ...], table: ScheduleTable) -> Tuning:
        records = self.ledger.records if self.ledger.has_records else None
        return Tuning(
            spec=self.plan.spec,
            target=self.subject.target,
            circumstances=self.here,
            strategy=self.plan.strategy,
            budget=self.plan.budget,
            seconds=self.budget.spent,
            end=end,
            default=self.subject.default,
            table=table,
            outcomes=outcomes,
            tried=tuple(self.ledger.tried.values()),
            space=self.space,
            compiled=self.workshop.compiled,
            measured=len(self.ledger.timed),
            shortage=self.shortage,
            records_path="" if records is None else str(records.path(self.here)),
        )

    def tell(self, stage: str = "") -> None:
        """Say how far it is."""
        self.stage = stage or self.stage
        ledger = self.ledger
        self.observe(
            Progress(
                stage=self.stage,
                tried=len(ledger.tried),
                space=self.space,
                compiled=self.workshop.compiled,
                measured=len(ledger.timed),
                failed=ledger.count_failed(),
                best=min(1.0, ledger.best_ratio()),
                left=max(0.0, self.budget.left),
                budget=self.plan.budget,
            )
        )


def require_strategy(name: str) -> None:
    """Raises   InputError for one that there is not, UnsupportedError for one whose package is missing."""
    if name not in STRATEGIES:
        remedy = did_you_mean(name, STRATEGIES) or "one of " + ", ".join(STRATEGIES)
        raise InputError(f"there is no strategy {name[:32]!r}: {remedy}")
    if name == "optuna":
        from .optuna_search import optuna

        optuna()
