"""The end of a campaign: the winners beside the default once more, and the table that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..base.errors import InternalError
from ..schedule.plan import Schedule
from ..schedule.table import ScheduleTable, faults
from .buckets import table_of
from .candidates import Subject, shared, with_tiles_of
from .decide import Finals, Module, decide
from .known import Known
from .ledger import Ledger
from .result import Outcome
from .trial import Call
from .workshop import Workshop


def last_word(
    subject: Subject, ledger: Ledger, workshop: Workshop
) -> tuple[tuple[Outcome, ...], ScheduleTable]:
    """Time what was fastest beside the default, decide, and record each outcome with its reason.

    Raises   InternalError where the table would be illegal
    """
    near, far = checked(subject, rivals(subject, ledger.known), workshop)
    finals = {}
    for number, call in enumerate(ledger.known.calls):
        others = {module[call] for module in (near, far) if module is not None} - {subject.default}
        left = workshop.budget.left / (len(ledger.known.calls) - number)
        found = compared(subject, call, tuple(others), left, workshop) if others else None
        if found is not None:
            finals[call] = found
    outcomes = decide(subject.default, near, far, finals)
    for outcome in outcomes:
        ledger.close(outcome, *rounds_of(outcome, finals))
    return outcomes, legal_table(subject, outcomes)


def rivals(subject: Subject, known: Known) -> tuple[Module, Module | None]:
    """The best with the default's tiles, and the best of all where these are others."""
    near, best = known.with_default_tiles(), known.jointly()
    moved = any(shared(schedule) != shared(subject.default) for schedule in best.values())
    return near, best if moved else None


def checked(
    subject: Subject, modules: tuple[Module, Module | None], workshop: Workshop
) -> tuple[Module, Module | None]:
    """The modules without what is not right: mixtures of what works may never have been compiled before."""
    near, far = modules
    moved = set() if far is None else {*far.values(), with_tiles_of(subject, subject.default, first(far))}
    wanted = {*near.values(), *moved} - {subject.default}
    answers = workshop.check(wanted, workshop.budget.left - workshop.budget.comparison)
    right = {subject.default, *(each for each, answer in answers.items() if answer.reply.is_good)}
    near = {call: each if each in right else subject.default for call, each in near.items()}
    return near, far if moved <= right else None


def first(module: Module) -> Schedule:
    return next(iter(module.values()))


def compared(
    subject: Subject, call: Call, others: Sequence[Schedule], left: float, workshop: Workshop
) -> Finals | None:
    """The rounds of the default, of the default once more, and of who may replace it."""
    rounds = workshop.compare(call, (subject.default, subject.default, *others), left)
    if rounds is None or not rounds[1]:
        return None
    return Finals(rounds[0], rounds[1], {s: own for s, own in zip(others, rounds[2:], strict=True) if own})


def rounds_of(outcome: Outcome, finals: Mapping[Call, Finals]) -> tuple[Sequence[float], Sequence[float]]:
    final = finals.get(outcome.call)
    if final is None:
        return (), ()
    return final.default if outcome.kept_default else final.rivals[outcome.schedule], final.default


def legal_table(subject: Subject, outcomes: Sequence[Outcome]) -> ScheduleTable:
    chosen = {each.call: each.schedule for each in outcomes}
    base = with_tiles_of(subject, subject.default, outcomes[0].schedule)
    table = table_of(chosen, base)
    if broken := faults(table, subject.target, subject.work.dtype):
        raise InternalError(f"the table that was tuned is illegal: {'; '.join(broken)}")
    return table
