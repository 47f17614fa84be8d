"""Products of matrices that warps hold in registers, or that lie in shared memory."""

from __future__ import annotations

import re
from collections.abc import Callable

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from gpu.machine.faults import Fault
from gpu.machine.movement import registers_of, whole_warps
from gpu.machine.source import Operand, Register, Step
from gpu.machine.threads import Lanes, Mask, Read, Threads

WARP = 32
WARPGROUP = 128
SWIZZLE_128 = 1
DTYPES = {"bf16": np.dtype(ml_dtypes.bfloat16), "f16": np.dtype(np.float16)}
COLUMNS = re.compile(r"m64n(\d+)k16")


def values_of(bits: Lanes, step: Step) -> NDArray[np.float32]:
    """Numbers of 16 bits, two in a register of 32, as float32."""
    dtype = next(DTYPES[word] for word in step.words if word in DTYPES)
    return np.ascontiguousarray(bits).view(dtype).astype(np.float32)


def left_matrix(t: Threads, step: Step, registers: tuple[Operand, ...]) -> NDArray[np.float32]:
    """16 x 16 of each warp."""
    matrix = np.empty((len(t) // WARP, 16, 16), np.float32)
    for index, register in enumerate(registers):
        down, right = 8 * (index & 1), 8 * (index >> 1)
        block = values_of(t.read(register, "b32"), step).reshape(-1, 8, 8)
        matrix[:, down : down + 8, right : right + 8] = block
    return matrix


def multiply(t: Threads, step: Step, mask: Mask) -> None:
    """mma.m16n8k16."""
    acting = whole_warps(t, step, mask)
    if "m16n8k16" not in step.words:
        raise NotImplementedError(step.text)
    target, left, right, added = (registers_of(operand) for operand in step.operands)
    b = [values_of(t.read(r, "b32"), step).reshape(-1, 8, 8).swapaxes(1, 2) for r in right]
    with np.errstate(invalid="ignore"):
        product = left_matrix(t, step, left) @ np.concatenate(b, 1)
    blocks = product.reshape(-1, 2, WARP, 2)  # by warp, upper or lower eight rows, lane, column
    for index, (register, before) in enumerate(zip(target, added, strict=True)):
        lanes = np.ascontiguousarray(blocks[:, index >> 1, :, index & 1]).ravel()
        t.write(register, lanes + t.read(before, "f32"), mask)
    t.block.counts["mma"] += len(acting) // WARP


def matrix_at(t: Threads, step: Step, descriptor: int, rows: int, is_transposed: bool) -> NDArray[np.float32]:
    """Rows of 16 from swizzled shared memory: bytes 4 to 6 of an address are joined with bits 7 to 9."""
    if descriptor >> 62 != SWIZZLE_128:
        raise NotImplementedError("a matrix of wgmma that is not swizzled by 128 bytes")
    start, leading, stride = (((descriptor >> first) & 0x3FFF) << 4 for first in (0, 16, 32))
    row, k = np.indices((rows, 16))
    if is_transposed:
        linear = start + leading * (row >> 6) + 2 * (row & 63) + stride * (k >> 3) + 128 * (k & 7)
    else:
        linear = start + stride * (row >> 3) + 128 * (row & 7) + 2 * k
    swizzled = linear ^ ((linear & 0x380) >> 3)
    bits = t.block.shared.bytes[t.block.shared.places(swizzled.ravel(), 2)].view(np.uint16)
    for thread in t.number[::WARP]:
        t.block.shared.races.read(np.full(swizzled.size, thread), swizzled.ravel(), 2)
    read = Read(t.wgmma_groups, int(swizzled.min()), int(swizzled.max()))
    t.block.reads.setdefault(int(t.number[0]), []).append(read)
    return values_of(bits, step).reshape(rows, 16)


def multiply_async(t: Threads, step: Step, mask: Mask) -> None:
    """wgmma.mma_async: until its group is waited for, accumulators are in flight and matrices read.

    The next may add to the same accumulators, for wgmmas of a shape come one after the other.
    """
    if len(t) != WARPGROUP:
        raise Fault("wgmma needs four whole warps that run together")
    target, left, right, *rest = step.operands
    accumulators = registers_of(target)
    columns = int(COLUMNS.findall(step.text)[0])
    from_memory = not isinstance(left, tuple)
    flags = [int(t.read(flag, "u32")[0]) for flag in rest[1:]]
    left_transposed, right_transposed = (flags[2], flags[3]) if from_memory else (0, flags[2])
    if from_memory:
        a = matrix_at(t, step, int(t.read(left, "u64")[0]), 64, bool(left_transposed))
    else:
        a = left_matrix(t, step, left).reshape(64, 16)
        t.being_read |= {each.name: t.wgmma_groups for each in left if isinstance(each, Register)}
    b = matrix_at(t, step, int(t.read(right, "u64")[0]), columns, bool(right_transposed))
    with np.errstate(invalid="ignore"):
        product = (a @ b.T).reshape(4, 2, 8, columns // 8, 4, 2)  # warp, half, row, block, pair, column
    is_added = accumulates(t, rest[0])
    for index, register in enumerate(accumulators):
        assert isinstance(register, Register)
        lanes = np.ascontiguousarray(product[:, index >> 1 & 1, :, index >> 2, :, index & 1]).ravel()
        t.refuse(register.name, t.being_read)
        before = t.registers[register.name] if is_added else np.float32(0)
        t.registers[register.name] = before + lanes
        t.in_flight[register.name] = t.wgmma_groups
    t.block.counts["wgmma"] += 1


def accumulates(t: Threads, scale: Operand) -> bool:
    values = t.predicate(scale) if isinstance(scale, Register) else t.read(scale, "u32")
    return bool(values.all())


def commit(t: Threads, step: Step, mask: Mask) -> None:
    t.wgmma_groups += 1


def wait(t: Threads, step: Step, mask: Mask) -> None:
    done = t.wgmma_groups - int(t.read(step.operands[0], "u32")[0])
    t.in_flight = {name: group for name, group in t.in_flight.items() if group >= done}
    t.being_read = {name: group for name, group in t.being_read.items() if group >= done}
    first = int(t.number[0])
    t.block.reads[first] = [read for read in t.block.reads.get(first, ()) if read.group >= done]


WGMMA: dict[str, Callable[[Threads, Step, Mask], None]] = {
    "mma_async": multiply_async,
    "commit_group": commit,
    "wait_group": wait,
}
