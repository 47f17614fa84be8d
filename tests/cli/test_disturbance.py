"""What is said before a measurement that other programs, or too many threads, make worth little."""

from __future__ import annotations

import pytest

from cli.conftest import Run
from mhagen.base import settings
from mhagen.cli import disturbance

# Neither comes to measure anything: what is said of the machine is said before.
EXPLAIN, BENCH = ("explain", "missing.toml"), ("bench", "--rows", "missing", "--against", "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One CPU, that nobody else uses."""
    monkeypatch.setattr(disturbance, "busy", lambda: None)
    monkeypatch.setattr(settings, "allowed_cpus", lambda: 1)
    return monkeypatch


@pytest.mark.parametrize("command", [EXPLAIN, BENCH])
def test_more_threads_than_cpus_are_told(command: tuple[object, ...], machine: object, mhagen: Run) -> None:
    assert "2 threads take turns on 1 CPU: " in mhagen(*command, "--threads", 2).err
    assert "warning" not in mhagen(*command, "--threads", 1).err


def test_other_programs_are_told(machine: pytest.MonkeyPatch, mhagen: Run) -> None:
    machine.setattr(disturbance, "busy", lambda: 7.5)
    assert "other programs keep this machine busy (load 7.5)" in mhagen(*EXPLAIN).err


def test_what_is_only_modelled_is_not_disturbed(machine: pytest.MonkeyPatch, mhagen: Run) -> None:
    machine.setattr(disturbance, "busy", lambda: 7.5)
    assert "warning" not in mhagen(*EXPLAIN, "--threads", 2, "--no-measure").err
