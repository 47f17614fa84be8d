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
.reg .pred %p<3>;
.reg .b32 %r<9>;
.reg .b64 %rd<9>;
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
    launch(KERNEL.format(body=body, behind=behind), Launch((1, 1, 1), WARPGROUP, 0, width), (out,), memory)
    return memory.get(out, np.uint32, (WARPGROUP,))


@pytest.mark.parametrize("width", [WARP, WARPGROUP])
@pytest.mark.parametrize("first", [EXCHANGE, f"cp.async.commit_group; {EXCHANGE}"])
def test_lanes_that_come_by_a_block_at_the_end_are_waited_for(first: str, width: int) -> None:
    """Compilers place there what is seldom run. All of a warp meet where the ways join."""
    body = f"setp.lt.u32 %p1, %r2, 8; @%p1 bra LATE; JOINED: {first}"
    found = result(body, "LATE: add.u32 %r4, %r4, 1000; bra.uni JOINED;", width)
    np.testing.assert_array_equal(found, PARTNERS + 1000 * (PARTNERS % WARP < 8))


@pytest.mark.parametrize("width", [WARP, WARPGROUP])
def test_whole_warps_may_go_different_ways(width: int) -> None:
    body = f"setp.eq.u32 %p1, %r3, 2; @%p1 bra PAST; {EXCHANGE} PAST: add.u32 %r4, %r4, 1;"
    np.testing.assert_array_equal(
        result(body, width=width), np.where(NUMBERS // WARP == 2, NUMBERS, PARTNERS) + 1
    )


def test_matrices_are_read_by_those_warps_alone_that_ask() -> None:
    """What the others have in place of an address is none."""
    read = "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r5}, [%r6];"
    body = f"mov.u32 %r6, 1024; setp.eq.u32 %p1, %r3, 2; @%p1 mov.u32 %r6, 7; @%p1 bra PAST; {read} PAST:"
    with pytest.raises(Fault, match="shared memory out of bounds"):
        result(body)
    with pytest.raises(Fault, match="not a multiple"):
        result(body.replace("@%p1 bra PAST;", ""))


def test_lanes_that_leave_out_an_exchange_are_a_fault() -> None:
    with pytest.raises(Fault, match="divergent"):
        result(f"setp.lt.u32 %p1, %r2, 8; @%p1 bra PAST; {EXCHANGE} PAST:")


def test_what_is_local_is_each_threads_own() -> None:
    body = "mov.u64 %rd4, own; st.local.u32 [%rd4+4], %r1; mov.u32 %r4, 0; ld.local.u32 %r4, [%rd4+4];"
    np.testing.assert_array_equal(result(body), NUMBERS)
    unwritten = result("mov.u64 %rd4, own; ld.local.u32 %r4, [%rd4];")
    np.testing.assert_array_equal(unwritten, np.full(WARPGROUP, 0xFFFFFFFF))


def test_what_lies_beyond_local_arrays_is_nobodys() -> None:
    with pytest.raises(Fault, match="local memory out of bounds"):
        result("mov.u64 %rd4, own; st.local.u32 [%rd4+16], %r1;")
