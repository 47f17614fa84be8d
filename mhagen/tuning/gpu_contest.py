"""Schedules on a GPU: compared with the default, then timed in turn with it; noise is no gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from statistics import median
from time import monotonic
from typing import Any

import numpy as np

from ..backend.acceptance import TOLERANCES, Example, distance, numpy_dtype
from ..backend.cuda import GpuSource
from ..base.errors import MhagenError, VerificationError
from ..schedule.gpu_space import GpuPlan
from ..schedule.sight import Shape
from ..spec.model import Spec
from .gain import FEWEST_PLACEMENTS, Interval, interval, is_gain, may_lose
from .gpu_bench import Bench
from .gpu_call import GpuCall, gpu_call, problem_on_gpu
from .isolated import first_line
from .problem import Array
from .sampling import allowed_in, reference_error

CALLS = 5  # of a round, whose median counts
ROUNDS, FINAL_ROUNDS = 2 * FEWEST_PLACEMENTS, 5 * FEWEST_PLACEMENTS
LEAST_GAIN = 0.01  # arrays are not moved here, as they are on CPUs: so much may come of where they lie
NO_TIME = "there was no time to confirm a gain"
NO_GAIN = "no schedule is faster beyond the noise"
NONE_RIGHT = "no other schedule is right"


@dataclass(frozen=True)
class GpuOutcome:
    """A call at the end: the winner of the search and the default, timed side by side.

    Units    seconds: medians of rounds; ratio, and noise, that of the default to itself: of rounds
    """

    shape: Shape
    default_seconds: float
    seconds: float
    ratio: Interval
    noise: Interval


@dataclass(frozen=True)
class Contest:
    """Who has won, and why; what went wrong with others; each one's ratio to the default in the search.

    Members  is_settled: has a GPU had the time to say so?
    """

    plan: GpuPlan
    reason: str
    outcomes: tuple[GpuOutcome, ...]
    wrong: Mapping[GpuPlan, str]
    ratios: Mapping[GpuPlan, float]
    is_settled: bool = True


def contest(
    bench: Bench, spec: Spec, sources: Sequence[GpuSource], shapes: Sequence[Shape], until: float
) -> Contest:
    """Compare and time schedules; the first is the default.  until: by the monotonic clock.

    Raises   VerificationError where the default is not right, whatever its kernel raises
    """
    examples = (Example(shape.batch, shape.queries, shape.keys, seed=0) for shape in shapes)
    calls = [gpu_call(bench, problem_on_gpu(spec, example)) for example in examples]
    default, *others = sources
    attention = {default.schedule: bench.attention(default)}
    right = [results_of(bench, each, attention[default.schedule]) for each in calls]
    for call, results in zip(calls, right, strict=True):
        require_right(call, results[0])
    wrong: dict[GpuPlan, str] = {}
    for source in others:
        attention[source.schedule] = bench.attention(source)
        reason = difference(bench, spec, calls, right, attention[source.schedule])
        if reason:
            wrong[source.schedule] = reason
            del attention[source.schedule]
    if len(attention) == 1:
        return Contest(default.schedule, NONE_RIGHT, (), wrong, {})
    ratios = searched(bench, calls, attention, until)
    if not ratios:
        return Contest(default.schedule, NO_TIME, (), wrong, ratios, is_settled=False)
    best = min(ratios, key=ratios.__getitem__)
    if ratios[best] > 1.0 - LEAST_GAIN:
        return Contest(default.schedule, NO_GAIN, (), wrong, ratios)
    outcomes = finals(bench, calls, attention[default.schedule], attention[best], until)
    if len(outcomes) < len(calls):
        return Contest(default.schedule, NO_TIME, outcomes, wrong, ratios, is_settled=False)
    reason = why_not(outcomes)
    if reason:
        return Contest(default.schedule, reason, outcomes, wrong, ratios)
    return Contest(best, f"{gain_of(outcomes):.1%} faster", outcomes, wrong, ratios)


def gain_of(outcomes: Sequence[GpuOutcome]) -> float:
    """The share of the default's time that is saved, as a mean over calls."""
    return 1 - prod(each.ratio.median for each in outcomes) ** (1 / len(outcomes))


