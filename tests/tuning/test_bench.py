"""A bench: who takes part, that what is timed was compared first, and what becomes of what cannot be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mhagen.backend.acceptance import Example
from mhagen.base.dtypes import DType
from mhagen.base.errors import UnsupportedError, VerificationError
from mhagen.ir.reference import Reference
from mhagen.pipeline import Kernel
from mhagen.runtime.threads import thread_count
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec
from mhagen.tuning import bench
from mhagen.tuning.bench import Conditions, Pace, bench_row, bench_spec
from mhagen.tuning.grid import Row, heads, row_named
from mhagen.tuning.outcome import Outcome, Role
from mhagen.tuning.peer import Absent, Form, Peer, Ready
from mhagen.tuning.problem import Array, Problem
from mhagen.tuning.sampling import MOST_SCORES, allowed_in, reference_error, result_of

TINY = load_spec(
    {"name": "tiny", "heads": {"query": 2, "dim": 16}, "mask": {"keep": "k <= q"}, "layout": "bshd"}
)
ALONE = Conditions((), 1, Pace(rounds=2))


def bench_tiny(conditions: Conditions = ALONE, spec: Spec = TINY, queries: int = 9) -> Outcome:
    return bench_spec(spec, Example(2, queries, 9, seed=0), conditions)


def oracle_result(problem: Problem) -> Array:
    return result_of(Reference(problem.spec), problem)


def oracle(problem: Problem, threads: int) -> Ready:
    result = oracle_result(problem)
    return Ready(lambda: (result, thread_count()), lambda both: both[0])


def test_every_candidate_has_all_rounds() -> None:
    peers = (Peer("oracle", (Form("exact", oracle),)), Absent("other", "other is not installed"))
    outcome = bench_tiny(Conditions(peers, 1, Pace(rounds=3)))
    roles = [timed.role for timed in outcome.timed]
    assert roles == [Role.OURS, Role.PEER, Role.PEAK, Role.BANDWIDTH]
    assert all(len(timed.rounds) == 3 for timed in outcome.timed)
    assert outcome.absent == peers[1:]
    assert outcome.ours is not None
    assert outcome.ours.error is not None
    assert outcome.ours.error < 1e-6
    assert outcome.share is not None


def test_on_two_threads_one_thread_is_timed_too() -> None:
    seen: list[int] = []

    def noting(problem: Problem, threads: int) -> Ready:
        made = oracle(problem, threads)
        seen.append(threads)
        return replace(made, run=lambda: (oracle_result(problem), seen.append(thread_count())))

    outcome = bench_tiny(Conditions((Peer("noting", (Form("", noting),)),), 2, Pace(rounds=1)))
    assert set(seen) == {2}
    assert outcome.speed_up is not None


def test_one_query_is_decoding() -> None:
    assert bench_tiny(queries=1).is_decoding
    assert not bench_tiny().is_decoding


def test_statistics_are_computed_and_not_compared() -> None:
    spec = load_spec(
        {"name": "tiny_lse", "heads": {"query": 2, "dim": 16}, "outputs": {"statistics": ["lse"]}}
    )
    outcome = bench_tiny(Conditions((Peer("oracle", (Form("", oracle),)),), 1, Pace(rounds=1)), spec)
    assert len(outcome.peers) == 1


def test_a_row_of_the_grid_is_measured_beside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Row("P0", "small", heads(2, 16), 1, 8, 8)
    monkeypatch.setattr(bench, "row_named", {"P0": small}.__getitem__)
    outcome = bench_row(replace(small, name="P00", beside="P0"), DType.FLOAT32, ALONE)
    assert outcome.beside is not None
    assert outcome.problem == ""


def test_a_wrong_kernel_is_told_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(problem: Problem, result: object) -> float:
        return 1.0

    monkeypatch.setattr(bench, "reference_error", wrong)
    outcome = bench_row(Row("P0", "small", heads(2, 16), 1, 8, 8), DType.FLOAT32, ALONE)
    assert outcome.is_failure
    assert "differs" in outcome.problem
    with pytest.raises(VerificationError):
        bench_tiny()


def test_what_cannot_be_made_is_told_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(spec: Spec) -> None:
        raise UnsupportedError("not yet")

    monkeypatch.setattr(bench, "build", refuse)
    outcome = bench_row(Row("P0", "small", heads(2, 16), 1, 8, 8), DType.FLOAT32, ALONE)
    assert (outcome.is_failure, outcome.problem) == (False, "not yet")


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
def test_a_large_result_is_compared_in_some_of_its_queries(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_spec(
        {"name": "tiny", "heads": {"query": 2, "dim": 4}, "mask": {"keep": "k <= q"}, "layout": layout}
    )
    problem = Problem(spec, Example(1, 50, 60, seed=0))
    result = oracle_result(problem)
    monkeypatch.setattr("mhagen.tuning.sampling.MOST_SCORES", 0)
    assert reference_error(problem, result) == pytest.approx(0, abs=1e-12)
    axis = 2 if layout == "bhsd" else 1
    for place in (0, 25, 49):
        spoiled = result.copy()
        np.moveaxis(spoiled, axis, 0)[place] += 1
        assert reference_error(problem, spoiled) == pytest.approx(1, rel=0.5)


def test_a_result_that_the_reference_cannot_hold_is_not_compared() -> None:
    row = row_named("P10")
    problem = Problem(load_spec(row.spec(DType.FLOAT32)), Example(2, 1024, 1024, seed=0))
    assert problem.pairs > MOST_SCORES
    assert reference_error(problem, np.zeros(1)) is None


def test_our_float64_kernel_is_judged_as_before_it_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers may be 1e-9 off: they do not all add up in float64 as we do."""
    right = bench.call_of

    def wrong(kernel: Kernel, problem: Problem) -> Callable[[], Array]:
        return lambda: right(kernel, problem)() + 1e-11

    monkeypatch.setattr(bench, "call_of", wrong)
    spec = load_spec({"name": "tiny64", "heads": {"query": 2, "dim": 16}, "dtype": "float64"})
    with pytest.raises(VerificationError, match="e-12, and 4e-14 is allowed"):
        bench_tiny(spec=spec)


def test_steep_scores_excuse_what_plain_arithmetic_loses() -> None:
    sizes = {"query": 2, "dim": 16}
    steep = {"name": "steep", "heads": sizes, "mask": {"keep": "k <= q"}, "scores": {"modify": "300 * score"}}
    problem = Problem(load_spec(steep), Example(2, 30, 30, seed=0))
    assert allowed_in(problem, 1e-6) == 2e-5
    assert 2e-5 < allowed_in(problem, 1.0) < 1e-3


def test_a_fault_of_an_adapter_fails_the_row() -> None:
    def faulty(problem: Problem, threads: int) -> Ready:
        raise AttributeError("'Problem' object has no attribute 'masc'")

    both = Peer("broken", (Form("a", faulty),)), Peer("half", (Form("a", faulty), Form("b", oracle)))
    for peer in both:
        outcome = bench_tiny(Conditions((peer,), 1, Pace(rounds=1)))
        assert outcome.is_failure
        (said,) = (*outcome.notes, *(absent.reason for absent in outcome.absent))
        assert "a bug in mhagen: AttributeError" in said


def test_rounds_fill_the_seconds() -> None:
    assert Pace(rounds=7).of({}) == 7
    assert Pace(seconds=0.0).of({"a": lambda: None}) == bench.FEWEST_ROUNDS
    assert Pace(seconds=9.0).of({"a": lambda: None}) == bench.MOST_ROUNDS
