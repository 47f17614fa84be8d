"""The register tiles of the default schedules fit the registers: a spill costs a loop half of its speed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mhagen.backend import cpu
from mhagen.base.target import AVX2, AVX512, Target
from mhagen.pipeline import compile_to_source
from mhagen.runtime.compiler import compile_kernel
from mhagen.runtime.host import host_cpu
from mhagen.runtime.launch import ENTRY, Kernel
from mhagen.schedule.table import ScheduleTable

from .disassembly import OBJDUMP, Loop, functions, innermost_loops, loops_of
from .lanes import machine_of

SPEC = {
    "name": "spills",
    "heads": {"query": 2, "dim": 64},
    "mask": {"keep": "k <= q"},
    "projections": {"model_dim": 128},
}

OF_AVX512 = re.compile(r"%[xyz]mm(1[6-9]|2\d|3[01])|%zmm|%k\d")

is_x86 = host_cpu().architecture == "x86_64"
reads_x86 = pytest.mark.skipif(OBJDUMP is None or not is_x86, reason="needs objdump of GNU binutils, on x86")
on_x86_targets = pytest.mark.parametrize("target", [AVX512, AVX2], ids=lambda target: target.name)


def generated(target: Target) -> cpu.Source:
    return compile_to_source(SPEC, target=target)[2]


def loops_of_kernel(kernel: Kernel, folder: Path) -> tuple[Loop, ...]:
    code = compile_kernel(
        kernel.functions, kernel.target, kernel.computed, machine_of(kernel.target).cpu, ENTRY
    )
    return innermost_loops(code, folder)


def loops_of_tiles(loops: tuple[Loop, ...], *tiles: int) -> list[Loop]:
    """The loops that multiply and add once for each register of a tile, or unrolled so."""
    return [loop for loop in loops if loop.is_of_products and any(loop.products % n == 0 for n in tiles)]


def with_stack_traffic(loops: list[Loop]) -> list[str]:
    return [str(loop) for loop in loops if any(each.touches_stack for each in loop.body)]


def with_spilled_vectors(loops: tuple[Loop, ...]) -> list[str]:
    """A loop that calls or returns is left out: no vector register survives that, and what it needs waits."""
    silent = (loop for loop in loops if not any(each.name.startswith(("call", "ret")) for each in loop.body))
    return [str(loop) for loop in silent if any(each.spills_vector for each in loop.body)]


@reads_x86
@on_x86_targets
def test_no_register_is_spilled_in_the_innermost_loops(target: Target, tmp_path: Path) -> None:
    source = generated(target)
    loops = loops_of_kernel(cpu.load(source).KERNEL, tmp_path)
    plan = source.schedule
    tiles = (plan.key_rows * plan.query_vectors, plan.value_rows * plan.value_vectors)
    products = loops_of_tiles(loops, *tiles)
    assert len(products) >= 3  # scores of tiles seen whole and in part, and values
    assert not with_stack_traffic(products)
    assert not with_spilled_vectors(loops)


@reads_x86
@on_x86_targets
def test_no_register_is_spilled_in_the_loops_of_the_layer(target: Target, tmp_path: Path) -> None:
    source = generated(target)
    loops = loops_of_kernel(cpu.load(source).LINEAR.kernel, tmp_path)
    products = loops_of_tiles(loops, source.schedule.linear_rows * source.schedule.linear_vectors)
    assert products
    assert not with_stack_traffic(products)
    assert not with_spilled_vectors(loops)


@reads_x86
def test_a_tile_beyond_the_registers_is_seen_to_spill(tmp_path: Path) -> None:
    _, program, source = compile_to_source(SPEC, target=AVX2)
    plan = replace(source.schedule, linear_rows=8, linear_vectors=3)
    module = cpu.load(cpu.generate(program, ScheduleTable.of(plan), AVX2))
    loops = loops_of_kernel(module.LINEAR.kernel, tmp_path)
    assert with_stack_traffic(loops_of_tiles(loops, 8 * 3))


@reads_x86
def test_instructions_that_the_environment_hides_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a CPU stands for AVX-512 and its registers, too: a mask that leaves them masks nothing."""
    kernel = cpu.load(generated(AVX2)).KERNEL
    monkeypatch.setenv("NUMBA_CPU_NAME", "znver4")
    used = {}
    for features in ("+avx2,+f16c,+fma", "+avx2,+avx512f,+avx512vl,+f16c,+fma"):
        monkeypatch.setenv("NUMBA_CPU_FEATURES", features)
        seen_cpu = host_cpu.__wrapped__()
        code = compile_kernel(kernel.functions, kernel.target, kernel.computed, seen_cpu, ENTRY)
        loops = innermost_loops(code, tmp_path)
        used[features] = any(OF_AVX512.search(each.operands) for loop in loops for each in loop.body)
    assert list(used.values()) == [False, True]


LISTING = """
0000000000000000 <outer>:
   0:\tvmovups 0x40(%rsp),%ymm1
   8:\tadd    $0x8,%rax
  10:\tvbroadcastss (%rax),%ymm0
  18:\tvfmadd231ps %ymm0,%ymm1,%ymm2
  20:\tadd    0x8(%rsp),%rax
  28:\tjne    10 <outer+0x10>
  30:\tvmovups %ymm1,(%rsp)
  38:\tjl     8 <outer+0x8>
  40:\tjmp    50 <outer+0x50>
  50:\tret

0000000000000060 <other>:
  60:\tvmovups %zmm1,0x10(%rsp,%rcx,4)
  68:\tvfmadd213ps (%r8){1to16},%zmm1,%zmm2
  70:\tje     60 <other>
"""


def test_a_listing_is_read() -> None:
    first, second = (loop for name, body in functions(LISTING).items() for loop in loops_of(name, body))
    assert (first.function, [each.address for each in first.body]) == ("outer", [0x10, 0x18, 0x20, 0x28])
    assert (second.function, [each.address for each in second.body]) == ("other", [0x60, 0x68, 0x70])
    assert first.products == second.products == 1
    assert first.is_of_products and second.is_of_products
    assert [each.touches_stack for each in first.body] == [False, False, True, False]
    assert not with_spilled_vectors((first,))
    assert with_spilled_vectors((second,)) == with_stack_traffic([second])
