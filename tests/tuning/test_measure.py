"""Timing side by side, and the limits of a machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mhagen.base.dtypes import DType
from mhagen.runtime.host import host_target
from mhagen.tuning import measure
from mhagen.tuning.caches import last_level_cache_bytes
from mhagen.tuning.measure import (
    Timing,
    fma_peak,
    interleave,
    read_bandwidth,
    rounds_within,
    uncached_reads,
)
from mhagen.tuning.probes import Reads, peak_probe


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


def test_behind_a_rest_comes_an_untimed_call(clock: list[float]) -> None:
    """What has rested is slow at first."""
    calls: list[str] = []

    def rested(name: str) -> None:
        clock[0] += 9.0 if calls[-1:] != [name] else 1.0
        calls.append(name)

    found = interleave({name: partial(rested, name) for name in "ab"}, 4, rest_seconds=1e-6)
    assert found == {name: Timing((1.0,) * 4) for name in "ab"}


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
    """In the same rounds, beside as many multiply-adds of one number at a time."""
    probe, count = peak_probe(DType.FLOAT32), 20_000

    def scalar() -> float:
        total = 0.0
        for _ in range(count):
            total = total * 0.5 + 1.0
        return total

    timings = interleave({"vectors": lambda: probe.run(False), "numbers": scalar}, 10)
    assert probe.operations / timings["vectors"].best > 4 * 2 * count / timings["numbers"].best


@pytest.mark.parametrize("on_all", [False, True])
def test_every_number_is_read_once_whoever_reads_it(on_all: bool) -> None:
    """So the limit of all threads is one of all their work. The numbers are ones, and workers add them up."""
    reads = Reads(host_target("float32"), 4 << 20)
    reads.run(on_all)
    assert reads.out.sum(dtype=np.float64) == reads.array.size


@pytest.mark.parametrize("on_all", [False, True])
def test_limits_are_the_work_over_the_shortest_time(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, on_all: bool
) -> None:
    asked, seconds = list[bool](), iter([4.0, 4.0, 2.0, 8.0] * 50)

    def run(self: object, all_threads: bool) -> None:
        asked.append(all_threads)
        clock[0] += next(seconds)

    monkeypatch.setattr(type(peak_probe(DType.FLOAT32)), "run", run)
    monkeypatch.setattr(Reads, "run", run)
    assert fma_peak(all_threads=on_all) == peak_probe(DType.FLOAT32).operations / 2.0
    assert read_bandwidth(all_threads=on_all) == uncached_reads(host_target("float32")).bytes / 2.0
    assert set(asked) == {on_all}


def test_what_is_read_is_more_than_caches_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    for cache, wanted in ((0, 64 << 20), (32 << 20, 128 << 20), (1 << 30, 512 << 20)):
        monkeypatch.setattr(measure, "last_level_cache_bytes", lambda size=cache: size)
        assert uncached_reads(host_target("float32")).bytes == wanted


def test_the_largest_cache_is_the_last_level(tmp_path: Path) -> None:
    for index, size in enumerate(("32K", "1024K", "32M", "odd", "")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert last_level_cache_bytes(tmp_path) == 32 << 20


def test_caches_that_are_not_known_count_as_none(tmp_path: Path) -> None:
    assert last_level_cache_bytes(tmp_path / "absent") == 0
