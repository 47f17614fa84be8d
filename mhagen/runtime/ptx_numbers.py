"""What PTX instructions compute with, in NumPy: numbers of 16 bits in pairs, and matrices held by a warp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ptx_instruction import F32, U16, U32

LANE = np.arange(32)
GROUP, IN_GROUP = LANE >> 2, LANE & 3  # eight groups of four lanes: each holds a row of an 8 x 8 matrix
TINY = np.float32(2.0**-126)
NAN_BITS = np.uint16(0x7FFF)
LOW_HALF = np.uint32(0xFFFF)
HALF = np.uint32(16)


def flush(x: F32) -> F32:
    """Subnormal numbers as zeros of the same sign."""
    return np.where(np.abs(x) < TINY, np.copysign(np.float32(0), x), x)


def bits_of_bf16(x: F32) -> U16:
    """The nearest bfloat16, ties to even; every NaN becomes one."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    return np.where(np.isnan(x), NAN_BITS, rounded.astype(np.uint16))


def bits_of_f16(x: F32) -> U16:
    """The nearest float16, ties to even; every NaN becomes one."""
    with np.errstate(over="ignore"):
        bits = np.asarray(x, np.float32).astype(np.float16).view(np.uint16)
    return np.where(np.isnan(x), NAN_BITS, bits)


def of_bits_bf16(bits: U16) -> F32:
    return (np.asarray(bits, np.uint16).astype(np.uint32) << HALF).view(np.float32)


def of_bits_f16(bits: U16) -> F32:
    return np.asarray(bits, np.uint16).view(np.float16).astype(np.float32)


def bits_decoder(dtype: str) -> Callable[[U16], F32]:
    """What the bits of this type of 16 bits, bf16 or f16, are as float32."""
    return {"bf16": of_bits_bf16, "f16": of_bits_f16}[dtype]


def pair(low: U16, high: U16) -> U32:
    """Two halves in one register."""
    return low.astype(np.uint32) | high.astype(np.uint32) << HALF


def halves(register: U32) -> tuple[U16, U16]:
    """The lower and the upper half of a register."""
    bits = np.asarray(register, np.uint32)
    return (bits & LOW_HALF).astype(np.uint16), (bits >> HALF).astype(np.uint16)


def put(matrix: NDArray[Any], row: Any, column: Any, register: NDArray[Any]) -> None:
    """Element (row, column) of each warp's matrix is what its lanes hold."""
    matrix[:, row, column] = register.reshape(-1, 32)


def matrix_a(registers: Sequence[U32], decode: Callable[[U16], F32]) -> F32:
    """The left matrix, 16 x 16, of m16n8k16: registers go down first, then right."""
    matrix = np.empty((registers[0].size // 32, 16, 16), np.float32)
    for index, register in enumerate(registers):
        row, column = GROUP + 8 * (index % 2), 2 * IN_GROUP + 8 * (index // 2)
        for half, bits in enumerate(halves(register)):
            put(matrix, row, column + half, decode(bits))
    return matrix


def matrix_b(registers: Sequence[U32], decode: Callable[[U16], F32]) -> F32:
    """The right matrix, 16 x 8, of m16n8k16: a lane holds two neighbours of one column."""
    matrix = np.empty((registers[0].size // 32, 16, 8), np.float32)
    for index, register in enumerate(registers):
        for half, bits in enumerate(halves(register)):
            put(matrix, 2 * IN_GROUP + 8 * index + half, GROUP, decode(bits))
    return matrix


def matrix_c(registers: Sequence[F32]) -> F32:
    """The accumulators, 16 x 8, of m16n8k16: two neighbours of a row, and the same eight rows below."""
    matrix = np.empty((registers[0].size // 32, 16, 8), np.float32)
    for index, register in enumerate(registers):
        put(matrix, GROUP + 8 * (index // 2), 2 * IN_GROUP + index % 2, register)
    return matrix


def registers_c(matrix: F32) -> tuple[F32, F32, F32, F32]:
    """The accumulators as lanes hold them."""
    first, second, third, fourth = (
        matrix[:, GROUP + 8 * (index // 2), 2 * IN_GROUP + index % 2].ravel() for index in range(4)
    )
    return first, second, third, fourth
