"""The last word: what was measured at the end decides whether a module is used, or which calls it is to lose.

The rule. A module that was tuned is timed beside the untuned one, in each call. A schedule of its own is
used for a call if that is faster beyond the noise: the whole 95 % interval of the ratios lies below 1 and
below that of the untuned module beside itself. The calls of a module share tiles; others than the default's
are used only if some call is faster beyond the noise, and no call can be slower by a hundredth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ..schedule.plan import Schedule
from ..schedule.table import ScheduleTable
from .gain import Interval, interval, is_gain, loses, may_lose
from .result import Outcome
from .trial import Call
from .verdict import Verdict

Placements = Sequence[Sequence[float]]  # seconds of rounds, those of a placement of the arrays together
UNTRIED = "the default is kept: no other candidate was measured"
UNCHANGED = "the default is kept: no candidate that was measured was faster"
KEPT = "the default is kept: "


@dataclass(frozen=True)
class Module:
    """What may replace an untuned module.

    Members  chosen: for each call that is tuned, now or before; base: for all others, the default, or the
             default with other tiles
    """

    chosen: Mapping[Call, Schedule]
    base: Schedule
    table: ScheduleTable
    is_moved: bool

    def serves_as_untuned(self, call: Call) -> bool:
        return not self.is_moved and self.chosen[call] == self.base


@dataclass(frozen=True)
class Finals:
    """The rounds of one call at the end: of the untuned module, the same once more, and the tuned one."""

    default: Placements
    twin: Placements
    own: Placements

    @property
    def noise(self) -> Interval:
        return against(self.twin, self.default)

    @property
    def ratio(self) -> Interval:
        return against(self.own, self.default)


def against(own: Placements, default: Placements) -> Interval:
    """The ratio of each placement: the median of its rounds."""
    placements = zip(own, default, strict=True)
    return interval([median(a / b for a, b in zip(*pair, strict=True)) for pair in placements])


@dataclass(frozen=True)
class Failure:
    """Why there are no rounds of a call, as the end of a sentence; and what that says of the module."""

    cause: str
    verdict: Verdict = Verdict.OK


def outcome_of(module: Module, call: Call, default: Schedule, final: Finals | Failure) -> Outcome:
    """What the comparison says of one call."""
    schedule = module.chosen[call]
    if isinstance(final, Failure):
        return Outcome(call, default, True, KEPT + final.cause)
    ratio = final.ratio
    if is_gain(ratio, final.noise):
        # A schedule that is the default's gains nothing: what seems so is noise.
        if not module.serves_as_untuned(call):
            reason = f"{1 - ratio.median:.1%} faster than the default, beyond the noise: {ratio}"
            return measured(call, schedule, False, reason, final)
    elif module.is_moved and not may_lose(ratio):
        reason = f"as fast as the default, {ratio}, with the tiles that all calls share"
        return measured(call, schedule, False, reason, final)
    if module.serves_as_untuned(call):
        return measured(call, default, True, UNCHANGED, final)
    reason = f"{KEPT}the gain is not beyond the noise, {ratio} against {final.noise}"
    return measured(call, default, True, reason, final)


def measured(call: Call, chosen: Schedule, kept_default: bool, reason: str, final: Finals) -> Outcome:
    return Outcome(
        call,
        chosen,
        kept_default,
        reason,
        default_seconds=median(each for rounds in final.default for each in rounds),
        seconds=median(each for rounds in final.own for each in rounds),
        ratio=final.ratio,
        twin=final.noise,
    )


def losers(module: Module, outcomes: Sequence[Outcome]) -> tuple[Call, ...]:
    """The calls for which this module is not to be used as it is."""
    return tuple(
        each.call
        for each in outcomes
        if each.kept_default
        and not (module.serves_as_untuned(each.call) and each.ratio is not None and not loses(each.ratio))
    )


def gains(outcomes: Sequence[Outcome]) -> bool:
    """Is some call faster beyond the noise?"""
    return any(
        is_gain(each.ratio, each.twin)
        for each in outcomes
        if not each.kept_default and each.ratio is not None and each.twin is not None
    )
