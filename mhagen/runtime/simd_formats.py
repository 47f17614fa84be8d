"""The vocabulary of kernels, continued: numbers in other formats than a kernel computes in, and pairs.

Terms
    lanes       LANES neighbours in memory, widened as they are read and rounded as they are written
    pairs       two neighbouring bfloat16 in each int32 lane, the even one in its lower half
"""

from __future__ import annotations

from . import simd
from .notcompiled import Address, Vector, compiled_only

VOCABULARY = (simd.__name__, __name__)  # the modules of all words


def load_float32(address: Address) -> float:
    """One float32 from memory, as a number that the kernel computes with."""
    raise compiled_only("load_float32")


def load_float32_lanes(address: Address) -> Vector:
    """LANES neighbours of float32 from memory."""
    raise compiled_only("load_float32_lanes")


def take_float32(base: Address, index: Vector) -> Vector:
    """float32 values at base[index], lane by lane."""
    raise compiled_only("take_float32")


def load_float64(address: Address) -> float:
    """One float64 from memory, as a number that the kernel computes with."""
    raise compiled_only("load_float64")


def load_float64_lanes(address: Address) -> Vector:
    """LANES neighbours of float64 from memory."""
    raise compiled_only("load_float64_lanes")


def take_float64(base: Address, index: Vector) -> Vector:
    """float64 values at base[index], lane by lane."""
    raise compiled_only("take_float64")


def load_bfloat16(address: Address) -> float:
    """One bfloat16 from memory, as a number that the kernel computes with."""
    raise compiled_only("load_bfloat16")


def load_bfloat16_lanes(address: Address) -> Vector:
    """LANES neighbours of bfloat16 from memory."""
    raise compiled_only("load_bfloat16_lanes")


def load_bfloat16_first(address: Address, count: int) -> Vector:
    """The first `count` lanes, bfloat16 in memory; 0 in the others."""
    raise compiled_only("load_bfloat16_first")


def store_bfloat16_lanes(address: Address, vector: Vector) -> None:
    """LANES numbers to memory, rounded to bfloat16."""
    raise compiled_only("store_bfloat16_lanes")


def store_bfloat16_first(address: Address, vector: Vector, count: int) -> None:
    """The first `count` lanes to memory as bfloat16."""
    raise compiled_only("store_bfloat16_first")


def take_bfloat16(base: Address, index: Vector) -> Vector:
    """bfloat16 values at base[index], lane by lane."""
    raise compiled_only("take_bfloat16")


def load_float16(address: Address) -> float:
    """One float16 from memory, as a number that the kernel computes with."""
    raise compiled_only("load_float16")


def load_float16_lanes(address: Address) -> Vector:
    """LANES neighbours of float16 from memory."""
    raise compiled_only("load_float16_lanes")


def load_float16_first(address: Address, count: int) -> Vector:
    """The first `count` lanes, float16 in memory; 0 in the others."""
    raise compiled_only("load_float16_first")


def store_float16_lanes(address: Address, vector: Vector) -> None:
    """LANES numbers to memory, rounded to float16."""
    raise compiled_only("store_float16_lanes")


def store_float16_first(address: Address, vector: Vector, count: int) -> None:
    """The first `count` lanes to memory as float16."""
    raise compiled_only("store_float16_first")


def take_float16(base: Address, index: Vector) -> Vector:
    """float16 values at base[index], lane by lane."""
    raise compiled_only("take_float16")


def load_pairs(address: Address) -> Vector:
    """LANES pairs of bfloat16 from memory."""
    raise compiled_only("load_pairs")


def load_pairs_first(address: Address, count: int) -> Vector:
    """The first `count` pairs of bfloat16 from memory, 0 in the other lanes."""
    raise compiled_only("load_pairs_first")


def load_pair_each(address: Address) -> Vector:
    """One pair of bfloat16 from memory, repeated in every lane."""
    raise compiled_only("load_pair_each")


def store_pairs(address: Address, pairs: Vector) -> None:
    """LANES pairs of bfloat16 to memory."""
    raise compiled_only("store_pairs")


def dot_pairs(x: Vector, y: Vector, sums: Vector) -> Vector:
    """sums + x[even] * y[even] + x[odd] * y[odd]: pairs of bfloat16, float32 sums."""
    raise compiled_only("dot_pairs")


def pack_pairs(even: Vector, odd: Vector) -> Vector:
    """Two vectors of float32, rounded to bfloat16, as one of pairs."""
    raise compiled_only("pack_pairs")


def scale_pairs(pairs: Vector, factor: Vector) -> Vector:
    """Both bfloat16 of each pair times the factor of its lane."""
    raise compiled_only("scale_pairs")


def keep_pairs(pairs: Vector, even: int, odd: int) -> Vector:
    """The pairs with 0 for their even numbers, or the odd ones, where the flag is 0."""
    raise compiled_only("keep_pairs")


def zip_low(even: Vector, odd: Vector) -> Vector:
    """Two rows of 2 * LANES bfloat16 as pairs: those of their first halves."""
    raise compiled_only("zip_low")


def zip_high(even: Vector, odd: Vector) -> Vector:
    """Two rows of 2 * LANES bfloat16 as pairs: those of their second halves."""
    raise compiled_only("zip_high")


def load_zipped(even: Address, odd: Address) -> Vector:
    """Two rows of LANES bfloat16 as pairs, the first row even."""
    raise compiled_only("load_zipped")


def load_zipped_first(even: Address, odd: Address, count: int) -> Vector:
    """As load_zipped, `count` columns of each row; 0 behind them."""
    raise compiled_only("load_zipped_first")


def transpose_pairs(source: Address, source_stride: int, target: Address, target_stride: int) -> None:
    """target[c][r] = source[r][c] for LANES rows and columns of pairs; strides in bytes."""
    raise compiled_only("transpose_pairs")


def transpose_pairs_first(
    source: Address, source_stride: int, rows: int, columns: int, target: Address, target_stride: int
) -> None:
    """As transpose_pairs where only `rows` rows and `columns` columns of pairs may be read.

    Columns behind count as 0; rows behind repeat the last one.
    """
    raise compiled_only("transpose_pairs_first")
