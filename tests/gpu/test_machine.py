"""The machine runs sound kernels to the right result, and is not deceived by those with a fault planted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu.machine.faults import Fault
from gpu.specimens import hopper_kernel, mma_kernel, operands, run_hopper, run_mma
from gpu.toolchain import assemble, needs_compiler, needs_sass

pytestmark = needs_compiler
SEEDS = range(4)  # a fault of order shows in one order of the warps, not in every one
EXPECTED = operands()[2]

Plant = Callable[[str], str]


def without(instruction: str, number: int = 0) -> Plant:
    """Drop one occurrence of an instruction."""

    def plant(text: str) -> str:
        found = list(re.finditer(rf"{instruction}[^;]*;", text))[number]
        return text[: found.start()] + text[found.end() :]

    return plant


def instead(old: str, new: str) -> Plant:
    def plant(text: str) -> str:
        assert re.search(old, text), old
        return re.sub(old, new, text, count=1)

    return plant


def test_a_kernel_of_the_mma_family_is_right() -> None:
    found, counts = run_mma(mma_kernel())
    np.testing.assert_array_equal(found, EXPECTED)
    assert counts["mma"] == 4 * 5 * 4 * 8
    assert counts["bank_conflicts"] == 0


def test_a_hopper_kernel_is_right() -> None:
    found, counts = run_hopper(hopper_kernel())
    np.testing.assert_array_equal(found, EXPECTED)
    assert counts["wgmma"] == 5 * 4
    assert counts["boxes"] == 6


def everywhere(old: str, new: str) -> Plant:
    """In each copy of a loop: the compiler unrolls those of tiles."""

    def plant(text: str) -> str:
        assert re.search(old, text), old
        return re.sub(old, new, text)

    return plant


def shows(run: Callable[..., Any], text: str) -> bool:
    """Is the result wrong, or the kernel refused, in some order of its warps?"""
    for seed in SEEDS:
        try:
            if not np.array_equal(run(text, seed=seed)[0], EXPECTED):
                return True
        except Fault:
            return True
    return False


WRONG_RESULTS: dict[str, Plant] = {
    "a wait before the tile is there": without("cp.async.wait_group"),
    "the barrier between copy and use": without("bar.sync"),
    "the barrier between use and the next copy": without("bar.sync", 1),
    "a swizzle where it is stored": instead(r"xor\.b64", "or.b64"),
    "a commit": without("cp.async.commit_group", 1),
}


@pytest.mark.parametrize("fault", WRONG_RESULTS)
def test_a_missing_step_of_the_mma_kernel_shows(fault: str) -> None:
    assert shows(run_mma, WRONG_RESULTS[fault](mma_kernel()))


def test_rows_that_are_not_swizzled_conflict() -> None:
    text = re.sub(r"xor\.b(32|64)", r"or.b\1", mma_kernel())
    assert run_mma(text)[1]["bank_conflicts"] > 0


def test_a_tile_too_many_is_out_of_bounds() -> None:
    with pytest.raises(Fault, match="global memory out of bounds"):
        run_mma(mma_kernel(), count=6)


def test_an_offset_too_great_is_out_of_shared_memory() -> None:
    with pytest.raises(Fault, match="shared memory out of bounds"):
        run_mma(instead(r"(add\.s32\s+%r\d+, %r\d+), 8192;", r"\1, 81920;")(mma_kernel()))


def test_an_address_between_rows_is_not_aligned() -> None:
    with pytest.raises(Fault, match=r"aligned|multiple"):
        run_mma(instead(r"(add\.s32\s+%r\d+, %r\d+), 2048;", r"\1, 2052;")(mma_kernel()))


FAULTS: dict[str, tuple[Plant, str]] = {
    "an arrival dropped": (without(r"mbarrier\.arrive\.shared"), "deadlock"),
    "no wgmma waited for": (everywhere(r"wgmma\.wait_group[^;]*;", ""), "wgmma"),
    "a wgmma not waited for": (without(r"wgmma\.wait_group"), "a copy overwrites"),
    "an mbarrier not initialised": (without(r"mbarrier\.init"), "no mbarrier"),
    "an arrival too many": (
        instead(r"(mbarrier\.arrive\.shared[^;]*;)", r"\1 \1"),
        "more threads arrived|deadlock",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_hopper_kernel_is_named(fault: str) -> None:
    plant, message = FAULTS[fault]
    with pytest.raises(Fault, match=message):
        for seed in SEEDS:
            run_hopper(plant(hopper_kernel()), seed=seed)


def test_a_kernel_that_goes_on_at_once_is_caught() -> None:
    producer, consumer = hopper_kernel().split("setmaxnreg.inc")
    hasty = re.sub(r"\{ \.reg \.pred done;.*?bra again; \}", "", consumer, count=1)
    assert hasty != consumer
    assert shows(run_hopper, f"{producer}setmaxnreg.inc{hasty}")


def test_too_few_bytes_expected_are_caught() -> None:
    assert shows(run_hopper, everywhere(r"(mov\.u32\s+%r\d+), 16384;", r"\1, 8192;")(hopper_kernel()))


def test_a_wrong_stride_of_a_matrix_is_caught() -> None:
    stride = (1 << 62) | (64 << 32) | (1 << 16)
    assert str(stride) in hopper_kernel()
    assert shows(run_hopper, hopper_kernel().replace(str(stride), str(stride ^ (96 << 32))))


@needs_sass
@pytest.mark.parametrize(
    ("kernel", "arch", "ceiling", "opcodes"),
    [
        (mma_kernel, "sm_80", 128, ("HMMA", "LDSM", "LDGSTS")),
        (hopper_kernel, "sm_90a", 240, ("HGMMA", "UTMALDG", "SYNCS", "USETMAXREG")),
    ],
)
def test_accumulators_stay_in_registers(
    kernel: Callable[[], str], arch: str, ceiling: int, opcodes: tuple[str, ...], tmp_path: Path
) -> None:
    made = assemble(kernel(), arch, tmp_path)
    assert (made.stack_bytes, made.spilled_bytes) == (0, 0)
    assert made.registers <= ceiling
    found = made.opcodes()
    assert all(found[opcode] for opcode in opcodes), found
