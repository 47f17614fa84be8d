"""What is done with a candidate: it is compared at its own edges, and timed beside the default."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mhagen.base.errors import VerificationError
from mhagen.ir.reference import Reference
from mhagen.pipeline import Kernel
from mhagen.runtime.host import host_target
from mhagen.schedule.sight import Shape
from mhagen.schedule.table import ScheduleTable
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec
from mhagen.tuning import timing
from mhagen.tuning.candidates import subject_of
from mhagen.tuning.checking import check, edges, error_at_edges
from mhagen.tuning.problem import Problem
from mhagen.tuning.request import built, call_in, keys_of, request_of, tables_in
from mhagen.tuning.timing import Pace, disagreeing, measure, problem_of, stages_of, timed
from mhagen.tuning.trial import Call

ROOT = Path(__file__).resolve().parents[2]
SPEC = load_spec({"name": "worked", "heads": {"query": 2, "dim": 16}, "mask": {"keep": "k <= q"}})
TARGET = host_target("float32")
DEFAULT = subject_of(SPEC, TARGET).default
ONE = ScheduleTable.of(DEFAULT)
CALL = Call(Shape(2, 30, 30), 2)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_a_request_is_plain_and_says_all(path: Path) -> None:
    spec = load_spec(path)
    request = json.loads(json.dumps(request_of(spec, TARGET, (DEFAULT, DEFAULT), CALL, (ONE,))))
    assert load_spec(request["spec"]) == spec
    assert (tables_in(request), call_in(request)) == ((ONE, ONE, ONE), CALL)


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return built(request_of(SPEC, TARGET, (DEFAULT,)), ONE)


def spoiled(kernel: Kernel, **least: int) -> Any:
    """The kernel, with results that are a little off where a call has that many queries or keys."""

    def attention(query: Any, key: Any, value: Any, **others: Any) -> Any:
        out = kernel.attention(query, key, value, **others)
        lengths = {"queries": query.shape[2], "keys": key.shape[2]}
        return out + 1e-3 if all(lengths[name] >= size for name, size in least.items()) else out

    return SimpleNamespace(spec=kernel.spec, attention=attention)


def test_a_right_candidate_passes(kernel: Kernel) -> None:
    assert error_at_edges(kernel, ONE) < 1e-5
    found = check(request_of(SPEC, TARGET, (DEFAULT,)))
    assert found["error"] < 1e-5 and found["compile_seconds"] > 0


@pytest.mark.parametrize(
    "least",
    [
        {"keys": DEFAULT.block_keys + 1, "queries": DEFAULT.decode_queries + 1},
        {"queries": DEFAULT.tile_queries + 1},
        {"keys": DEFAULT.chunk_keys + 1},
    ],
    ids=["behind a block", "behind a task", "behind a chunk"],
)
def test_a_candidate_that_is_wrong_behind_its_own_edges_is_found(
    kernel: Kernel, least: dict[str, int]
) -> None:
    with pytest.raises(VerificationError, match=r"queries and \d+ keys it is"):
        error_at_edges(spoiled(kernel, **least), ONE)


def giving(spec: Spec, change: Callable[[Any], Any]) -> Any:
    """A kernel that gives what the reference does, changed."""
    reference = Reference(spec)
    return SimpleNamespace(spec=spec, attention=lambda **given: change(reference.attention(**given)))


@pytest.mark.parametrize("change", [np.zeros_like, partial(np.full_like, fill_value=np.nan)])
def test_overflow_of_plain_arithmetic_excuses_no_candidate(change: Callable[[Any], Any]) -> None:
    overflowing = load_spec({**keys_of(SPEC), "scores": {"modify": "0.01 * exp(100 * abs(score))"}})
    with pytest.raises(VerificationError, match="keys it is"):
        error_at_edges(giving(overflowing, change), ONE)


def test_of_keys_that_score_alike_either_is_right() -> None:
    alike = {"scores": {"modify": "0 * score"}, "mask": {}, "outputs": {"statistics": ["argmax"]}}
    spec = load_spec({**keys_of(SPEC), **alike})
    assert error_at_edges(giving(spec, lambda found: (found[0], found[1] + 1)), ONE) == 0
    causal = load_spec({**keys_of(SPEC), "outputs": {"statistics": ["argmax"]}})
    with pytest.raises(VerificationError, match="keys it is"):
        error_at_edges(giving(causal, lambda found: (found[0], found[1] + 1)), ONE)


def test_edges_are_odd_and_follow_the_schedule() -> None:
    for queries, keys in edges(replace(DEFAULT, block_keys=512)):
        assert queries % 2 or keys % 2
    assert max(keys for _, keys in edges(replace(DEFAULT, block_keys=2048))) > 2048


def test_a_candidate_that_disagrees_in_the_call_itself_is_not_timed() -> None:
    problem = Problem(SPEC, CALL.example)
    runs = {0: lambda: np.ones(3), 1: lambda: np.ones(3), 2: lambda: np.full(3, 1.1)}
    found = disagreeing(runs, problem)
    assert list(found) == [2] and "0.1 off" in found[2]


def test_a_candidate_of_float64_may_differ_by_what_float64_rounds() -> None:
    exact = Problem(load_spec({**keys_of(SPEC), "dtype": "float64"}), CALL.example)
    assert list(disagreeing({0: lambda: np.ones(3), 1: lambda: np.ones(3) + 1e-11}, exact)) == [1]


def test_candidates_of_steep_scores_may_differ_by_what_plain_arithmetic_loses() -> None:
    steep = load_spec({**keys_of(SPEC), "scores": {"modify": "300 * score"}})
    runs = {0: lambda: np.ones(3), 1: lambda: np.ones(3) + 4e-5}
    assert disagreeing(runs, Problem(steep, CALL.example)) == {}


def test_the_slower_half_is_given_up_and_the_default_never(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {str(number): 10.0 - number for number in range(9)}
    rounds: list[tuple[int, int]] = []

    def interleave(names: Any, count: int, rest: float, calls: Any) -> Any:
        rounds.append((len(names), count))
        return {n: SimpleNamespace(rounds=(speeds[n],) * count, median=speeds[n]) for n in names}

    def place(numbers: Any) -> Any:
        return {number: lambda: None for number in numbers}

    monkeypatch.setattr(timing, "interleave", interleave)
    found = timed(place, range(9), Pace(10.0, 24, stages_of(9))).seconds
    assert rounds == [(9, 3), (5, 6), (3, 12), (2, 24)]
    assert {number: len(pairs) for number, pairs in found.items()} == {
        **{number: 45 for number in (0, 8)},
        7: 21,
        **{number: 9 for number in (5, 6)},
        **{number: 3 for number in (1, 2, 3, 4)},
    }
    assert found[3][0] == [7.0, 10.0], "its own seconds, and the default's of the same round"
    rounds.clear()
    found = timed(place, range(9), Pace(10.0, 54, (None,) * 9))
    assert rounds == [(9, 6)] * 9, "all of them, their arrays in nine places"
    assert found.placements == (6,) * 9


def test_candidates_are_timed_beside_the_default() -> None:
    request = request_of(SPEC, TARGET, (DEFAULT, replace(DEFAULT, tile_queries=128)), CALL)
    found = measure({**request, "seconds": 0.05, "most_rounds": 5, "placements": 3})
    assert found["wrong"] == {} and set(found["seconds"]) == {"0", "1"}
    assert all(0 < own < 1 and default > 0 for own, default in found["seconds"]["1"])


def test_a_layer_is_called_whole_where_it_can_be() -> None:
    spec = load_spec({**keys_of(SPEC), "projections": {"model_dim": 32}})
    assert problem_of(spec, CALL).is_layer
    assert not problem_of(spec, Call(Shape(1, 1, 30, 29))).is_layer
