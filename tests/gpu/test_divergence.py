"""How the machine runs threads that go different ways, and what each of them has for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gpu.machine.faults import Fault
from gpu.machine.memory import GlobalMemory
from gpu.machine.run import WARP, WARPGROUP, Launch, launch

KERNEL = """
.version 8.5
.target sm_90a
.address_size 64
.visible .entry kernel(.param .u64 out)
.maxntid 128, 1, 1
{{
.local .align 16 .b8 own[16];
.local .align 16 .b8 others[16];
.reg .pred %p<3>;
.reg .b32 %r<9>;
.reg .b64 %rd<9>;
.reg .f32 %f<9>;
mov.u32 %r1, %tid.x;
and.b32 %r2, %r1, 31;
shr.u32 %r3, %r1, 5;
mov.u32 %r4, %r1;
{body}
ld.param.u64 %rd1, [out];
mul.wide.u32 %rd2, %r1, 4;
add.u64 %rd3, %rd1, %rd2;
st.global.u32 [%rd3], %r4;
ret;
{behind}
}}
"""
NUMBERS = np.arange(WARPGROUP)
PARTNERS = NUMBERS.reshape(-1, WARP)[:, ::-1].ravel()
EXCHANGE = "shfl.sync.bfly.b32 %r4, %r4, 31, 31, -1;"


def result(body: str, behind: str = "", width: int = WARPGROUP) -> NDArray[Any]:
    """What 128 threads store, each one number."""
    memory = GlobalMemory(1 << 16)
    out = memory.put(np.zeros(WARPGROUP, np.uint32))
    launch(KERNEL.format(body=body, behind=behind), Launch((1, 1, 1), WARPGROUP, 1024, width), (out,), memory)
    return memory.get(out, np.uint32, (WARPGROUP,))


PAST = "setp.eq.u32 %p1, %r3, 2; @%p1 bra PAST;"  # the third warp goes past what follows
FEW = "setp.lt.u32 %p1, %r2, 8;"  # of each warp
# What comes before a step of whole warps, the step, and what comes behind; and what that leaves in %r4.
PLACES = "shl.b32 %r6, %r2, 4; add.u32 %r6, %r6, 1024;"
ONES = (
    "mov.u32 %r5, 1006648320; cvt.rn.f32.u32 %f1, %r1; mov.f32 %f2, %f1; mov.f32 %f3, %f1; mov.f32 %f4, %f1;"
)
MULTIPLY = (
    "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1, %f2, %f3, %f4}, {%r5, %r5, %r5, %r5}, "
    "{%r5, %r5}, {%f1, %f2, %f3, %f4};"
)
ALONE = {
    "shfl": ("", EXCHANGE, "", PARTNERS),
    "vote": ("setp.eq.u32 %p2, %r2, 5;", "vote.sync.ballot.b32 %r4, %p2, -1;", "", 0 * NUMBERS + (1 << 5)),
    "ldmatrix": (
        PLACES,
        "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r4}, [%r6];",
        "",
        0 * NUMBERS + 0xFFFFFFFF,
    ),
    "mma": (ONES, MULTIPLY, "cvt.rzi.u32.f32 %r4, %f1;", NUMBERS + 16),
}
ALL_TOGETHER = (
    "bar.sync 0;",
    "bar.sync 1, 128;",
    "cp.async.commit_group;",
    "cp.async.wait_group 0;",
    "cp.async.wait_all;",
    "wgmma.fence.sync.aligned;",
    "wgmma.commit_group.sync.aligned;",
    "wgmma.wait_group.sync.aligned 0;",
    "setmaxnreg.inc.sync.aligned.u32 240;",
)


@pytest.mark.parametrize("width", [WARP, WARPGROUP])
@pytest.mark.parametrize("first", ["", *ALL_TOGETHER, *(" ".join(each[:2]) for each in ALONE.values())])
def test_lanes_that_come_by_a_block_at_the_end_are_waited_for(first: str, width: int) -> None:
    """Compilers place there what is seldom run. All of a warp meet where the ways join."""
    body = f"{FEW} @%p1 bra LATE; JOINED: mov.u32 %r7, %r4; {first} mov.u32 %r4, %r7; {EXCHANGE}"
    found = result(body, "LATE: add.u32 %r4, %r4, 1000; bra.uni JOINED;", width)
    np.testing.assert_array_equal(found, PARTNERS + 1000 * (PARTNERS % WARP < 8))


@pytest.mark.parametrize("width", [WARP, WARPGROUP])
@pytest.mark.parametrize("step", ALONE)
def test_whole_warps_may_go_different_ways(step: str, width: int) -> None:
    """Whoever goes past a step keeps what it has."""
    before, text, behind, gives = ALONE[step]
    found = result(f"{before} {PAST} {text} PAST: {behind}", width=width)
    np.testing.assert_array_equal(found, np.where(NUMBERS // WARP == 2, NUMBERS, gives))


@pytest.mark.parametrize("width", [WARP, WARPGROUP])
@pytest.mark.parametrize("step", [*(each[1] for each in ALONE.values()), "bar.warp.sync -1;"])
def test_lanes_that_leave_out_a_step_of_their_warp_are_a_fault(step: str, width: int) -> None:
    with pytest.raises(Fault, match="divergent"):
        result(f"{FEW} @%p1 bra PAST; {step} PAST:", width=width)


@pytest.mark.parametrize("step", ALL_TOGETHER)
@pytest.mark.parametrize(
    "way", ["{PAST} {step} PAST:", "{FEW} @%p1 {step}", "{FEW} @!%p1 bra ON; ret; ON: {step}"]
)
def test_who_leaves_out_a_step_of_four_warps_is_a_fault(step: str, way: str) -> None:
    with pytest.raises(Fault, match=r"divergent|deadlock"):
        result(way.format(PAST=PAST, FEW=FEW, step=step))


def test_threads_that_come_to_different_barriers_are_a_fault() -> None:
    with pytest.raises(Fault, match="different barriers"):
        result("bar.sync %r3, 128;")


def test_what_is_local_is_each_threads_own() -> None:
    """Some of them write, and the others read what nobody wrote."""
    body = f"mov.u64 %rd4, own; {FEW} @%p1 st.local.u32 [%rd4+4], %r1; ld.local.u32 %r4, [%rd4+4];"
    np.testing.assert_array_equal(result(body), np.where(NUMBERS % WARP < 8, NUMBERS, 0xFFFFFFFF))


def test_what_lies_beyond_local_arrays_is_nobodys() -> None:
    with pytest.raises(Fault, match="local memory out of bounds"):
        result("mov.u64 %rd4, own; st.local.u32 [%rd4+16], %r1;")
