"""The first filter of schedules for GPUs: what ptxas says, who fits a multiprocessor, what is dropped."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from gpu.toolchain import needs_compiler, needs_ptxas

from mhagen.base.errors import UnsupportedError
from mhagen.base.target import SM_80, SM_86, SM_90, SM_90A
from mhagen.pipeline import compile_to_gpu_source
from mhagen.schedule.gpu_plan import GpuSchedule, GpuSizes
from mhagen.schedule.gpu_written import plan_to_json
from mhagen.schedule.hopper_plan import HopperSchedule
from mhagen.tuning import ptxas
from mhagen.tuning.gpu_sieve import NO_TIME_LEFT, Sieve, Sifted, reasons_against, sifted
from mhagen.tuning.gpu_static import Products, blocks_at_once, products_of
from mhagen.tuning.isolated import Reply
from mhagen.tuning.verdict import Verdict
from tuning.planted_for_gpus import GOOD

HERE = str(Path(__file__).parent)
MMA = GpuSchedule(warps=4, row_tiles=2, block_keys=64, stages=2, keeps_queries=True)
LOG = """\
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to ...
ptxas info    : Compiling entry function 'one' for 'sm_90a'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 96 registers, used 2 barriers
ptxas info    : Compiling entry function 'other' for 'sm_90a'
    48 bytes stack frame, 40 bytes spill stores, 36 bytes spill loads
ptxas info    : Used 168 registers, used 16 barriers, 512 bytes smem
"""


def plans(*blocks: int) -> list[GpuSchedule]:
    return [GpuSchedule(4, 1, block_keys, 2, True) for block_keys in blocks]


def test_of_the_kernels_of_a_module_the_worst_counts() -> None:
    assert ptxas.figures_in(LOG) == ptxas.Figures(168, 48, 76, 512, True)
    quiet = "\n".join(LOG.splitlines()[1:4])
    assert ptxas.figures_in(quiet) == ptxas.Figures(96, 0, 0, 0, False)


def test_without_ptxas_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptxas, "ptxas", lambda: None)
    with pytest.raises(UnsupportedError, match=r"pip install 'nvidia-cuda-nvcc"):
        ptxas.figures_of(b"", "sm_80")


@needs_ptxas
def test_what_ptxas_has_against_a_kernel_is_told() -> None:
    with pytest.raises(UnsupportedError, match=r"ptxas refuses it: .*kernel\.ptx"):
        ptxas.figures_of(b"this is no PTX", "sm_80")


def test_a_multiprocessor_holds_as_many_blocks_as_registers_memory_and_warps_allow() -> None:
    def held(gpu: Any, threads: int, registers: int, kilobytes: int) -> int:
        return blocks_at_once(gpu, threads=threads, registers=registers, shared_bytes=kilobytes << 10)

    assert held(SM_90, 128, 255, 64) == 2  # by registers: 8 of its 64 warps have so many
    assert held(SM_90, 128, 255, 160) == 1  # by memory
    assert held(SM_90A, 384, 168, 160) == 1
    assert held(SM_90, 32, 32, 0) == 32  # by blocks
    assert held(SM_86, 256, 32, 0) == 6  # by warps
    assert held(SM_80, 512, 255, 0) == 0


def test_what_a_schedule_reads_and_multiplies_follows_from_its_tiles() -> None:
    sizes = GpuSizes(64, 64)
    assert products_of(MMA, sizes) == Products(2 * (8 * 4 + 8 * 4), 2 / 32)
    assert products_of(GpuSchedule(4, 2, 32, 2, False), GpuSizes(64, 64, 4)) == Products(
        4 * 8 * (64 + 64), 4 * (8 * (64 + 64) + 4 * (64 + 32)) / (4 * 8 * (64 + 64))
    )
    read = 64 * 128 + 64 * 64  # numbers: of keys, values and queries
    assert products_of(HopperSchedule(2, 64, 2), sizes) == Products(8, 2 * read / (64 * 64 * 128))


@needs_compiler
@needs_ptxas
def test_a_kernel_that_is_compiled_has_the_figures_and_the_products_that_are_said() -> None:
    from mhagen.backend.cuda import load_gpu, tile_kernels
    from mhagen.tuning.gpu_checking import check

    spec = {"name": "sieved", "dtype": "float16", "heads": {"query": 2, "dim": 16}}
    found = check({"spec": spec, "arch": "sm_80", "schedule": plan_to_json(MMA)})
    assert not list(reasons_against(found))
    assert 0 < found["registers"] <= 255
    assert found["blocks"] * 4 * 32 * found["registers"] <= SM_80.registers
    (kernel,) = tile_kernels(load_gpu(compile_to_gpu_source(spec, "sm_80", MMA)[2]))
    assert found["shared_bytes"] == kernel.shared_bytes
    assert kernel.code().count(b"mma.sync") == products_of(MMA, GpuSizes(16, 16)).instructions


def test_what_spills_is_refused_or_hangs_is_dropped_with_its_reason() -> None:
    told: list[Sifted] = []
    sieve = Sieve(1, "planted_for_gpus:check", (HERE,))
    try:
        found = sieve.sift({}, SM_80, plans(64, 32, 48, 16, 128, 80), monotonic() + 10.0, told.append)
    finally:
        sieve.close()
    assert tuple(told) == found
    assert [each.why_not for each in found] == [
        *("", "it spills 40 bytes of a thread", "refused: ptxas refuses it: too many words", ""),
        *(NO_TIME_LEFT, NO_TIME_LEFT),
    ]
    assert [each.is_known for each in found] == [True] * 4 + [False] * 2
    assert [each.passes for each in found] == [True, False, False, True, False, False]
    assert (found[0].registers, found[0].shared_bytes, found[0].blocks) == (96, 10240, 5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stack_bytes": 8}, "it has 8 bytes of a thread on the stack"),
        ({"is_serialized": True}, "its wgmma wait for each other"),
        ({"blocks": 0}, "a multiprocessor has not what one block of threads needs"),
    ],
)
def test_a_schedule_is_dropped_for_a_reason(changes: dict[str, Any], reason: str) -> None:
    assert sifted(MMA, Reply(Verdict.OK, {**GOOD, **changes})).why_not == reason
