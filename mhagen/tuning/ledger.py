"""The account of a campaign: what was tried and came of it, for the search, and line by line on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median

from ..schedule.plan import Schedule
from ..schedule.tuned import Circumstances
from .candidates import Model, Subject, shared
from .decide import Finals, Placements
from .isolated import Reply
from .known import Known
from .record import Record
from .records import Records
from .result import Outcome, Tried
from .trial import Call, Trial
from .verdict import Verdict

Pairs = Sequence[Sequence[float]]  # seconds of a candidate and of the default, a round each
# What may be no fault of the candidate, but of what else ran then: believed when it happened twice.
MISHAPS = frozenset((Verdict.HUNG, Verdict.MEMORY, Verdict.CRASHED))


@dataclass(frozen=True)
class CheckTimes:
    """How long a candidate took before it was timed.  Units: seconds; of one that was checked before, 0."""

    compile_seconds: float = 0.0
    check_seconds: float = 0.0


class Ledger:
    """What was tried here, now or before.

    `records` None keeps nothing. `is_fresh`: what is in the records already is measured again.
    """

    def __init__(
        self,
        subject: Subject,
        model: Model,
        calls: Sequence[Call],
        here: Circumstances,
        records: Records | None,
        is_fresh: bool,
    ) -> None:
        self.subject, self.model, self.here, self.records = subject, model, here, records
        self.known = Known(subject, calls)
        self.tried: dict[Trial, Tried] = {}
        self.timed: set[Trial] = set()
        self._finals: dict[Call, Finals] = {}
        self._default_seconds: dict[Call, tuple[float, ...]] = {}
        self.earlier = () if records is None else records.of_spec(here)
        self.has_records = False  # of how long something took
        self._recalled: dict[tuple[Call, object], list[Record]] = {}
        for record in () if is_fresh else self.earlier:
            if record.circumstances == here and record.call in calls and record.stage == "search":
                self._recalled.setdefault(self._place(record.trial), []).append(record)
                self.has_records |= bool(record.seconds)

    def _place(self, trial: Trial) -> tuple[Call, object]:
        return trial.call, self.subject.footprint(trial.call, trial.schedule)

    def recall(self, trial: Trial) -> bool:
        """Is it in the records of just these circumstances? Then what they say counts.

        What was timed was right: a mishap counts only where there is nothing else, and then the second one.
        """
        every = self._recalled.get(self._place(trial), [])
        known = [record for record in every if record.verdict not in MISHAPS]
        found = known or (every[-1:] if len(every) > 1 else [])
        for record in found:
            self._learn(replace(record, schedule=trial.schedule), is_recalled=True)
        return bool(found)

    def take(self, trial: Trial, pairs: Pairs, times: CheckTimes, where: Circumstances) -> None:
        """A candidate was timed."""
        self.timed.add(trial)
        record = replace(
            self._record(trial, Verdict.OK),
            seconds=tuple(own for own, _ in pairs),
            default_seconds=tuple(default for _, default in pairs),
            compile_seconds=times.compile_seconds,
            check_seconds=times.check_seconds,
        )
        self._keep(replace(record, circumstances=where))
        if where == self.here:
            self._learn(record)
        else:  # of another kind of machine: it is told to those who have one
            self.known.pass_over(trial)

    def fail(self, trial: Trial, reply: Reply, where: Circumstances) -> None:
        """A candidate is of no use, and why."""
        record = replace(self._record(trial, reply.verdict), detail=reply.detail)
        self._keep(replace(record, circumstances=where))
        self._learn(record)

    def note_finalist(self, trial: Trial, verdict: Verdict, detail: str, final: Finals | None) -> None:
        """What the last comparison says of a schedule in a call, and of the default beside itself."""
        record = replace(self._record(trial, verdict), stage="finalist", detail=detail)
        if final is None:
            self._keep(record)
            return
        default = flat(final.default)
        self._finals[trial.call] = final
        self._keep(replace(record, seconds=flat(final.own), default_seconds=default))
        twin = replace(self._record(Trial(trial.call, self.subject.default), Verdict.OK), stage="twin")
        self._keep(replace(twin, seconds=flat(final.twin), default_seconds=default))

    def close(self, outcome: Outcome) -> None:
        """The last word on a call: which schedule is used, and why."""
        record = self._record(Trial(outcome.call, outcome.schedule), Verdict.OK)
        record = replace(record, stage="final", kept=not outcome.kept_default, detail=outcome.reason)
        if (final := self._finals.get(outcome.call)) is not None and outcome.ratio is not None:
            default = flat(final.default)
            own = default if outcome.kept_default else flat(final.own)
            record = replace(record, seconds=own, default_seconds=default)
        self._keep(record)

    def earlier_finals(self) -> dict[Call, Schedule]:
        """The schedules that earlier runs have confirmed here, those that one module can hold."""
        found: dict[Call, Schedule] = {}
        for record in self.earlier:
            if record.circumstances == self.here and record.stage == "final" and record.seconds:
                found.pop(record.call, None)
                if record.kept and self.subject.is_legal(record.schedule):
                    found[record.call] = record.schedule
        latest = shared(next(reversed(found.values()))) if found else ()
        return {call: schedule for call, schedule in found.items() if shared(schedule) == latest}

    def with_default_seconds(self, outcome: Outcome) -> Outcome:
        """Where nothing was compared at the end, the default's time is the one beside the candidates."""
        rounds = self._default_seconds.get(outcome.call)
        if rounds is None or outcome.default_seconds is not None:
            return outcome
        return replace(outcome, default_seconds=median(rounds))

    def count_failed(self) -> int:
        return sum(each.verdict is not Verdict.OK for each in self.tried.values())

    def best_ratio(self) -> float:
        return min((each.ratio for each in self.tried.values() if each.ratio is not None), default=1.0)

    def _record(self, trial: Trial, verdict: Verdict) -> Record:
        modelled = self.model.seconds(trial.call, trial.schedule)
        date = datetime.now(UTC).isoformat(timespec="seconds")
        return Record(self.here, trial.call, trial.schedule, verdict, "search", date, modelled=modelled)

    def _keep(self, record: Record) -> None:
        if self.records is not None and self.records.add(record):
            self.has_records |= bool(record.seconds)

    def _learn(self, record: Record, is_recalled: bool = False) -> None:
        trial = record.trial
        if record.verdict is not Verdict.OK:
            self.known.fail(trial)
        elif record.seconds:
            self.known.add(trial, record.ratios)
            before = self._default_seconds.get(trial.call, ())
            self._default_seconds[trial.call] = (*before, *record.default_seconds)
        self.tried[trial] = Tried(
            trial=trial,
            verdict=record.verdict,
            modelled=self.model.seconds(trial.call, trial.schedule),
            detail=record.detail,
            seconds=median(record.seconds) if record.seconds else None,
            ratio=self.known.ratio(trial) if record.verdict is Verdict.OK else None,
            is_recalled=is_recalled,
        )


def flat(placements: Placements) -> tuple[float, ...]:
    return tuple(second for rounds in placements for second in rounds)
