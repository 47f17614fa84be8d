"""Nothing is ever read or written out of bounds: a byte beyond an array would end the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mhagen.base.target import TARGETS, Target
from mhagen.runtime.host import host_target

from . import dtypes
from .dtypes import runs_here
from .specs import CASES

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pages are protected by mprotect")
ALL = [case.spec.name for case in CASES]


def names_for(target: Target) -> list[str]:
    """Every case on the widest target, whose kernels other tests compile anyway; every format on all."""
    made = (*dtypes.CASES, *dtypes.LAYER_CASES)
    formats = [case.spec.name for case in made if case.chosen is target]
    return [*formats, *ALL, "full", "square"] if target is host_target() else formats


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    folder = Path(__file__).parent
    paths = [str(folder.parent), str(folder.parents[1]), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def test_a_byte_beyond_a_fenced_array_ends_the_process() -> None:
    done = in_a_process("-c", "from kernels.fences import step_over; step_over()")
    assert done.returncode < 0


@pytest.mark.parametrize("target", [*filter(runs_here, TARGETS)], ids=lambda target: target.name)
def test_nothing_is_touched_beyond_the_edges_of_any_array(target: Target) -> None:
    done = in_a_process("-m", "kernels.fences", target.name, *names_for(target))
    last = (done.stdout.splitlines() or ["nothing"])[-1]
    assert done.returncode == 0 and last == "done", (
        f"ended at {last}: {done.returncode}\n{done.stderr[-2000:]}"
    )
