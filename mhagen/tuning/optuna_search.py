"""Trials that Optuna suggests: its tree-structured Parzen estimator, a study for each call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..base.errors import UnsupportedError
from ..schedule.plan import Schedule
from .candidates import Model, Subject, axes, rounded
from .known import Known
from .trial import Call, Trial

SEED = 0
MOST_TRIES = 64  # for one trial that is legal and new


def optuna() -> Any:
    """The package.

    Raises   UnsupportedError
    """
    try:
        import optuna as found
    except ImportError:
        raise UnsupportedError(
            "--strategy optuna needs Optuna, which is not installed: pip install 'mhagen[optuna]', or choose "
            "model, climb or exhaustive"
        ) from None
    found.logging.set_verbosity(found.logging.ERROR)
    return found


class Suggested:
    """Candidates that a study of each call asks for; it is told their ratios."""

    halves = False

    def __init__(
        self,
        subject: Subject,
        model: Model,
        calls: Sequence[Call],
        seeds: Mapping[Call, Sequence[Schedule]],
    ) -> None:
        self.optuna, self.subject, self.calls = optuna(), subject, tuple(calls)
        sampler = self.optuna.samplers.TPESampler
        self.studies = {call: self.optuna.create_study(sampler=sampler(seed=SEED)) for call in calls}
        self.open: list[tuple[Any, Trial]] = []
        for call in calls:
            for schedule in (subject.default, *seeds.get(call, ())):
                self.studies[call].enqueue_trial(self.parameters(call, schedule), skip_if_exists=True)

    def propose(self, known: Known, count: int) -> tuple[Trial, ...]:
        self.tell(known)
        each = max(1, count // len(self.calls))
        found = [trial for call in self.calls for trial in self.asked(known, call, each)]
        return tuple(found)

    def ahead(self, known: Known, count: int) -> tuple[Trial, ...]:
        return ()

    def tell(self, known: Known) -> None:
        for asked, trial in self.open:
            ratio = known.ratio(trial)
            if ratio is None:
                self.studies[trial.call].tell(asked, state=self.optuna.trial.TrialState.FAIL)
            else:
                self.studies[trial.call].tell(asked, ratio)
        self.open = []

    def asked(self, known: Known, call: Call, count: int) -> list[Trial]:
        """New trials; what is known already is told at once, what is illegal fails."""
        found: list[Trial] = []
        study, state = self.studies[call], self.optuna.trial.TrialState
        for _ in range(MOST_TRIES):
            if len(found) == count:
                break
            asked = study.ask()
            trial = Trial(call, self.suggested(call, asked))
            ratio = known.ratio(trial)
            if ratio is not None:
                study.tell(asked, ratio)
            elif not self.subject.is_legal(trial.schedule) or known.is_tried(trial) or trial in found:
                study.tell(asked, state=state.FAIL)
            else:
                self.open.append((asked, trial))
                found.append(trial)
        return found

    def suggested(self, call: Call, asked: Any) -> Schedule:
        sizes: dict[str, int] = {}
        for names, values in axes(self.subject, call, self.subject.default):
            chosen = asked.suggest_categorical(" x ".join(names), [text(value) for value in values])
            sizes |= dict(zip(names, map(int, chosen.split("x")), strict=True))
        return rounded(self.subject, replace(self.subject.default, **sizes))

    def parameters(self, call: Call, schedule: Schedule) -> dict[str, str]:
        """The schedule as Optuna's parameters, where each of its sizes is one that can be suggested."""
        found = {}
        for names, values in axes(self.subject, call, schedule):
            here = tuple(getattr(schedule, name) for name in names)
            if here in values:
                found[" x ".join(names)] = text(here)
        return found


def text(value: tuple[int, ...]) -> str:
    return "x".join(map(str, value))
