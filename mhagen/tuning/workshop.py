"""Where candidates are checked and timed, within what is left of the budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from statistics import median
from time import monotonic

from ..schedule.plan import Schedule
from ..schedule.table import ScheduleTable
from .buckets import REACHES, ends_within, lengthened
from .budget import CALLS_OF_A_START, CANDIDATES_AT_THE_END, Budget
from .candidates import Subject
from .decide import Failure, Finals
from .evaluator import SHORTEST_SECONDS, Answer, Evaluator
from .gain import FEWEST_PLACEMENTS
from .isolated import Limits, Reply
from .ledger import CheckTimes, Ledger
from .request import request_of
from .trial import Call, Trial
from .verdict import Verdict

CHECK_SECONDS = 60.0  # the slowest kernel compiles in 10
MEMORY_BYTES = 4 << 30
ROUNDS, PLACEMENTS = 24, 3
FINAL_ROUNDS, FINAL_PLACEMENTS = 54, 9
ENDS_SHARE = 0.12  # of the budget, for the ends of ranges
CALLS_OF_AN_END = 30  # of each candidate
GRACE_SECONDS = 5.0  # that an evaluator may be late
SHORTEST_MEASUREMENT = 0.5
SLOWEST_RATIO = 20.0  # to the default, that a candidate may be before it counts as hung
AT_REST = 10.0  # seconds that a loaded machine may add to anything
FINAL_SHARE = 0.8  # of the time for a last comparison that its rounds get; starting takes some


@dataclass(frozen=True)
class Pace:
    """How long candidates are timed.  placements: how often arrays are moved; 0 gives up the slower half."""

    seconds: float
    rounds: int
    placements: int


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
        self._answers: dict[ScheduleTable, Future[Answer]] = {}

    def check(self, schedule: Schedule, seconds: float) -> Answer | None:
        """Compile and verify a candidate; None if that does not come to an end within some seconds."""
        until = monotonic() + seconds
        self.begin_check(schedule, until)
        return self.checked((schedule,), until).get(schedule)

    def checked(self, schedules: Sequence[Schedule], until: float) -> dict[Schedule, Answer | None]:
        """Those that are ready, at least one; where checks disturb the clock, all. None: cut short."""
        futures = {schedule: self._answers[ScheduleTable.of(schedule)] for schedule in schedules}
        when = FIRST_COMPLETED if self.evaluator.is_quiet_while_checking else ALL_COMPLETED
        done, _ = wait(futures.values(), max(0.0, until - monotonic()) + GRACE_SECONDS, when)
        ready = {s: future.result() for s, future in futures.items() if future in done}
        self.tell()
        if not ready:
            return dict.fromkeys(schedules)
        return {s: self._kept_answer(ScheduleTable.of(s), answer) for s, answer in ready.items()}

    def _kept_answer(self, table: ScheduleTable, answer: Answer) -> Answer | None:
        if not answer.reply.was_cut_short:
            return answer
        del self._answers[table]
        return None

    def check_table(self, table: ScheduleTable, seconds: float) -> str | None:
        """What is wrong with a whole module, as the end of a sentence; None if nothing is."""
        if seconds < SHORTEST_SECONDS:
            return "there was no time to check the module that would be used"
        until = monotonic() + seconds
        self._begin_check(table, (), (table,), until)
        future = self._answers[table]
        wait((future,), seconds + GRACE_SECONDS)
        answer = self._kept_answer(table, future.result()) if future.done() else None
        if answer is None:
            return "there was no time to check the module that would be used"
        reply = answer.reply
        return (
            None
            if reply.is_good
            else f"the module that would be used is {reply.verdict.value}: {reply.detail}"
        )

    def begin_check(self, schedule: Schedule, until: float) -> None:
        """Have a candidate checked while other things go on."""
        self._begin_check(ScheduleTable.of(schedule), (schedule,), (), until)

    def _begin_check(
        self,
        key: ScheduleTable,
        schedules: Sequence[Schedule],
        tables: Sequence[ScheduleTable],
        until: float,
    ) -> None:
        if key not in self._answers:
            request = request_of(self.subject.spec, self.subject.target, schedules, tables=tables)
            future = self.evaluator.check(request, Limits(CHECK_SECONDS, MEMORY_BYTES), until)
            self._answers[key] = future
            future.add_done_callback(self._count)

    def _count(self, future: Future[Answer]) -> None:
        if future.cancelled() or future.exception() is not None or future.result().reply.was_cut_short:
            return
        self.compiled += 1
        reply = future.result().reply
        if reply.is_good:
            self.budget.checked(float(reply.content["compile_seconds"]), reply.seconds)

    def time(
        self, call: Call, schedules: Sequence[Schedule], halves: bool, ahead: Sequence[Trial] = ()
    ) -> None:
        """Time candidates beside the default; what comes `ahead` is checked meanwhile, where that is quiet.

        Where the process is lost, candidates are timed in halves, until it is known whose fault it is.
        """
        left = self.budget.left_for_search
        wanted = (len(schedules) + 1) * self.call_seconds[call] * ROUNDS
        seconds = min(left / 2, max(wanted, SHORTEST_MEASUREMENT))
        pace = Pace(seconds, ROUNDS, 0 if halves else PLACEMENTS)
        future = self._begin(call, (self.subject.default, *schedules), pace, left)
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
        pace: Pace,
        left: float,
        tables: Sequence[ScheduleTable] = (),
    ) -> Future[Answer]:
        request = {
            **request_of(self.subject.spec, self.subject.target, schedules, call, tables),
            "seconds": pace.seconds,
            "most_rounds": pace.rounds,
            "placements": pace.placements,
        }
        start = self._start_seconds(call, len(schedules) + len(tables))
        limits = Limits(AT_REST + 4 * pace.seconds + SLOWEST_RATIO * start, MEMORY_BYTES, call.threads)
        return self.evaluator.measure(request, limits, monotonic() + left)

    def seconds_to_time(self, call: Call, count: int) -> float:
        """How long so many candidates take beside the default, roughly."""
        return self._start_seconds(call, count + 1) + max(
            SHORTEST_MEASUREMENT, (count + 1) * self.call_seconds[call] * ROUNDS / 2
        )

    def _start_seconds(self, call: Call, count: int) -> float:
        call_seconds = self.call_seconds.get(call) or self.modelled(call)
        return count * (self.budget.loading.seconds + call_seconds * CALLS_OF_A_START)

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
        if (future := self._answers.get(ScheduleTable.of(schedule))) is None:
            return CheckTimes()
        content = future.result().reply.content
        return CheckTimes(float(content["compile_seconds"]), float(content["check_seconds"]))

    def compare(self, call: Call, table: ScheduleTable, left: float) -> Finals | Failure:
        """The untuned module, the same once more, and the one with a table, side by side to the end."""
        return self._compared(call, table, left, FINAL_ROUNDS, FINAL_PLACEMENTS)

    def compare_shortly(self, call: Call, table: ScheduleTable, left: float) -> Finals | Failure:
        """The same in as few rounds as can tell of a loss."""
        return self._compared(call, table, left, 2 * FEWEST_PLACEMENTS, FEWEST_PLACEMENTS)

    def _compared(
        self, call: Call, table: ScheduleTable, left: float, rounds: int, placements: int
    ) -> Finals | Failure:
        default = self.subject.default
        seconds = (left - self._start_seconds(call, CANDIDATES_AT_THE_END)) * FINAL_SHARE
        if seconds < SHORTEST_SECONDS:
            return Failure("there was no time to confirm a gain")
        pace = Pace(seconds, rounds, placements)
        reply = self._begin(call, (default, default), pace, left, (table,)).result().reply
        if reply.was_cut_short:
            return Failure("there was not enough time to confirm a gain")
        if not reply.is_good:
            detail = f": {reply.detail}" if reply.detail else ""
            return Failure(f"the last comparison {reply.verdict.value}{detail}", reply.verdict)
        if wrong := reply.content["wrong"]:
            return Failure(f"in this call it is wrong: {next(iter(wrong.values()))}", Verdict.WRONG)
        counts, pairs = reply.content["placements"], reply.content["seconds"]
        own = [split([mine for mine, _ in pairs[number]], counts) for number in ("0", "1", "2")]
        return Finals(*own)

    @cached_property
    def reach(self) -> int:
        """How far tuned calls may reach, so that there is time to look at the ends of their ranges."""
        most = ENDS_SHARE * self.budget.seconds
        return next((reach for reach in REACHES if self._seconds_of_ends(reach) <= most), REACHES[-1])

    @cached_property
    def ends_seconds(self) -> float:
        return self._seconds_of_ends(self.reach)

    def _seconds_of_ends(self, reach: int) -> float:
        ends = {
            lengthened(call, lengths) for call in self.call_seconds for lengths in ends_within(call, reach)
        }
        calls = CANDIDATES_AT_THE_END * CALLS_OF_AN_END
        return sum(
            SHORTEST_MEASUREMENT + calls * self.modelled(end) for end in ends if end not in self.call_seconds
        )

    def modelled(self, call: Call) -> float:
        return self.ledger.model.seconds(call, self.subject.default)


def split(seconds: Sequence[float], counts: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """So many of the seconds together, one after the other."""
    rest = iter(seconds)
    return tuple(tuple(islice(rest, count)) for count in counts)