def results_of(bench: Bench, call: GpuCall, attention: Callable[..., Any]) -> tuple[Array, ...]:
    """The output and the statistics that are reals: two keys may lead with nearly the same score."""
    dtype = numpy_dtype(call.problem.spec.dtype)
    found = call.by(attention, call.new_out())()
    arrays = [bench.fetch(each, dtype) for each in (found if isinstance(found, tuple) else (found,))]
    return tuple(each.astype(np.float64) for each in arrays if each.dtype.kind not in "iu")


def require_right(call: GpuCall, out: Array) -> None:
    error = reference_error(call.problem, out)
    if error is not None and not error <= allowed_in(call.problem, error):
        raise VerificationError(
            f"with {call.shape.queries} queries and {call.shape.keys} keys the default schedule of "
            f"{call.problem.spec.name} is {error:.2g} off"
        )


def difference(
    bench: Bench,
    spec: Spec,
    calls: Sequence[GpuCall],
    right: Sequence[tuple[Array, ...]],
    attention: Callable[..., Any],
) -> str:
    """What is wrong with a schedule, beside the default; empty if nothing is."""
    for call, expected in zip(calls, right, strict=True):
        try:
            error = distance(results_of(bench, call, attention), expected)
        except MhagenError as problem:
            return f"refused: {first_line(problem)}"
        if not error <= TOLERANCES[spec.dtype]:
            return f"wrong: it is {error:.2g} off the default schedule"
    return ""


def searched(
    bench: Bench,
    calls: Sequence[GpuCall],
    attention: Mapping[GpuPlan, Callable[..., Any]],
    until: float,
) -> dict[GpuPlan, float]:
    """The ratio of each to the default, the geometric mean over calls; none where time was too short."""
    _, *others = attention
    medians: dict[GpuPlan, list[float]] = {plan: [] for plan in others}
    for call in calls:
        out = call.new_out()
        taken = rounds_of(bench, [call.by(each, out) for each in attention.values()], ROUNDS, until)
        if len(taken[0]) < FEWEST_PLACEMENTS:
            return {}
        for plan, own in zip(others, taken[1:], strict=True):
            medians[plan].append(median(ratios_of(own, taken[0])))
    return {plan: prod(found) ** (1 / len(found)) for plan, found in medians.items()}


def finals(
    bench: Bench,
    calls: Sequence[GpuCall],
    default: Callable[..., Any],
    best: Callable[..., Any],
    until: float,
) -> tuple[GpuOutcome, ...]:
    """The best, the default and the default once more, which shows what noise is."""
    found = []
    for call in calls:
        out = call.new_out()
        turns = [call.by(each, out) for each in (default, best, default)]
        base, own, again = rounds_of(bench, turns, FINAL_ROUNDS, until)
        if len(base) < FEWEST_PLACEMENTS:
            break
        ratio, noise = interval(ratios_of(own, base)), interval(ratios_of(again, base))
        found.append(GpuOutcome(call.shape, median(base), median(own), ratio, noise))
    return tuple(found)


def why_not(outcomes: Sequence[GpuOutcome]) -> str:
    """Why the default is kept; empty where a schedule is faster in one call, and slower in none."""
    if gain_of(outcomes) < LEAST_GAIN or not any(is_gain(each.ratio, each.noise) for each in outcomes):
        return NO_GAIN
    if any(may_lose(each.ratio) for each in outcomes):
        return "the fastest schedule may be slower in one of the calls"
    return ""


def rounds_of(
    bench: Bench, calls: Sequence[Callable[[], object]], rounds: int, until: float
) -> list[list[float]]:
    """Seconds of each call in each round. All take turns, in an order that is turned round by round."""
    taken: list[list[float]] = [[] for _ in calls]
    for number in range(rounds):
        if monotonic() > until:
            break
        order = range(len(calls))
        for place in reversed(order) if number % 2 else order:
            taken[place].append(median(bench.seconds(calls[place], CALLS)))
    return taken


def ratios_of(own: Sequence[float], base: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(own, base, strict=True)]
