"""Where candidates are checked and timed, within what is left of the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from statistics import median
from time import monotonic

from ..schedule.plan import Schedule
from .budget import CALLS_OF_A_START, Budget
from .candidates import Subject
from .evaluator import SHORTEST_SECONDS, Answer, Evaluator
from .isolated import Limits, Reply
from .ledger import CheckTimes, Ledger
from .request import request_of
from .trial import Call, Trial
from .verdict import Verdict

CHECK_SECONDS = 60.0  # the slowest kernel compiles in 10
MEMORY_BYTES = 4 << 30
ROUNDS, FINAL_ROUNDS = 24, 51
SHORTEST_MEASUREMENT = 0.5
SLOWEST_RATIO = 20.0  # to the default, that a candidate may be before it counts as hung
AT_REST = 10.0  # seconds that a loaded machine may add to anything
FINAL_SHARE = 0.8  # of the time for a last comparison that its rounds get; starting takes some


class Workshop:
    """Asks an evaluator, and enters what comes of it.

    call_seconds   how long the default takes in each call: modelled, then measured
    tell           is called when something has happened
    """

    def __init__(
        self,
        subject: Subject,
        evaluator: Evaluator,
        budget: Budget,
        ledger: Ledger,
        calls: Sequence[Call],
        tell: Callable[[], object],
    ) -> None:
        self.subject, self.evaluator, self.budget, self.ledger = subject, evaluator, budget, ledger
        self.call_seconds = {call: ledger.model.seconds(call, subject.default) for call in calls}
        self.compiled = 0
        self.tell = tell
        self._answers: dict[Schedule, Future[Answer]] = {}

    def check(self, schedules: Iterable[Schedule], seconds: float) -> dict[Schedule, Answer]:
        """Compile and verify within some seconds; of those that came to an end in time, the answers."""
        wanted, until = tuple(dict.fromkeys(schedules)), monotonic() + seconds
        for schedule in wanted:
            self.begin_check(schedule, until)
        found = {}
        for schedule in wanted:
            answer = self._answers[schedule].result()
            if answer.reply.was_cut_short:
                del self._answers[schedule]
            else:
                found[schedule] = answer
            self.tell()
        return found

    def begin_check(self, schedule: Schedule, until: float) -> None:
        """Have a candidate checked while other things go on."""
        if schedule not in self._answers:
            request = request_of(self.subject.spec, self.subject.target, (schedule,))
            future = self.evaluator.check(request, Limits(CHECK_SECONDS, MEMORY_BYTES), until)
            self._answers[schedule] = future
            future.add_done_callback(self._count)

    def _count(self, future: Future[Answer]) -> None:
        if not future.cancelled() and future.exception() is None and not future.result().reply.was_cut_short:
            self.compiled += 1
            self.budget.check = self.budget.check.plus(future.result().reply.seconds)

    def time(
        self, call: Call, schedules: Sequence[Schedule], halves: bool, ahead: Sequence[Trial] = ()
    ) -> None:
        """Time candidates beside the default; what comes `ahead` is checked meanwhile, where that is quiet.

        Where the process is lost, candidates are timed in halves, until it is known whose fault it is.
        """
        left = self.budget.left_for_search
        wanted = (len(schedules) + 1) * self.call_seconds[call] * ROUNDS
        seconds = min(left / 2, max(wanted, SHORTEST_MEASUREMENT))
        future = self._begin(call, (self.subject.default, *schedules), seconds, left, halves, ROUNDS)
        if self.evaluator.is_quiet_while_checking:
            for trial in ahead:
                self.begin_check(trial.schedule, monotonic() + left)
        answer = future.result()
        if answer.reply.is_good:
            self._take(call, schedules, answer)
        elif answer.reply.was_cut_short:
            return
        elif len(schedules) == 1:
            self.ledger.fail(Trial(call, schedules[0]), answer.reply, answer.circumstances)
        else:
            middle = len(schedules) // 2
            self.time(call, schedules[:middle], halves)
            self.time(call, schedules[middle:], halves)
        self.tell()

    def _begin(
        self,
        call: Call,
        schedules: Sequence[Schedule],
        seconds: float,
        left: float,
        halves: bool,
        rounds: int,
    ) -> Future[Answer]:
        request = {
            **request_of(self.subject.spec, self.subject.target, schedules, call),
            "seconds": seconds,
            "most_rounds": rounds,
            "keeps_all": not halves,
        }
        limit = AT_REST + 4 * seconds + SLOWEST_RATIO * self._start_seconds(call, len(schedules))
        limits = Limits(limit, MEMORY_BYTES, call.threads)
        return self.evaluator.measure(request, limits, monotonic() + left)

    def seconds_to_time(self, call: Call, count: int) -> float:
        """How long so many candidates take beside the default, roughly."""
        return self._start_seconds(call, count + 1) + max(
            SHORTEST_MEASUREMENT, (count + 1) * self.call_seconds[call] * ROUNDS / 2
        )

    def _start_seconds(self, call: Call, count: int) -> float:
        return count * (self.budget.loading.seconds + self.call_seconds[call] * CALLS_OF_A_START)

    def _take(self, call: Call, schedules: Sequence[Schedule], answer: Answer) -> None:
        content = answer.reply.content
        timing = sum(own for pairs in content["seconds"].values() for own, _ in pairs)
        loading = max(0.0, answer.reply.seconds - 2 * timing) / (len(schedules) + 1)
        self.budget.loading = self.budget.loading.plus(loading)
        for number, schedule in enumerate(schedules, 1):
            trial, where = Trial(call, schedule), answer.circumstances
            if (why := content["wrong"].get(str(number))) is not None:
                self.ledger.fail(trial, Reply(Verdict.WRONG, detail=why), where)
                continue
            pairs = content["seconds"][str(number)]
            self.call_seconds[call] = median(default for _, default in pairs)
            self.ledger.take(trial, pairs, self._times(schedule), where)

    def _times(self, schedule: Schedule) -> CheckTimes:
        if schedule not in self._answers:
            return CheckTimes()
        content = self._answers[schedule].result().reply.content
        return CheckTimes(float(content["compile_seconds"]), float(content["check_seconds"]))

    def compare(
        self, call: Call, schedules: Sequence[Schedule], left: float
    ) -> tuple[tuple[float, ...], ...] | None:
        """The rounds of schedules side by side, all of them to the end; None where that was not to be had.

        Needs   the default first. One that is wrong in this call has no rounds
        """
        start = self._start_seconds(call, len(schedules))
        if left - start < SHORTEST_SECONDS:
            return None
        seconds = (left - start) * FINAL_SHARE
        answer = self._begin(call, schedules, seconds, left, halves=False, rounds=FINAL_ROUNDS).result()
        if not answer.reply.is_good:
            return None
        rounds = answer.reply.content["seconds"]
        return tuple(tuple(own for own, _ in rounds.get(str(number), ())) for number in range(len(schedules)))
