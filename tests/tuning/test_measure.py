"""Timing side by side, and the limits of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from mhagen.tuning import measure
from mhagen.tuning.caches import last_level_cache_bytes
from mhagen.tuning.measure import Timing, fma_peak, interleave, read_bandwidth, rounds_within


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless it is turned: its one number is the time."""
    now = [0.0]
    monkeypatch.setattr(measure, "perf_counter", lambda: now[0])
    return now


def test_candidates_take_turns_and_every_other_round_goes_backwards(clock: list[float]) -> None:
    calls: list[str] = []

    def taking(name: str, seconds: float) -> object:
        calls.append(name)
        clock[0] += seconds
        return None

    timings = interleave({"a": lambda: taking("a", 1.0), "b": lambda: taking("b", 2.0)}, rounds=4)
    assert "".join(calls) == "aabb" + "ab" + "ba" + "ab" + "ba"
    assert timings == {"a": Timing((1.0,) * 4), "b": Timing((2.0,) * 4)}


def test_short_calls_are_timed_many_at_a_time(clock: list[float]) -> None:
    calls = 0

    def short() -> None:
        nonlocal calls
        calls += 1
        clock[0] += 1e-6

    timing = interleave({"short": short}, rounds=3)["short"]
    assert calls - 2 - 20 in (3 * (1 + 200), 3 * (1 + 201))
    assert timing.median == pytest.approx(1e-6)


def test_a_median_forgets_what_a_disturbance_did() -> None:
    timing = Timing((1.0, 9.0, 1.2))
    assert (timing.median, timing.best) == (1.2, 1.0)


def test_rounds_fill_the_time_within_bounds(clock: list[float]) -> None:
    def call() -> None:
        clock[0] += 0.1

    assert rounds_within(2.05, {"call": call}, 3, 50) == 20
    assert rounds_within(0.0, {"call": call}, 3, 50) == 3
    assert rounds_within(90.0, {"call": call}, 3, 50) == 50


def test_the_peak_is_that_of_a_vector_unit() -> None:
    """Scalar code reaches some 10 GFLOP/s at best, and no core reaches 1000."""
    assert 10e9 < fma_peak() < 1000e9


def test_all_threads_together_are_not_slower_than_one_by_much() -> None:
    assert fma_peak(all_threads=True) > 5e9
    assert read_bandwidth(all_threads=True) > 1e8


def test_memory_is_slower_than_a_cache() -> None:
    assert 1e8 < read_bandwidth() < 500e9


def test_the_largest_cache_is_the_last_level(tmp_path: Path) -> None:
    for index, size in enumerate(("32K", "1024K", "32M", "odd", "")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert last_level_cache_bytes(tmp_path) == 32 << 20


def test_caches_that_are_not_known_count_as_none(tmp_path: Path) -> None:
    assert last_level_cache_bytes(tmp_path / "absent") == 0
