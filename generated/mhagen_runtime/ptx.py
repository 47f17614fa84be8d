"""PTX for sm_80 and newer: what CUDA kernels call beside Numba's own words. For sm_90a see `ptx_hopper`.

Terms
    address     of global memory 64 bits, of shared memory 32 bits, both in bytes; nothing is checked here
    pair        two numbers of 16 bits in one register, the first in the lower half
    matrix      8 rows of 8 numbers of 16 bits; held by a warp, lane 4i + j has its row i,
                columns 2j and 2j + 1

What only orders other instructions does nothing to lanes: its meaning is empty.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ptx_instruction import (
    F32,
    F64,
    U16,
    U32,
    U64,
    Effect,
    F32x2,
    F32x4,
    Instruction,
    Memory,
    U32x4,
    instruction,
)
from .ptx_numbers import (
    GROUP,
    IN_GROUP,
    LANE,
    bits_of_bf16,
    bits_of_f16,
    flush,
    halves,
    matrix_a,
    matrix_b,
    matrix_c,
    of_bits_bf16,
    of_bits_f16,
    pair,
    registers_c,
)

PURE, LANES = Effect.NONE, Effect.LANES
MMA = (
    "mma.sync.aligned.m16n8k16.row.col.f32.{0}.{0}.f32 "
    "{{$0,$1,$2,$3}}, {{$4,$5,$6,$7}}, {{$8,$9}}, {{$10,$11,$12,$13}};"
)
VOTE = "{{ .reg .pred p; setp.ne.u32 p, $1, 0; vote.sync.{}.pred p, p, -1; selp.u32 $0, 1, 0, p; }}"


@instruction("mov.b32 $0, $1;", LANES)
def unforeseen(x: U32) -> U32:
    """The same number, which the compiler does not foresee: a loop of so many rounds is not unrolled."""
    return x


@instruction("mov.u32 $0, mhagen_shared;", PURE, is_shared_base=True)
def shared_base() -> U32:
    """The address where a block's dynamic shared memory begins, a multiple of 1024."""
    return np.zeros(1, np.uint32)


# Products of a warp: 16 x 16 times 16 x 8, accumulated in float32.


@instruction(MMA.format("bf16"), LANES)
def mma_m16n8k16_bf16(
    a0: U32, a1: U32, a2: U32, a3: U32, b0: U32, b1: U32, c0: F32, c1: F32, c2: F32, c3: F32
) -> F32x4:
    left, right = matrix_a((a0, a1, a2, a3), of_bits_bf16), matrix_b((b0, b1), of_bits_bf16)
    return registers_c(left @ right + matrix_c((c0, c1, c2, c3)))


@instruction(MMA.format("f16"), LANES)
def mma_m16n8k16_f16(
    a0: U32, a1: U32, a2: U32, a3: U32, b0: U32, b1: U32, c0: F32, c1: F32, c2: F32, c3: F32
) -> F32x4:
    left, right = matrix_a((a0, a1, a2, a3), of_bits_f16), matrix_b((b0, b1), of_bits_f16)
    return registers_c(left @ right + matrix_c((c0, c1, c2, c3)))


# Matrices between shared memory and a warp. Lanes 8i to 8i + 7 give the addresses of the rows of matrix i.


def matrices(shared: Memory, address: U32) -> NDArray[np.uint16]:
    """Indexed by warp, matrix, row and column."""
    rows: Memory = shared[address.astype(np.int64)[:, None] + np.arange(16)]
    return rows.view(np.uint16).reshape(-1, 4, 8, 8)


@instruction("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0,$1,$2,$3}, [$4];")
def ldmatrix_x4(shared: Memory, address: U32) -> U32x4:
    found = matrices(shared, address)
    first, second, third, fourth = (
        pair(found[:, i, GROUP, 2 * IN_GROUP], found[:, i, GROUP, 2 * IN_GROUP + 1]).ravel() for i in range(4)
    )
    return first, second, third, fourth


@instruction("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {$0,$1,$2,$3}, [$4];")
def ldmatrix_x4_trans(shared: Memory, address: U32) -> U32x4:
    found = matrices(shared, address)
    first, second, third, fourth = (
        pair(found[:, i, 2 * IN_GROUP, GROUP], found[:, i, 2 * IN_GROUP + 1, GROUP]).ravel() for i in range(4)
    )
    return first, second, third, fourth


# Copies from global to shared memory that run beside the kernel.


@instruction("cp.async.cg.shared.global [$0], [$1], 16, $2;")
def cp_async_16(shared: Memory, memory: Memory, target: U32, source: U64, size: U32) -> None:
    """Copy 16 bytes: `size` of them, and zeros behind. Both addresses are multiples of 16."""
    for to, origin, count in zip(target, source, size, strict=True):
        shared[to : to + 16] = 0
        shared[to : to + count] = memory[int(origin) : int(origin + count)]


@instruction("cp.async.commit_group;")
def cp_async_commit_group() -> None:
    """What this thread has begun to copy since the last call is one group."""


@cache
def cp_async_wait_group(unfinished: int) -> Instruction:
    """Wait until all but the last `unfinished` groups of this thread have been copied."""

    @instruction(f"cp.async.wait_group {unfinished};")
    def wait() -> None: ...

    return wait


