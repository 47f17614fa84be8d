"""Parts of the machine by themselves: branches, barriers, boxes of tensors. No compiler is needed."""

from __future__ import annotations

import numpy as np
import pytest

from gpu.machine.copies import TensorMap
from gpu.machine.faults import Fault
from gpu.machine.mbarriers import Copy, Mbarriers
from gpu.machine.memory import SHARED_BASE, GlobalMemory, SharedMemory
from gpu.machine.run import WARP, Launch, launch

HEADER = ".visible .entry kernel(.param .u64 out) { .reg .b32 %r<9>; .reg .b64 %d<9>; .reg .pred %p<9>; "
STORE = (
    "mov.u32 %r0, %tid.x; ld.param.u64 %d0, [out]; mul.wide.u32 %d1, %r0, 4; add.u64 %d2, %d0, %d1; "
    "st.global.b32 [%d2], %r8; ret; }"
)


def run(body: str, threads: int = 32, seed: int = 0) -> list[int]:
    """What each thread has in %r8 behind the body."""
    memory = GlobalMemory(1 << 16)
    out = memory.put(np.zeros(threads, np.uint32))
    launch(HEADER + body + STORE, Launch((1, 1, 1), threads, 1024, WARP, seed), (out,), memory)
    return memory.get(out, np.uint32, (threads,)).tolist()


def test_lanes_that_branched_apart_meet_again() -> None:
    loop = (
        "mov.u32 %r1, %tid.x; mov.u32 %r8, 0; again: setp.ge.u32 %p1, %r8, %r1; @%p1 bra done; "
        "add.u32 %r8, %r8, 1; bra again; done: shfl.sync.idx.b32 %r8, %r8, 31, 31, -1; "
    )
    assert run(loop) == [31] * 32


def test_lanes_may_leave_early() -> None:
    leave = "mov.u32 %r8, 7; mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 4; @%p1 ret; "
    assert run(leave) == [0] * 4 + [7] * 28


def test_labels_belong_to_their_braces() -> None:
    block = "{ .reg .b32 x; mov.u32 x, 5; bra out; mov.u32 x, 6; out: add.u32 %r8, %r8, x; } "
    assert run("mov.u32 %r8, 0; " + 2 * block) == [10] * 32


def test_a_barrier_in_divergent_code_is_a_fault() -> None:
    with pytest.raises(Fault, match="divergent"):
        run("mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 4; @%p1 bra over; bar.sync 0; over: ")


def test_a_warp_that_never_comes_is_a_deadlock() -> None:
    with pytest.raises(Fault, match="deadlock"):
        run("mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 32; @%p1 bra over; bar.sync 0; over: ", threads=64)


def test_a_named_barrier_waits_for_those_it_counts() -> None:
    """The first warp arrives and goes on, the second waits for it; the third has no part in it."""
    body = (
        "mov.u32 %r1, %tid.x; setp.ge.u32 %p1, %r1, 64; @%p1 bra over; setp.ge.u32 %p2, %r1, 32; "
        "@%p2 bra second; st.shared.b32 [1024], 9; bar.arrive 1, 64; bra over; "
        "second: bar.sync 1, 64; ld.shared.b32 %r8, [1024]; over: "
    )
    for seed in range(6):
        assert run(body, threads=96, seed=seed)[32:64] == [9] * 32


# Each thread stores its number, and loads that of the thread one or 32 behind it.
EXCHANGE = (
    "mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 2; add.u32 %r2, %r2, 1024; st.shared.b32 [%r2], %r1; {} "
    "add.u32 %r3, %r1, {}; and.b32 %r3, %r3, 63; shl.b32 %r3, %r3, 2; add.u32 %r3, %r3, 1024; "
    "ld.shared.b32 %r8, [%r3]; {}"
)
ONE_WARP, BOTH = "bar.warp.sync -1;", "bar.sync 0;"


