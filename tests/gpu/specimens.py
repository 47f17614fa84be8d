"""Two small kernels, each of which needs all that it does: one of the mma family, one of Hopper's.

Both compute the sum over tiles of left @ tile.T: left is 64 x 64, each tile too, and they are bfloat16. Tiles
come through two buffers in turn. Rows of shared memory are 128 bytes; their 16 bytes at place c are at
c ^ row % 8.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from gpu.machine.copies import TensorMap
from gpu.machine.memory import GlobalMemory
from gpu.machine.run import WARP, WARPGROUP, Launch, launch
from gpu.toolchain import compile_to_ptx
from mhagen.runtime import ptx, ptx_hopper, ptx_memory

SIDE, ROW_BYTES = 64, 128
TILE_BYTES = SIDE * ROW_BYTES
TILES = 5
BARRIERS = 3 * TILE_BYTES  # where the Hopper kernel's mbarriers begin: full and empty, two of each
SHARED_BYTES = BARRIERS + 64
HOPPER_THREADS = 2 * WARPGROUP  # the first four warps produce, the others consume
LEFT_MAP, TILES_MAP = 64, 192  # addresses that stand for tensor maps


@cache
def mma_kernel() -> str:
    """Four warps of 16 rows each; copies by cp.async."""
    from numba import cuda, float32, int32, types, uint32, uint64

    wait_for_all_but_one = ptx.cp_async_wait_group(1)

    def kernel(left, tiles, out, count):  # type: ignore[no-untyped-def]
        thread = uint32(cuda.threadIdx.x)
        lane, warp = thread & uint32(31), thread >> uint32(5)
        base = ptx.shared_base()
        row, place = thread >> uint32(3), thread & uint32(7)
        into = base + row * uint32(ROW_BYTES) + ((place ^ (row & uint32(7))) << uint32(4))
        origin = uint64(thread) * uint64(16)
        sums = cuda.local.array(32, float32)
        for index in range(32):
            sums[index] = float32(0)
        for part in range(4):
            ptx.cp_async_16(into + uint32(2048 * part), left + origin + uint64(2048 * part), 16)
        for part in range(4):
            ptx.cp_async_16(into + uint32(8192 + 2048 * part), tiles + origin + uint64(2048 * part), 16)
        ptx.cp_async_commit_group()
        for tile in range(int32(count)):
            if tile + 1 < count:
                buffer = into + uint32(8192) + (uint32(tile + 1) & uint32(1)) * uint32(8192)
                following = tiles + origin + uint64(tile + 1) * uint64(8192)
                for part in range(4):
                    ptx.cp_async_16(buffer + uint32(2048 * part), following + uint64(2048 * part), 16)
            ptx.cp_async_commit_group()
            wait_for_all_but_one()
            ptx.bar_sync(0, 128)
            here = base + uint32(8192) + (uint32(tile) & uint32(1)) * uint32(8192)
            for step in range(4):
                row = warp * uint32(16) + (lane & uint32(15))
                place = (uint32(2 * step) + (lane >> uint32(4))) ^ (row & uint32(7))
                a0, a1, a2, a3 = ptx.ldmatrix_x4(base + row * uint32(ROW_BYTES) + (place << uint32(4)))
                for block in range(4):
                    row = uint32(16 * block) + (lane & uint32(7)) + ((lane >> uint32(4)) << uint32(3))
                    place = (uint32(2 * step) + ((lane >> uint32(3)) & uint32(1))) ^ (row & uint32(7))
                    b0, b1, b2, b3 = ptx.ldmatrix_x4(here + row * uint32(ROW_BYTES) + (place << uint32(4)))
                    i = 8 * block
                    sums[i], sums[i + 1], sums[i + 2], sums[i + 3] = ptx.mma_m16n8k16_bf16(
                        a0, a1, a2, a3, b0, b1, sums[i], sums[i + 1], sums[i + 2], sums[i + 3]
                    )
                    i = 8 * block + 4
                    sums[i], sums[i + 1], sums[i + 2], sums[i + 3] = ptx.mma_m16n8k16_bf16(
                        a0, a1, a2, a3, b2, b3, sums[i], sums[i + 1], sums[i + 2], sums[i + 3]
                    )
            ptx.bar_sync(0, 128)
        row = warp * uint32(16) + (lane >> uint32(2))
        target = out + uint64(row * uint32(256) + (lane & uint32(3)) * uint32(8))
        for block in range(8):
            for half in range(2):
                place = target + uint64(2048 * half + 32 * block)
                ptx_memory.st_global_f32(place, sums[4 * block + 2 * half])
                ptx_memory.st_global_f32(place + uint64(4), sums[4 * block + 2 * half + 1])

    signature = types.void(types.uint64, types.uint64, types.uint64, types.int32)
    return compile_to_ptx(kernel, signature, threads=128, capability=(8, 0))


@cache
def hopper_kernel() -> str:
    """Four warps copy boxes, four multiply; mbarriers say when a buffer is full, and when it is empty."""
    from numba import cuda, float32, int32, types, uint32, uint64

    more_registers, fewer_registers = ptx_hopper.setmaxnreg_inc(240), ptx_hopper.setmaxnreg_dec(24)
    multiply = ptx_hopper.wgmma_shared(SIDE, "bf16", False)
    keep = ptx_hopper.keep_in_registers(32)
    wait_for_all = ptx_hopper.wgmma_wait_group(0)
    descriptor = ptx_hopper.descriptor_of(0, 16, 1024)

    def kernel(left_map, tiles_map, out, count):  # type: ignore[no-untyped-def]
        thread = uint32(cuda.threadIdx.x)
        base = ptx.shared_base()
        full, empty = base + uint32(BARRIERS), base + uint32(BARRIERS + 16)
        if thread == 0:
            for buffer in range(2):
                ptx_hopper.mbarrier_init(full + uint32(8 * buffer), 1)
                ptx_hopper.mbarrier_init(empty + uint32(8 * buffer), 128)
            ptx_hopper.fence_mbarrier_init()
        ptx.bar_sync(0, 256)
        if thread < 128:
            fewer_registers()
            if thread == 0:
                for tile in range(int32(count)):
                    buffer = uint32(tile) & uint32(1)
                    parity = (uint32(tile) >> uint32(1)) & uint32(1)
                    ptx_hopper.mbarrier_wait(empty + buffer * uint32(8), parity ^ uint32(1))
                    bar = full + buffer * uint32(8)
                    if tile == 0:
                        ptx_hopper.mbarrier_arrive_expect_tx(bar, 2 * TILE_BYTES)
                        ptx_hopper.tma_load_2d(base, left_map, bar, 0, 0)
                    else:
                        ptx_hopper.mbarrier_arrive_expect_tx(bar, TILE_BYTES)
                    into = base + uint32(TILE_BYTES) + buffer * uint32(TILE_BYTES)
                    ptx_hopper.tma_load_2d(into, tiles_map, bar, 0, tile * SIDE)
        else:
            more_registers()
            sums = cuda.local.array(32, float32)
            for index in range(32):
                sums[index] = float32(0)
            for tile in range(int32(count)):
                buffer = uint32(tile) & uint32(1)
                parity = (uint32(tile) >> uint32(1)) & uint32(1)
                ptx_hopper.mbarrier_wait(full + buffer * uint32(8), parity)
                here = base + uint32(TILE_BYTES) + buffer * uint32(TILE_BYTES)
                a = uint64(descriptor) | uint64(base >> uint32(4))
                b = uint64(descriptor) | uint64(here >> uint32(4))
                keep(sums)
                ptx_hopper.wgmma_fence()
                for step in range(4):
                    multiply(sums, a + uint64(2 * step), b + uint64(2 * step), 1)
                ptx_hopper.wgmma_commit_group()
                wait_for_all()
                keep(sums)
                ptx_hopper.mbarrier_arrive(empty + buffer * uint32(8))
            lane, warp = thread & uint32(31), (thread >> uint32(5)) & uint32(3)
            row = warp * uint32(16) + (lane >> uint32(2))
            target = out + uint64(row * uint32(256) + (lane & uint32(3)) * uint32(8))
            for block in range(8):
                for half in range(2):
                    place = target + uint64(2048 * half + 32 * block)
                    ptx_memory.st_global_f32(place, sums[4 * block + 2 * half])
                    ptx_memory.st_global_f32(place + uint64(4), sums[4 * block + 2 * half + 1])

    signature = types.void(types.uint64, types.uint64, types.uint64, types.int32)
    return compile_to_ptx(kernel, signature, threads=HOPPER_THREADS, capability=(9, 0, "a"))


def operands() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """left, tiles, and the sum of their products, exact in float32."""
    rng = np.random.default_rng(3)
    left = rng.integers(-4, 4, (SIDE, SIDE)).astype(ml_dtypes.bfloat16)
    tiles = rng.integers(-4, 4, (TILES * SIDE, SIDE)).astype(ml_dtypes.bfloat16)
    by_tile = tiles.astype(np.float32).reshape(TILES, SIDE, SIDE)
    return left, tiles, sum(left.astype(np.float32) @ tile.T for tile in by_tile)


def run_mma(text: str, count: int = TILES, seed: int = 0) -> tuple[NDArray[Any], Counter[str]]:
    """What the kernel of the mma family gives, and the machine's counts."""
    left, tiles, expected = operands()
    memory = GlobalMemory(1 << 18)
    places = [memory.put(array.view(np.uint16)) for array in (left, tiles)]
    out = memory.put(np.zeros_like(expected))
    how = Launch((1, 1, 1), 128, SHARED_BYTES, WARP, seed)
    counts = launch(text, how, (*places, out, count), memory)
    return memory.get(out, np.float32, expected.shape), counts


def run_hopper(text: str, count: int = TILES, seed: int = 0) -> tuple[NDArray[Any], Counter[str]]:
    """What the Hopper kernel gives, and the machine's counts."""
    left, tiles, expected = operands()
    memory = GlobalMemory(1 << 18)
    for at, array in ((LEFT_MAP, left), (TILES_MAP, tiles)):
        place = memory.put(array.view(np.uint16))
        sizes = array.shape[::-1]
        memory.tensor_maps[at] = TensorMap(place, sizes, (ROW_BYTES,), (SIDE, SIDE))
    out = memory.put(np.zeros_like(expected))
    how = Launch((1, 1, 1), HOPPER_THREADS, SHARED_BYTES, WARPGROUP, seed)
    counts = launch(text, how, (LEFT_MAP, TILES_MAP, out, count), memory)
    return memory.get(out, np.float32, expected.shape), counts
