"""PTX for sm_90a: barriers in memory, copies of boxes of tensors, products of four warps.

Terms
    mbarrier    8 bytes of shared memory. A phase ends when `count` threads have arrived and all bytes that
                were expected have come; then the next begins. The first has parity 0, the next 1, and so on
    tensor map  128 bytes of global memory which the host wrote: address, sizes, strides and box of a tensor
    descriptor  64 bits that say where a wgmma finds a matrix in shared memory; see `descriptor_of`
    swizzled    128 bytes to a row, eight rows to a pattern: the 16 bytes at place c of row r are at c ^ r

As in `ptx`, what only orders other instructions has an empty meaning; so has what works on mbarriers.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .ptx_instruction import F32, S32, U16, U32, U64, Instruction, Memory, instruction
from .ptx_numbers import GROUP, IN_GROUP, bits_decoder, matrix_a

Accumulators = F32  # the array of which an instruction reads and writes the elements
SWIZZLED = 1 << 62
ROW = 128  # bytes of a swizzled row
TMA_LOAD = (
    "cp.async.bulk.tensor.{}d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {{{}}}], [$2];"
)


# Barriers in memory.


@instruction("mbarrier.init.shared::cta.b64 [$0], $1;")
def mbarrier_init(barrier: U32, count: U32) -> None: ...


@instruction("mbarrier.arrive.shared::cta.b64 _, [$0];")
def mbarrier_arrive(barrier: U32) -> None: ...


@instruction("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;")
def mbarrier_arrive_expect_tx(barrier: U32, bytes_: U32) -> None:
    """Arrive, and expect so many bytes more in this phase."""


@instruction(
    "{ .reg .pred done; again: mbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1; @!done bra again; }"
)
def mbarrier_wait(barrier: U32, parity: U32) -> None:
    """Wait for the end of the phase with this parity; of a fresh barrier the phase before has parity 1."""


@instruction("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [$0];")
def cp_async_mbarrier_arrive(barrier: U32) -> None:
    """Arrive as soon as what this thread has begun to copy by cp_async_16 is there."""


@instruction("fence.mbarrier_init.release.cluster;")
def fence_mbarrier_init() -> None:
    """Let copies see mbarriers that were initialised before."""


@instruction("fence.proxy.async.shared::cta;")
def fence_proxy_async() -> None:
    """Let wgmma and bulk copies see what this thread has stored in shared memory, and the other way round."""


# Copies of a box of a tensor, by one thread. What lies outside the tensor is read as 0.


@instruction(TMA_LOAD.format(2, "$3, $4"))
def tma_load_2d(target: U32, tensor_map: U64, barrier: U32, x0: S32, x1: S32) -> None: ...


@instruction(TMA_LOAD.format(3, "$3, $4, $5"))
def tma_load_3d(target: U32, tensor_map: U64, barrier: U32, x0: S32, x1: S32, x2: S32) -> None: ...


@instruction(TMA_LOAD.format(4, "$3, $4, $5, $6"))
def tma_load_4d(target: U32, tensor_map: U64, barrier: U32, x0: S32, x1: S32, x2: S32, x3: S32) -> None: ...


# Registers from one group of four warps to another.


@cache
def setmaxnreg_inc(registers: int) -> Instruction:
    """Wait until this warp may use so many registers, a multiple of 8."""

    @instruction(f"setmaxnreg.inc.sync.aligned.u32 {registers};")
    def inc() -> None: ...

    return inc


@cache
def setmaxnreg_dec(registers: int) -> Instruction:
    """Give up registers: this warp needs so many from now on, a multiple of 8."""

    @instruction(f"setmaxnreg.dec.sync.aligned.u32 {registers};")
    def dec() -> None: ...

    return dec


# Products of four warps: 64 x 16 times 16 x columns, accumulated in float32 in a local array.
# Elements 4c to 4c + 3 of lane 4i + j of warp w are, of rows 16w + i and 16w + i + 8, columns 8c + 2j and
# 8c + 2j + 1.


@instruction("wgmma.fence.sync.aligned;")
def wgmma_fence() -> None:
    """Let wgmma use registers that were written before."""


@instruction("wgmma.commit_group.sync.aligned;")
def wgmma_commit_group() -> None:
    """The wgmmas since the last call are one group."""


@cache
def wgmma_wait_group(unfinished: int) -> Instruction:
    """Wait until all but the last `unfinished` groups are done."""

    @instruction(f"wgmma.wait_group.sync.aligned {unfinished};")
    def wait() -> None: ...

    return wait


@instruction("{ .reg .pred p; setp.lt.f32 p, $0, 0f00000000; @p nanosleep.u32 0; }")
def come_after(x: F32) -> None:
    """Nothing, once a number that is never below 0 is known.

    ptxas moves waits ahead of all that does not need them, but not ahead of what may sleep.
    """


@cache
def keep_in_registers(accumulators: int) -> Instruction:
    """Let no read or write of a local float32 array move across: for arrays that a wgmma still works on."""

    @instruction("", accumulators=accumulators)
    def keep(array: Accumulators) -> None: ...

    return keep


@cache
def wgmma_shared(columns: int, dtype: str, right_is_transposed: bool) -> Instruction:
    """Accumulators (a local array), left and right (descriptors), and 0 to begin from zero.

    The right matrix lies in rows of 16 (each a column of the product), or transposed, in 16 rows of columns.
    """
    count, decode = columns // 2, bits_decoder(dtype)
    left, right, accumulate = (f"${2 * count + index}" for index in range(3))
    operands = f"{list_of(0, count)}, {left}, {right}, p, 1, 1, 0, {int(right_is_transposed)}"

    @instruction(wgmma_text(columns, dtype, operands, accumulate), accumulators=count)
    def wgmma(shared: Memory, array: Accumulators, left: U64, right: U64, accumulate: U32) -> None:
        a = decode(matrix_at(shared, int(left[0]), 64, False))
        b = decode(matrix_at(shared, int(right[0]), columns, right_is_transposed))
        add_product(array, a @ b.T, accumulate)

    return wgmma


@cache
def wgmma_registers(columns: int, dtype: str, right_is_transposed: bool) -> Instruction:
    """As wgmma_shared, with the left matrix in registers: in each warp as m16n8k16 takes it."""
    count, decode = columns // 2, bits_decoder(dtype)
    right, accumulate = (f"${2 * count + index}" for index in (4, 5))
    left = list_of(2 * count, 4)
    operands = f"{list_of(0, count)}, {left}, {right}, p, 1, 1, {int(right_is_transposed)}"

    @instruction(wgmma_text(columns, dtype, operands, accumulate), accumulators=count)
    def wgmma(
        shared: Memory, array: Accumulators, a0: U32, a1: U32, a2: U32, a3: U32, right: U64, accumulate: U32
    ) -> None:
        a = matrix_a((a0, a1, a2, a3), decode).reshape(64, 16)
        b = decode(matrix_at(shared, int(right[0]), columns, right_is_transposed))
        add_product(array, a @ b.T, accumulate)

    return wgmma


def wgmma_text(columns: int, dtype: str, operands: str, accumulate: str) -> str:
    name = f"wgmma.mma_async.sync.aligned.m64n{columns}k16.f32.{dtype}.{dtype}"
    return f"{{ .reg .pred p; setp.ne.b32 p, {accumulate}, 0; {name} {operands}; }}"


def list_of(first: int, count: int) -> str:
    return "{" + ",".join(f"${first + index}" for index in range(count)) + "}"


def descriptor_of(address: int, leading: int, stride: int) -> int:
    """The descriptor of a swizzled matrix; all in bytes.

    A matrix of rows along the inner dimension has `stride` bytes from eight rows to the next eight, and
    `leading` has no meaning. A transposed one has `leading` bytes from 64 columns to the next 64, and
    `stride` from eight rows to the next.
    """
    return SWIZZLED | (stride >> 4) << 32 | (leading >> 4) << 16 | address >> 4


def matrix_at(shared: Memory, descriptor: int, count: int, is_transposed: bool) -> U16:
    """The bits of a matrix of `count` rows of 16, from the shared memory that its descriptor says."""
    start, leading, stride = (((descriptor >> shift) & 0x3FFF) << 4 for shift in (0, 16, 32))
    row, inner = np.arange(count)[:, None], np.arange(16)[None]
    if is_transposed:
        address = start + row // 64 * leading + row % 64 * 2 + inner // 8 * stride + inner % 8 * ROW
    else:
        address = start + row // 8 * stride + row % 8 * ROW + inner * 2
    bits: U16 = shared.view(np.uint16)[(address ^ address // ROW % 8 * 16) // 2]
    return bits


def add_product(array: Accumulators, product: F32, accumulate: U32) -> None:
    """Add a product, or put it, as lanes hold it; `array` is indexed by element and lane."""
    if not accumulate[0]:
        array[:] = 0
    rows = product.reshape(4, 2, 8, -1)  # by warp, upper or lower eight rows, row, column
    warp = np.arange(4)[:, None]
    for index in range(len(array)):
        array[index] += rows[warp, index // 2 % 2, GROUP, index // 4 * 8 + 2 * IN_GROUP + index % 2].ravel()