@pytest.mark.parametrize(
    ("behind", "between"),
    [(1, ONE_WARP), (32, ONE_WARP), (32, ""), (1, "shfl.sync.idx.b32 %r4, %r1, 0, 31, -1;")],
)
def test_what_another_thread_wrote_is_read_behind_a_barrier_or_not_at_all(behind: int, between: str) -> None:
    assert run(EXCHANGE.format(BOTH, behind, ""), 64) == [(n + behind) % 64 for n in range(64)]
    for seed in range(4):
        with pytest.raises(Fault, match="a race in shared memory"):
            run(EXCHANGE.format(between, behind, ""), 64, seed)


def test_who_meets_at_a_barrier_later_knows_nothing_of_who_met_there_before() -> None:
    """Two warps store and meet, and two others then meet at the same barrier and read."""
    body = (
        "mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 2; add.u32 %r2, %r2, 1024; setp.ge.u32 %p1, %r1, 64; "
        "@%p1 bra readers; st.shared.b32 [%r2], %r1; bar.sync 1, 64; bra over; "
        "readers: bar.sync 1, 64; ld.shared.b32 %r8, [1024]; over: "
    )
    for seed in range(6):
        with pytest.raises(Fault, match="a race in shared memory"):
            run(body, 128, seed)


def test_lanes_that_store_different_numbers_at_one_place_are_a_race() -> None:
    run("st.shared.b32 [1024], 9; ")
    with pytest.raises(Fault, match="a race in shared memory"):
        run("mov.u32 %r1, %tid.x; st.shared.b32 [1024], %r1; ")


def test_to_arrive_at_an_mbarrier_is_not_to_meet() -> None:
    """Each lane stores its number and arrives, and reads its neighbour's."""
    body = (
        "mov.u32 %r1, %tid.x; setp.ne.u32 %p1, %r1, 0; @%p1 bra ready; mbarrier.init.shared.b64 [1536], 32; "
        "ready: bar.warp.sync -1; shl.b32 %r2, %r1, 2; add.u32 %r2, %r2, 1024; st.shared.b32 [%r2], %r1; "
        "mbarrier.arrive.shared.b64 _, [1536]; {} xor.b32 %r2, %r2, 4; ld.shared.b32 %r8, [%r2]; "
    )
    assert run(body.format(ONE_WARP)) == [n ^ 1 for n in range(32)]
    with pytest.raises(Fault, match="a race in shared memory"):
        run(body.format(""))


def test_lanes_of_a_warp_need_no_barrier_of_all() -> None:
    within = EXCHANGE.replace("and.b32 %r3, %r3, 63", "and.b32 %r3, %r3, 31")
    assert run(within.format(ONE_WARP, 1, "")) == [(n + 1) % 32 for n in range(32)]


@pytest.mark.parametrize(("behind", "who"), [(1, "thread"), (0, "other lanes")])
def test_what_others_read_is_overwritten_behind_a_barrier_or_not_at_all(behind: int, who: str) -> None:
    again = "" if behind else "and.b32 %r4, %r1, 32; shl.b32 %r4, %r4, 2; ld.shared.b32 %r4, [%r4+1024]; "
    again += "{} st.shared.b32 [%r2], 5;"
    run(EXCHANGE.format(BOTH, behind, again.format(BOTH)), 64)
    with pytest.raises(Fault, match=rf"a race in shared memory.* writes what {who}.* read"):
        run(EXCHANGE.format(BOTH, behind, again.format("")), 64)


def test_what_was_copied_is_read_behind_the_wait_and_a_barrier() -> None:
    copy = (
        "ld.param.u64 %d3, [out]; mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 4; add.u32 %r2, %r2, 1024; "
        "mov.u32 %r3, 0; cp.async.cg.shared.global [%r2], [%d3], 16, %r3; cp.async.commit_group; {}"
        "xor.b32 %r4, %r2, 16; ld.shared.b32 %r8, [%r4]; "
    )
    wait = "cp.async.wait_group 0; "
    how = Launch((1, 1, 1), 32, 1024)

    def copied(between: str) -> list[int]:
        memory = GlobalMemory(1 << 16)
        out = memory.put(np.ones(32, np.uint32))
        launch(HEADER + copy.format(between) + STORE, how, (out,), memory)
        return memory.get(out, np.uint32, (32,)).tolist()

    assert copied(wait + ONE_WARP) == [0] * 32
    for missing in (wait, ONE_WARP):
        with pytest.raises(Fault, match="a race in shared memory"):
            copied(missing)


