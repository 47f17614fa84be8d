"""The last word: what was measured at the end decides which schedules are used, the default or others.

The rule. A schedule is used for a call if it is faster than the default beyond the noise: the whole 95 %
interval of the ratios lies below 1 and below that of the default beside itself. The calls of a module share
tiles; others than the default's are used only if no call is slower with them, some call is faster beyond the
noise, and the mean is a hundredth better than with the default's tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean, median

from ..schedule.plan import Schedule
from .gain import Interval, interval, is_gain, is_loss
from .result import Outcome
from .trial import Call

LEAST_GAIN_OF_TILES = 0.01
Rounds = Sequence[float]
UNCHANGED = "nothing that was tried was faster than the default"


@dataclass(frozen=True)
class Finals:
    """The rounds of one call at the end.

    Members  rivals: the seconds of schedules, each a member of a module that is considered
    """

    default: tuple[float, ...]
    twin: tuple[float, ...]
    rivals: Mapping[Schedule, tuple[float, ...]]

    def against_default(self, rounds: Rounds) -> Interval:
        return interval([a / b for a, b in zip(rounds, self.default, strict=True)])

    @property
    def noise(self) -> Interval:
        return self.against_default(self.twin)

    def ratio(self, schedule: Schedule) -> Interval | None:
        return self.against_default(self.rivals[schedule]) if schedule in self.rivals else None


Module = Mapping[Call, Schedule]  # schedules that can be in one module


def decide(
    default: Schedule,
    with_default_tiles: Module,
    with_other_tiles: Module | None,
    finals: Mapping[Call, Finals],
) -> tuple[Outcome, ...]:
    """The outcome for each call. Where there are no rounds of a call, its default is kept."""
    kept = {call: outcome(call, default, schedule, finals) for call, schedule in with_default_tiles.items()}
    if with_other_tiles is None or not all(call in finals for call in with_other_tiles):
        return tuple(kept.values())
    moved = {call: moved_outcome(call, schedule, finals[call]) for call, schedule in with_other_tiles.items()}
    if any(each is None for each in moved.values()):
        return tuple(kept.values())
    outcomes = {call: each for call, each in moved.items() if each is not None}
    some_gain = any(is_gain(each.ratio, each.twin) for each in outcomes.values() if each.ratio and each.twin)
    better = mean(outcomes) <= (1 - LEAST_GAIN_OF_TILES) * mean(kept)
    return tuple((outcomes if some_gain and better else kept).values())


def mean(outcomes: Mapping[Call, Outcome]) -> float:
    ratios = [
        1.0 if each.kept_default or each.ratio is None else each.ratio.median for each in outcomes.values()
    ]
    return exp(fmean(map(log, ratios)))


def outcome(call: Call, default: Schedule, schedule: Schedule, finals: Mapping[Call, Finals]) -> Outcome:
    """The default for this call, unless the schedule has gained beyond the noise."""
    if call not in finals:
        reason = (
            UNCHANGED if schedule == default else "the default is kept: there was no time to confirm a gain"
        )
        return Outcome(call, default, True, reason)
    final = finals[call]
    ratio = final.ratio(schedule)
    if ratio is None:
        return measured_outcome(call, default, True, UNCHANGED, final, schedule)
    if is_gain(ratio, final.noise):
        return measured_outcome(call, schedule, False, gained(ratio), final, schedule)
    reason = f"the default is kept: the gain is not beyond the noise, {ratio} against {final.noise}"
    return measured_outcome(call, default, True, reason, final, schedule)


def moved_outcome(call: Call, schedule: Schedule, final: Finals) -> Outcome | None:
    """With tiles that are chosen for all calls: None if this one is slower with them."""
    ratio = final.ratio(schedule)
    if ratio is None or is_loss(ratio, final.noise):
        return None
    shared_reason = f"as fast as the default within the noise, {ratio}, with the tiles that all calls share"
    reason = gained(ratio) if is_gain(ratio, final.noise) else shared_reason
    return measured_outcome(call, schedule, False, reason, final, schedule)


def measured_outcome(
    call: Call, chosen: Schedule, kept_default: bool, reason: str, final: Finals, rival: Schedule
) -> Outcome:
    own = final.rivals.get(rival)
    return Outcome(
        call,
        chosen,
        kept_default,
        reason,
        default_seconds=median(final.default),
        seconds=None if own is None else median(own),
        ratio=final.ratio(rival),
        twin=final.noise,
    )


def gained(ratio: Interval) -> str:
    return f"{1 - ratio.median:.1%} faster than the default, beyond the noise: {ratio}"