# Barriers. The threads of a block that meet at one are a multiple of 32.


@instruction("bar.sync $0, $1;")
def bar_sync(barrier: U32, threads: U32) -> None: ...


@instruction("bar.arrive $0, $1;")
def bar_arrive(barrier: U32, threads: U32) -> None: ...


@instruction("bar.warp.sync -1;")
def bar_warp_sync() -> None: ...


# Between the lanes of a warp.


def moved(x: NDArray[Any], source: NDArray[Any]) -> NDArray[Any]:
    return np.take_along_axis(x.reshape(-1, 32), source.reshape(-1, 32).astype(np.int64), 1).ravel()


@instruction("shfl.sync.bfly.b32 $0, $1, $2, 31, -1;", LANES)
def shfl_bfly(x: F32, mask: U32) -> F32:
    """What the lane has whose number differs in the bits of `mask`."""
    return moved(x, np.resize(LANE, x.size) ^ mask)


@instruction("shfl.sync.bfly.b32 $0, $1, $2, 31, -1;", LANES)
def shfl_bfly_b32(x: U32, mask: U32) -> U32:
    return moved(x, np.resize(LANE, x.size) ^ mask)


@instruction(VOTE.format("any"), LANES)
def vote_any(condition: U32) -> U32:
    """1 in all lanes of a warp if the condition is not 0 in one of them, else 0."""
    return np.repeat((condition.reshape(-1, 32) != 0).any(1), 32).astype(np.uint32)


# Real numbers. Those named after functions are approximations: ex2 to 2 ulp, tanh to 2**-11.


@instruction("ex2.approx.ftz.f32 $0, $1;", PURE)
def ex2(x: F32) -> F32:
    return flush(np.exp2(flush(x)))


@instruction("lg2.approx.ftz.f32 $0, $1;", PURE)
def lg2(x: F32) -> F32:
    return np.log2(flush(x))


@instruction("rcp.approx.ftz.f32 $0, $1;", PURE)
def rcp(x: F32) -> F32:
    return flush(np.float32(1) / flush(x))


@instruction("rsqrt.approx.ftz.f32 $0, $1;", PURE)
def rsqrt(x: F32) -> F32:
    root: F32 = np.sqrt(flush(x))
    return np.float32(1) / root


@instruction("tanh.approx.f32 $0, $1;", PURE)
def tanh(x: F32) -> F32:
    return np.tanh(x)


@instruction("fma.rn.f32 $0, $1, $2, $3;", PURE)
def fma(x: F32, y: F32, z: F32) -> F32:
    exact: F64 = x.astype(np.float64) * y + z
    return exact.astype(np.float32)


@instruction("max.f32 $0, $1, $2;", PURE)
def maximum(x: F32, y: F32) -> F32:
    """The greater; of a NaN and a number, the number."""
    return np.fmax(x, y)


@instruction("max.NaN.f32 $0, $1, $2;", PURE)
def maximum_or_nan(x: F32, y: F32) -> F32:
    return np.maximum(x, y)


@instruction("min.f32 $0, $1, $2;", PURE)
def minimum(x: F32, y: F32) -> F32:
    return np.fmin(x, y)


# Conversions: to 16 bits with ties to even, and back.


@instruction("cvt.rn.bf16x2.f32 $0, $2, $1;", PURE)
def pack_bf16(low: F32, high: F32) -> U32:
    return pair(bits_of_bf16(low), bits_of_bf16(high))


@instruction("cvt.rn.f16x2.f32 $0, $2, $1;", PURE)
def pack_f16(low: F32, high: F32) -> U32:
    return pair(bits_of_f16(low), bits_of_f16(high))


@instruction("{ shl.b32 $0, $2, 16; and.b32 $1, $2, -65536; }", PURE)
def unpack_bf16(register: U32) -> F32x2:
    low, high = halves(register)
    return of_bits_bf16(low), of_bits_bf16(high)


@instruction("{ .reg .b16 l, h; mov.b32 {l, h}, $2; cvt.f32.f16 $0, l; cvt.f32.f16 $1, h; }", PURE)
def unpack_f16(register: U32) -> F32x2:
    low, high = halves(register)
    return of_bits_f16(low), of_bits_f16(high)


@instruction("cvt.rn.bf16.f32 $0, $1;", PURE)
def to_bf16(x: F32) -> U16:
    return bits_of_bf16(x)


@instruction("cvt.rn.f16.f32 $0, $1;", PURE)
def to_f16(x: F32) -> U16:
    return bits_of_f16(x)


@instruction("{ .reg .b32 t; cvt.u32.u16 t, $1; shl.b32 $0, t, 16; }", PURE)
def of_bf16(bits: U16) -> F32:
    return of_bits_bf16(bits)


@instruction("cvt.f32.f16 $0, $1;", PURE)
def of_f16(bits: U16) -> F32:
    return of_bits_f16(bits)


@instruction("mov.b32 $0, $1;", PURE)
def bits_of(x: F32) -> U32:
    return np.ascontiguousarray(x).view(np.uint32)


@instruction("mov.b32 $0, $1;", PURE)
def of_bits(x: U32) -> F32:
    return np.ascontiguousarray(x).view(np.float32)