def test_shared_memory_is_poison_at_first() -> None:
    assert run("ld.shared.b32 %r8, [1024]; ") == [0xFFFFFFFF] * 32


def test_every_lane_of_a_warp_to_one_bank_is_31_conflicts() -> None:
    shared = SharedMemory(1 << 13)
    shared.read(SHARED_BASE + 128 * np.arange(32), 4)
    assert shared.conflicts == 31
    shared.read(SHARED_BASE + 4 * np.arange(32), 4)
    shared.read(np.full(32, SHARED_BASE), 4)
    assert shared.conflicts == 31


def test_a_phase_ends_when_all_have_arrived_and_all_bytes_have_come() -> None:
    shared = SharedMemory(64)
    barriers = Mbarriers(shared)
    barriers.init(SHARED_BASE, 2)
    assert barriers.is_over(SHARED_BASE, 1)
    assert not barriers.is_over(SHARED_BASE, 0)
    copy = Copy(np.array([SHARED_BASE + 16]), np.full((1, 4), 5, np.uint8), np.array([0]))
    copy.begin(shared, copy.copier)
    barriers.arrive(SHARED_BASE, 0, expected_bytes=4)
    barriers.send(SHARED_BASE, (copy,), copy.copier, count=4)
    assert shared.bytes[SHARED_BASE + 16] == 255
    barriers.arrive(SHARED_BASE, 0)
    assert barriers.is_over(SHARED_BASE, 0)
    assert shared.bytes[SHARED_BASE + 16] == 5


def test_what_was_copied_arrives_for_its_threads() -> None:
    body = (
        "mov.u32 %r1, %tid.x; setp.ne.u32 %p1, %r1, 0; @%p1 bra ready; mbarrier.init.shared.b64 [1024], 32; "
        "ready: ld.param.u64 %d3, [out]; shl.b32 %r2, %r1, 4; add.u32 %r2, %r2, 2048; "
        "mov.u32 %r3, 0; cp.async.cg.shared.global [%r2], [%d3], 16, %r3; "
        "cp.async.mbarrier.arrive.noinc.shared::cta.b64 [1024]; "
        "wait: mbarrier.try_wait.parity.shared.b64 %p2, [1024], 0; @!%p2 bra wait; ld.shared.b32 %r8, [%r2]; "
    )
    memory = GlobalMemory(1 << 16)
    out = memory.put(np.ones(32, np.uint32))
    launch(HEADER + body + STORE, Launch((1, 1, 1), 32, 2048), (out,), memory)
    assert memory.get(out, np.uint32, (32,)).tolist() == [0] * 32


@pytest.mark.parametrize("corner", [(0, 0, 0, 0), (0, 3, 1, 1), (64, -2, 2, 0), (32, 4, 0, 1)])
def test_a_box_is_a_slice_with_zeros_outside(corner: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    tensor = rng.integers(1, 1 << 16, (2, 3, 5, 96)).astype(np.uint16)
    memory = GlobalMemory(1 << 16)
    strides = tuple(reversed(tensor.strides[:-1]))
    box = (64, 4, 2, 1)
    tensor_map = TensorMap(memory.put(tensor), (96, 5, 3, 2), strides, box)
    padded = np.pad(tensor, [(4, 4)] * 3 + [(64, 64)])
    firsts = [first + before for first, before in zip(corner, (64, 4, 4, 4), strict=True)]
    slices = [slice(first, first + count) for first, count in zip(firsts, box, strict=True)]
    expected = padded[tuple(reversed(slices))].reshape(-1, 64)
    np.testing.assert_array_equal(tensor_map.rows(corner, memory).view(np.uint16), expected)


def test_a_module_that_says_what_the_machine_cannot_do_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="tex"):
        run("tex.1d.v4.f32.s32 %r1, [%d1]; ")
