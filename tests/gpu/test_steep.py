"""Scores that rise steeply, or by what is not finite, from key to key: kernels do not split them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest

from gpu.attention import SMALL, Call, Outcome, assert_right, module_of, run, spec_of
from gpu.test_attention import inputs
from gpu.toolchain import needs_compiler
from mhagen.schedule.gpu_plan import GpuSchedule
from mhagen.schedule.hopper_plan import HopperSchedule

pytestmark = needs_compiler
SLOPES = np.array([np.inf, -np.inf, np.nan, 0.3, 20.0, -9.0], np.float32)
# Each mask by a slice of the diagonals, so that one kernel has all of them.
KEEP = {"k <= q": (-99, 0), "k < q": (-99, -1), "k > q": (1, 99), "all keys": (-99, 99)}


def alibi(dtype: str, dim: int, statistics: list[str]) -> dict[str, Any]:
    return spec_of(
        dtype=dtype,
        heads={"query": 6, "key_value": 3, "dim": dim},
        scores={"modify": "score + slope[h] * (k - q)"},
        mask={"keep": "k - q >= least[0] and k - q <= most[0]"},
        inputs=inputs(slope=(["query_heads"], "float32"), least=([1], "int32"), most=([1], "int32")),
        outputs={"statistics": statistics},
    )


HALF, SINGLE = alibi("float16", 32, ["lse", "entropy"]), alibi("float32", 16, ["lse"])
HOPPER, SECOND = alibi("float16", 64, ["lse"]), alibi("float16", 16, ["received", "top_2"])
KERNELS: Mapping[str, tuple[dict[str, Any], Any, str, dict[str, int]]] = {
    "mma.sync": (HALF, SMALL, "sm_80", {}),
    "decoding": (HALF, SMALL, "sm_80", {"queries": 5, "query_offset": 30, "parts": 2}),
    "float32": (SINGLE, GpuSchedule(2, 1, 32, 2, False), "sm_80", {}),
    "decoding of float32": (SINGLE, GpuSchedule(2, 1, 32, 2, False), "sm_80", {"queries": 3, "parts": 2}),
    "wgmma": (HOPPER, HopperSchedule(consumers=2, block_keys=32, stages=2), "sm_90a", {}),
    "second passes": (SECOND, SMALL, "sm_80", {}),
}


def attended(kernel: str, keep: str) -> tuple[str, Outcome]:
    spec, plan, arch, changes = KERNELS[kernel]
    least, most = (np.array([bound], np.int32) for bound in KEEP[keep])
    given = {"slope": SLOPES, "least": least, "most": most}
    call = Call(**{"queries": 37, "keys": 45, **changes}, inputs=given)
    return spec["dtype"], run(spec, call, module_of(spec, plan, arch))


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("kernel", KERNELS)
def test_slopes_of_any_size_give_what_the_reference_gives(kernel: str, keep: str) -> None:
    dtype, outcome = attended(kernel, keep)
    assert_right(outcome, dtype)
    out = outcome.found[0]
    assert np.isfinite(out[:, 3:]).all()
    for head, zeros in ((0, "k < q"), (1, "k > q")):  # there all scores are minus infinity
        assert (out[:, head] == 0).all() == (keep == zeros)


def test_what_is_added_to_a_row_may_be_infinite_too() -> None:
    spec = spec_of(
        scores={"modify": "score + slope[q] * (k - q) + level[q]"},
        mask={"keep": "k < q"},
        inputs=inputs(slope=(["queries"], "float32"), level=(["queries"], "float32")),
        outputs={"statistics": ["lse"]},
    )
    pairs = list(product((0.5, 9.0, *SLOPES[:3]), (0.25, *SLOPES[:3])))
    slope, level = np.array(pairs * 2, np.float32).T
    for parts in (0, 2):
        call = Call(40, 40, inputs={"slope": slope, "level": level}, parts=parts)
        assert_right(run(spec, call), "float16")
