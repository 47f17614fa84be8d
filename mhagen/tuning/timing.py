"""Times candidates, away from who wants to know: in turn with the default, the slower ones given up early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import randrange, shuffle
from typing import Any

import numpy as np

from ..backend.acceptance import distance
from ..pipeline import Kernel
from ..runtime.threads import threads as with_threads
from ..spec.load import load_spec
from ..spec.model import Spec
from .bench import REST_SECONDS, call_of
from .measure import Candidate, calls_of_a_reading, interleave, rounds_within
from .problem import Problem
from .quiet import alone
from .request import Json, built, call_in, tables_in
from .sampling import allowed_in
from .trial import Call

FEWEST_ROUNDS = 3
FEWEST_OF_A_PLACEMENT = 2
GAPS = (1 << 12, 1 << 20)  # bytes: between what lies in the heap, and between what has pages of its own
DEFAULT = 0  # the place of the schedule that all others are compared with


def measure(request: Json) -> Json:
    """Time candidates in turn, and halve them: who is among the slower half after some rounds is left out.

    The first one stays: others are compared with it round by round. With a number of `placements` nobody is
    left out, and everybody's arrays are moved so often: the answer says how many rounds each placement had.
    Candidates that disagree with the first are not timed; `wrong` has their numbers.
    """
    spec, tables, call = load_spec(request["spec"]), tables_in(request), call_in(request)
    problem = problem_of(spec, call)
    place = partial(placed, {number: built(request, each) for number, each in enumerate(tables)}, problem)
    rest = REST_SECONDS if call.threads > 1 else 0.0
    with with_threads(call.threads), alone(request["seconds"]):
        wrong = disagreeing(place(range(len(tables))), problem)
        right = [number for number in range(len(tables)) if number not in wrong]
        stages = (None,) * request["placements"] or stages_of(len(right))
        found = timed(place, right, Pace(request["seconds"], request["most_rounds"], stages, rest))
    return {"wrong": by_name(wrong), "seconds": by_name(found.seconds), "placements": found.placements}


def placed(kernels: Mapping[int, Kernel], problem: Problem, numbers: Iterable[int]) -> dict[int, Candidate]:
    """The calls of some candidates, in another order and with their arrays elsewhere than the time before.

    Numbers   without that, a kernel timed beside itself can seem faster than itself, round after round
    """
    order, gaps = list(numbers), []
    shuffle(order)
    runs = {}
    for number in order:
        gaps += [np.empty(randrange(1, size), np.uint8) for size in GAPS]
        runs[number] = call_of(kernels[number], problem)
    return runs


def by_name(found: Mapping[int, Any]) -> dict[str, Any]:
    """As JSON has it: the names of its members are texts."""
    return {str(number): value for number, value in found.items()}


def problem_of(spec: Spec, call: Call) -> Problem:
    """The layer where there is one and it can be called so, else the attention alone."""
    is_whole = spec.projections is not None and call.shape.queries == call.shape.keys
    return Problem(spec if is_whole else spec.without_projections(), call.example)


def disagreeing(runs: Mapping[int, Candidate], problem: Problem) -> dict[int, str]:
    """The numbers of candidates whose results are not the first one's, and by how much."""
    expected = np.asarray(runs[DEFAULT](), np.float64)
    errors = {number: distance(np.asarray(run(), np.float64), expected) for number, run in runs.items()}
    allowed = allowed_in(problem, max(errors.values()))
    return {
        number: f"its result in the call itself is {error:.2g} off the default's"
        for number, error in errors.items()
        if not error <= allowed
    }


@dataclass(frozen=True)
class Pace:
    """How long candidates are timed, in how many stages: in each their arrays lie elsewhere.

    Members   stages: how many candidates beside the first one are left for each
    """

    seconds: float
    most_rounds: int
    stages: tuple[int | None, ...]
    rest: float = 0.0

    def most_in(self, stage: int) -> int:
        """Rounds of a stage: twice as many as of the one before, but where all stay to the end."""
        if self.stages[stage] is None:
            return max(FEWEST_OF_A_PLACEMENT, self.most_rounds // len(self.stages))
        return min(self.most_rounds, FEWEST_ROUNDS << stage)

    def fewest_in(self, stage: int) -> int:
        return FEWEST_OF_A_PLACEMENT if self.stages[stage] is None else FEWEST_ROUNDS


@dataclass(frozen=True)
class Found:
    """Of each candidate its seconds and the first one's, round by round: ([own, first], ...).

    Members   placements: how many rounds of who has stayed to the end belong to each placement of the arrays
    """

    seconds: Mapping[int, Sequence[Sequence[float]]]
    placements: tuple[int, ...]


def stages_of(count: int) -> tuple[int, ...]:
    """So many candidates, then half of them, and so on down to one; the first one is not counted."""
    stages = [max(1, count - 1)]
    while stages[-1] > 1:
        stages.append(-(-stages[-1] // 2))
    return tuple(stages)


def timed(
    place: Callable[[Iterable[int]], Mapping[int, Candidate]], numbers: Sequence[int], pace: Pace
) -> Found:
    """Stage after stage, each with the arrays somewhere else."""
    seconds: dict[int, list[list[float]]] = {number: [] for number in numbers}
    placements = []
    ranking, calls = list(numbers), dict[str, int]()
    for stage, count in enumerate(pace.stages):
        ranking = ranking if count is None else ranking[: count + 1]
        runs = {str(number): run for number, run in place(ranking).items()}
        calls = calls or {name: calls_of_a_reading(run) for name, run in runs.items()}
        share = pace.seconds / len(pace.stages)
        rounds = rounds_within(share, runs, pace.fewest_in(stage), pace.most_in(stage))
        timings = interleave(runs, rounds, pace.rest, calls)
        placements.append(rounds)
        first = timings[str(DEFAULT)].rounds
        for number in ranking:
            own = timings[str(number)].rounds
            seconds[number] += [list(pair) for pair in zip(own, first, strict=True)]
        others = (number for number in ranking if number != DEFAULT)
        ranking = [DEFAULT, *sorted(others, key=lambda number: timings[str(number)].median)]
    return Found(seconds, tuple(placements))
