"""PTX for loads and stores by raw address; an address is a multiple of the bytes touched.

In meanings, `memory` is the global memory, and `shared` that of the block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .ptx_instruction import F32, S32, U16, U32, U64, F32x4, Memory, U32x4, instruction


def read(memory: Memory, address: NDArray[Any], dtype: DTypeLike, count: int = 1) -> NDArray[Any]:
    """Indexed by number and lane."""
    size = np.dtype(dtype).itemsize * count
    found: NDArray[Any] = memory[address.astype(np.int64)[:, None] + np.arange(size)].view(dtype).T.copy()
    return found


def one(memory: Memory, address: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Indexed by lane."""
    return read(memory, address, dtype).ravel()


def write(memory: Memory, address: NDArray[Any], *values: NDArray[Any]) -> None:
    bytes_ = np.stack(values, 1).view(np.uint8)
    memory[address.astype(np.int64)[:, None] + np.arange(bytes_.shape[1])] = bytes_


@instruction("ld.global.u8 $0, [$1];")
def ld_global_u8(memory: Memory, address: U64) -> U32:
    return one(memory, address, np.uint8).astype(np.uint32)


@instruction("ld.global.b16 $0, [$1];")
def ld_global_b16(memory: Memory, address: U64) -> U16:
    return one(memory, address, np.uint16)


@instruction("ld.global.b32 $0, [$1];")
def ld_global_b32(memory: Memory, address: U64) -> U32:
    return one(memory, address, np.uint32)


@instruction("ld.global.s32 $0, [$1];")
def ld_global_s32(memory: Memory, address: U64) -> S32:
    return one(memory, address, np.int32)


@instruction("ld.global.f32 $0, [$1];")
def ld_global_f32(memory: Memory, address: U64) -> F32:
    return one(memory, address, np.float32)


@instruction("ld.global.b64 $0, [$1];")
def ld_global_b64(memory: Memory, address: U64) -> U64:
    return one(memory, address, np.uint64)


@instruction("st.global.b16 [$0], $1;")
def st_global_b16(memory: Memory, address: U64, value: U16) -> None:
    write(memory, address, value)


@instruction("st.global.b64 [$0], $1;")
def st_global_b64(memory: Memory, address: U64, value: U64) -> None:
    write(memory, address, value)


@instruction("st.global.f32 [$0], $1;")
def st_global_f32(memory: Memory, address: U64, value: F32) -> None:
    write(memory, address, value)


@instruction("st.global.v4.b32 [$0], {$1,$2,$3,$4};")
def st_global_v4(memory: Memory, address: U64, x0: U32, x1: U32, x2: U32, x3: U32) -> None:
    write(memory, address, x0, x1, x2, x3)


@instruction("ld.shared.b32 $0, [$1];")
def ld_shared_b32(shared: Memory, address: U32) -> U32:
    return one(shared, address, np.uint32)


@instruction("ld.shared.f32 $0, [$1];")
def ld_shared_f32(shared: Memory, address: U32) -> F32:
    return one(shared, address, np.float32)


@instruction("ld.shared.v4.b32 {$0,$1,$2,$3}, [$4];")
def ld_shared_v4(shared: Memory, address: U32) -> U32x4:
    first, second, third, fourth = read(shared, address, np.uint32, 4)
    return first, second, third, fourth


@instruction("ld.shared.v4.f32 {$0,$1,$2,$3}, [$4];")
def ld_shared_v4_f32(shared: Memory, address: U32) -> F32x4:
    first, second, third, fourth = read(shared, address, np.float32, 4)
    return first, second, third, fourth


@instruction("st.shared.b32 [$0], $1;")
def st_shared_b32(shared: Memory, address: U32, value: U32) -> None:
    write(shared, address, value)


@instruction("st.shared.f32 [$0], $1;")
def st_shared_f32(shared: Memory, address: U32, value: F32) -> None:
    write(shared, address, value)


@instruction("st.shared.v2.f32 [$0], {$1,$2};")
def st_shared_v2_f32(shared: Memory, address: U32, x0: F32, x1: F32) -> None:
    write(shared, address, x0, x1)


@instruction("st.shared.v4.b32 [$0], {$1,$2,$3,$4};")
def st_shared_v4(shared: Memory, address: U32, x0: U32, x1: U32, x2: U32, x3: U32) -> None:
    write(shared, address, x0, x1, x2, x3)


@instruction("atom.global.add.u32 $0, [$1], $2;")
def atomic_add(memory: Memory, address: U64, value: U32) -> U32:
    """Add to a word that other threads add to as well; what it was before. Here lane after lane."""
    before = np.empty_like(value)
    for lane, (place, more) in enumerate(zip(address.astype(np.int64), value, strict=True)):
        word = memory[place : place + 4].view(np.uint32)
        before[lane] = word[0]
        word += more
    return before
