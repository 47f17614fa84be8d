"""Rows that lie in memory in any order: what CPUs read, GPUs read too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu import test_attention, test_float32, test_hopper, test_second
from gpu.attention import SMALL, Call, assert_right, module_of, run
from gpu.toolchain import needs_compiler

pytestmark = needs_compiler
# Each with the schedule and the architecture by which another test has compiled it.
BACKWARDS = {
    "tiles": (test_attention.CAUSAL, SMALL, "sm_80", Call(33, 65, batch=2, query_offset=32)),
    "parts": (test_attention.CAUSAL, SMALL, "sm_80", Call(2, 130, batch=2, query_offset=128, parts=2)),
    "second passes, rows first, not aligned": (
        test_second.PLAIN,
        SMALL,
        "sm_80",
        Call(33, 65, batch=2, layout="bshd", gap=3),
    ),
    "float32": (test_float32.CHOSEN["17 and 33"], None, "sm_80", Call(9, 40, batch=2)),
    "Hopper": (test_hopper.CAUSAL, None, "sm_90a", Call(65, 40, query_offset=9)),
}


@pytest.mark.parametrize("kernel", BACKWARDS)
def test_rows_may_run_backwards(kernel: str) -> None:
    """Of queries, keys, values and results, and with them heads and batch entries."""
    spec, schedule, arch, call = BACKWARDS[kernel]
    outcome = run(spec, replace(call, backwards=True), module_of(spec, schedule, arch))
    assert_right(outcome, spec["dtype"])
