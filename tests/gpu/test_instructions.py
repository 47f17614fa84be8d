"""Each instruction of the table: what the machine does with its text is its meaning in NumPy."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu import single
from gpu.machine.memory import SHARED_BASE, GlobalMemory, SharedMemory
from gpu.toolchain import assemble, needs_compiler, needs_ptxas
from mhagen.runtime import ptx, ptx_hopper
from mhagen.runtime.ptx_instruction import Effect, Instruction, Kind

LANES = 64
SHARED_BYTES = 1 << 14
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1.0, 3.4e38, -2.5], np.float32)
# What works on lanes and memory alone; the others are tested in kernels.
BY_LANES = [
    each
    for each in (*single.AMPERE, *single.HOPPER)
    if (each.results or "st_" in each.name or each.name == "cp_async_16") and each is not ptx.shared_base
]


def numbers(rng: np.random.Generator, kind: Kind, name: str, is_shared: bool, memory_at: int) -> Any:
    """Operands over lanes that suit a parameter of this name."""
    place = 16 * rng.permutation(LANES)
    match name:
        case "address" | "target" if is_shared:
            return (SHARED_BASE + place).astype(np.uint32)
        case "address" | "source":
            return (memory_at + place).astype(np.uint64)
        case "size":
            return rng.integers(0, 17, LANES).astype(np.uint32)
        case "mask":
            return np.full(LANES, rng.integers(1, 32), np.uint32)
        case "condition":
            return (np.arange(LANES) == 40).astype(np.uint32)
    match kind:
        case Kind.F32:
            values = rng.integers(-8, 8, LANES).astype(np.float32)
            return values if name.startswith("c") else np.concatenate([SPECIAL, values[len(SPECIAL) :] / 4])
        case Kind.U16:
            return rng.integers(0, 1 << 16, LANES).astype(np.uint16)
        case Kind.U64:
            return rng.integers(0, 1 << 63, LANES).astype(np.uint64)
        case Kind.U32 if name[0] in "ab":  # pairs of small numbers, whose products are exact in any order
            low, high = (rng.integers(-8, 8, LANES).astype(np.float32) for _ in range(2))
            return (ptx.pack_bf16 if "bf16" in name else ptx.pack_f16)(low, high)
    return rng.integers(0, 1 << 32, LANES).astype(np.uint32)


@pytest.mark.parametrize("called", BY_LANES, ids=lambda each: each.name)
def test_the_machine_does_what_the_meaning_says(called: Instruction) -> None:
    rng = np.random.default_rng(5)
    shared, memory = SharedMemory(SHARED_BYTES), GlobalMemory(1 << 16)
    shared.bytes[:] = rng.integers(0, 256, shared.bytes.size)
    memory_at = memory.put(rng.integers(0, 256, 16 * LANES).astype(np.uint8))
    expected = {"shared": shared.bytes.copy(), "memory": memory.bytes.copy()}
    names = list(inspect.signature(called.meaning).parameters)
    spaces = [name for name in names if name in expected]
    rest = zip(called.arguments, names[len(spaces) :], strict=True)
    operands = [numbers(rng, kind, name, "shared" in spaces, memory_at) for kind, name in rest]
    with np.errstate(all="ignore"):
        wanted = called(*(expected[space] for space in spaces), *operands)
    given = single.run(called, operands, shared, memory)
    np.testing.assert_equal(given, wanted)
    if called is not ptx.cp_async_16:  # lands at its wait
        np.testing.assert_array_equal(shared.bytes, expected["shared"])
    np.testing.assert_array_equal(memory.bytes, expected["memory"])


def swizzled(shared: SharedMemory, rows: np.ndarray, start: int) -> None:
    """Rows of 64 numbers into shared memory, as a copy of a box puts them."""
    for index, row in enumerate(np.ascontiguousarray(rows)):
        for chunk in range(8):
            place = start + 128 * index + 16 * (chunk ^ index % 8)
            shared.bytes[place : place + 16] = row[8 * chunk : 8 * chunk + 8].view(np.uint8)


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("columns", [64, 128])
def test_a_product_of_four_warps_is_a_product(columns: int, is_transposed: bool, dtype: str) -> None:
    """Against NumPy's own product of matrices, and against the meaning."""
    rng = np.random.default_rng(1)
    encode = ptx.to_bf16 if dtype == "bf16" else ptx.to_f16
    left, right = (rng.integers(-4, 4, (rows, 64)).astype(np.float32) for rows in (64, columns))
    shared, first, second = SharedMemory(1 << 16), 1024, 16384
    swizzled(shared, encode(left), first)
    if is_transposed:
        for block in range(columns // 64):
            swizzled(shared, encode(right[64 * block : 64 * block + 64].T), second + 8192 * block)
    else:
        swizzled(shared, encode(right), second)
    called = ptx_hopper.wgmma_shared(columns, dtype, is_transposed)
    arrays = [np.zeros((columns // 2, 128), np.float32) for _ in range(2)]
    for step in range(4):  # 16 of 64 at a time
        a = ptx_hopper.descriptor_of(first + 32 * step, 16, 1024)
        b = ptx_hopper.descriptor_of(second + (2048 if is_transposed else 32) * step, 8192, 1024)
        operands = [np.full(128, value, np.uint64) for value in (a, b)] + [np.full(128, step, np.uint32)]
        called(shared.bytes, arrays[0], *operands)
        single.run(called, [arrays[1], *operands], shared, GlobalMemory(1 << 13))
    np.testing.assert_array_equal(arrays[0], arrays[1])
    product, lane = left @ right.T, np.arange(128)
    for index, found in enumerate(arrays[0]):
        row = lane // 32 * 16 + lane % 32 // 4 + 8 * (index // 2 % 2)
        np.testing.assert_array_equal(found, product[row, index // 4 * 8 + lane % 4 * 2 + index % 2])


def test_the_left_matrix_may_be_in_registers() -> None:
    rng = np.random.default_rng(2)
    shared = SharedMemory(1 << 14)
    swizzled(shared, ptx.to_f16(rng.integers(-4, 4, (32, 64)).astype(np.float32)), 1024)
    called = ptx_hopper.wgmma_registers(32, "f16", False)
    left = [ptx.pack_f16(*(rng.integers(-4, 4, (2, 128)).astype(np.float32))) for _ in range(4)]
    right = np.full(128, ptx_hopper.descriptor_of(1024, 16, 1024), np.uint64)
    operands = [*left, right, np.ones(128, np.uint32)]
    arrays = [np.ones((16, 128), np.float32) for _ in range(2)]
    called(shared.bytes, arrays[0], *operands)
    single.run(called, [arrays[1], *operands], shared, GlobalMemory(1 << 13))
    np.testing.assert_array_equal(arrays[0], arrays[1])


def test_what_has_an_effect_says_so() -> None:
    for each in (*single.AMPERE, *single.HOPPER):
        names = inspect.signature(each.meaning).parameters
        if {"shared", "memory"} & set(names) or not each.results:
            assert each.effect is Effect.MEMORY, each.name
        if ".sync" in each.text:
            assert each.effect is not Effect.NONE, each.name


@needs_ptxas
def test_ptxas_assembles_every_instruction(tmp_path: Path) -> None:
    assemble(single.module(single.AMPERE, "sm_80"), "sm_80", tmp_path)
    assemble(single.module(single.HOPPER, "sm_90a"), "sm_90a", tmp_path)


@needs_compiler
@pytest.mark.parametrize("called", [*single.AMPERE, *single.HOPPER], ids=lambda each: each.name)
def test_what_lanes_do_together_comes_to_depend_on_no_more_conditions(called: Instruction) -> None:
    """Whatever else there is, the optimiser may copy, or do under a condition that comes behind it."""
    from llvmlite import ir

    from mhagen.runtime.ptx_calls import TO_LLVM, emit_text

    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "kernel")
    builder = ir.IRBuilder(function.append_basic_block())
    letters = "f" * called.accumulators + "".join(kind.letter for kind in called.arguments)
    emit_text(called, builder, [ir.Constant(TO_LLVM[letter], None) for letter in letters])
    is_kept = "convergent" in str(builder.block)
    assert is_kept == (called.effect is not Effect.NONE)
    assert is_kept or "sync" not in called.text
