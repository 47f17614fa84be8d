"""Times candidates, away from who wants to know: in turn with the default, the slower ones given up early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend.acceptance import distance
from ..runtime.threads import threads as with_threads
from ..spec.load import load_spec
from ..spec.model import Spec
from .bench import REST_SECONDS, call_of
from .measure import Candidate, interleave, rounds_within
from .peer import TOLERANCES
from .problem import Problem
from .request import Json, built, call_in, schedules_in
from .trial import Call

FEWEST_ROUNDS = 3
DEFAULT = 0  # the place of the schedule that all others are compared with


def measure(request: Json) -> Json:
    """Time candidates in turn, and halve them: who is among the slower half after some rounds is left out.

    The first schedule stays: others are compared with it round by round. `keeps_all` leaves nobody out.
    Candidates that disagree with the first are not timed; `wrong` has their numbers.
    """
    spec, schedules, call = load_spec(request["spec"]), schedules_in(request), call_in(request)
    problem = problem_of(spec, call)
    with with_threads(call.threads):
        runs = {number: call_of(built(request, each), problem) for number, each in enumerate(schedules)}
        wrong = disagreeing(runs, problem)
        right = {number: run for number, run in runs.items() if number not in wrong}
        rest = REST_SECONDS if call.threads > 1 else 0.0
        seconds = halved(right, request["seconds"], request["most_rounds"], request["keeps_all"], rest)
    return {"wrong": by_name(wrong), "seconds": by_name(seconds)}


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
    found: dict[int, str] = {}
    for number, run in runs.items():
        error = distance(np.asarray(run(), np.float64), expected)
        if not error <= TOLERANCES[problem.spec.dtype]:
            found[number] = f"its result in the call itself is {error:.2g} off the default's"
    return found


def halved(
    runs: Mapping[int, Candidate], seconds: float, most_rounds: int, keeps_all: bool, rest: float
) -> dict[int, list[list[float]]]:
    """For each candidate its seconds and the first one's, of the same rounds: ([own, first], ...)."""
    names = {str(number): run for number, run in runs.items()}
    stages = 1 if keeps_all else max(1, (len(runs) - 1).bit_length())
    found: dict[int, list[list[float]]] = {number: [] for number in runs}
    for stage in range(stages):
        most = most_rounds if keeps_all else min(most_rounds, FEWEST_ROUNDS << stage)
        timings = interleave(names, rounds_within(seconds / stages, names, FEWEST_ROUNDS, most), rest)
        first = timings[str(DEFAULT)].rounds
        for name, timing in timings.items():
            found[int(name)] += [list(pair) for pair in zip(timing.rounds, first, strict=True)]
        faster = sorted((name for name in names if name != str(DEFAULT)), key=lambda n: timings[n].median)
        kept = faster[: max(1, -(-len(faster) // 2))]
        names = {name: run for name, run in names.items() if name in kept or name == str(DEFAULT)}
    return found
