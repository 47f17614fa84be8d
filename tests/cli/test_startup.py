"""A command that needs no numbers starts at once."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest

from .conftest import command, environment

ALLOWED_SECONDS = 0.4
TRIES = 5  # the first may have to write bytecode


@pytest.mark.parametrize("arguments", [("--help",), ("check", "tiny.toml")], ids=" ".join)
def test_start_up_takes_less_than_four_tenths_of_a_second(tiny: Path, arguments: tuple[str, ...]) -> None:
    """CPU time, so that a busy machine changes nothing."""
    assert min(cpu_seconds(arguments, tiny.parent) for _ in range(TRIES)) < ALLOWED_SECONDS


def cpu_seconds(arguments: tuple[str, ...], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command(*arguments), env=environment(), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
