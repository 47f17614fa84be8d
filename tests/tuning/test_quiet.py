"""Who measures is left alone: by siblings, by who is busy, and by other campaigns."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from mhagen.tuning import quiet
from mhagen.tuning.quiet import alone, cpu_times, shared_out, siblings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CPUs cannot be told apart")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Four CPUs, each a core; the test says how idle they are."""
    idleness: dict[int, float] = {}
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 4, 5})
    monkeypatch.setattr(quiet, "siblings", lambda cpu: {cpu})
    monkeypatch.setattr(quiet, "sampled_idleness", lambda: idleness)
    return idleness


def test_what_measures_has_its_cpus_to_itself(machine: dict[int, float]) -> None:
    assert shared_out(1) == (frozenset({0}), frozenset({1, 4, 5}))
    assert shared_out(3) == (frozenset({0, 1, 4}), frozenset({5}))
    assert shared_out(4) == (frozenset(), frozenset()), "then it takes turns with what checks"


def test_the_idlest_cpus_measure(machine: dict[int, float]) -> None:
    machine.update({0: 0.1, 1: 0.9, 4: 1.0, 5: 0.5})
    assert shared_out(1) == (frozenset({4}), frozenset({0, 1, 5}))


def test_siblings_of_what_measures_stay_idle(
    machine: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "siblings", lambda cpu: {0, 4} if cpu in (0, 4) else {1, 5})
    assert shared_out(1) == (frozenset({0}), frozenset({1, 5}))
    assert shared_out(2) == (frozenset({0, 1}), frozenset({4, 5})), "there are no other cores"


def test_the_system_says_who_shares_a_core(tmp_path: Path) -> None:
    folder = tmp_path / "cpu1" / "topology"
    folder.mkdir(parents=True)
    (folder / "thread_siblings_list").write_text("1,4-5\n")
    assert siblings(1, tmp_path) == {1, 4, 5}
    assert siblings(2, tmp_path) == {2}


def test_the_system_says_who_is_idle(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  1 1 1 1 1\ncpu0 10 0 5 80 5 0\ncpu12 1 0 0 0 0 0\nintr 5\n")
    assert cpu_times(tmp_path / "stat") == {0: (85, 100), 12: (0, 1)}
    assert cpu_times(tmp_path / "none") == {}


def test_patience_is_for_all_locks_together(monkeypatch: pytest.MonkeyPatch) -> None:
    now, granted = [0.0], list[float]()

    @contextmanager
    def hold(path: Path, patience: float) -> Iterator[bool]:
        granted.append(patience)
        now[0] += min(2.0, patience)
        yield False

    monkeypatch.setattr(quiet, "hold", hold)
    monkeypatch.setattr(quiet, "locks", lambda: [Path(str(cpu)) for cpu in range(4)])
    monkeypatch.setattr(quiet, "monotonic", lambda: now[0])
    with alone(5.0):
        assert granted == [5.0, 3.0, 1.0, 0.0]


def held_until(released: Event, ready: Event) -> None:
    with alone(0.0):
        ready.set()
        released.wait(60)


def test_two_campaigns_do_not_measure_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path))
    context = multiprocessing.get_context("fork")
    ready, released, entered = context.Event(), context.Event(), threading.Event()

    def measure() -> None:
        with alone(60.0):
            entered.set()

    other = context.Process(target=held_until, args=(released, ready))
    other.start()
    assert ready.wait(60)
    with alone(0.1):
        assert other.is_alive(), "patience has an end"
    patient = threading.Thread(target=measure)
    patient.start()
    assert not entered.wait(0.3), "the other one measures still"
    released.set()
    assert entered.wait(60)
    patient.join()
    other.join()
