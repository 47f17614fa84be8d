"""The vocabulary of kernels: vectors in registers, memory by address.

A kernel is plain Python that calls these names. Numba never sees the functions below: when a kernel is
compiled, `compiler` puts the machine's own meaning of each (see `vectors`) in its place, for the lane count
of the target. So this module costs nothing to import, and a kernel can be read without knowing LLVM.

Terms
    address     an integer, in bytes; nothing is checked here: launch has checked every array before
    vector      LANES real values in one register: float32, or float64 in kernels that compute in it.
                `+ - * /` and comparisons work lane by lane, a number is repeated in every lane; vectors of
                integers hold LANES int32 (or int64) values
    mask        LANES booleans, the result of a comparison; `& | ^ ~` combine masks
    first       operations named *_first touch `count` lanes only: memory behind them is not touched
"""

from __future__ import annotations

from .notcompiled import Address, Mask, Vector, compiled_only


def load(address: Address) -> Vector:
    """LANES real values from memory."""
    raise compiled_only("load")


def load_first(address: Address, count: int) -> Vector:
    """The first `count` lanes from memory, 0 in the others."""
    raise compiled_only("load_first")


def store(address: Address, vector: Vector) -> None:
    """LANES real values to memory."""
    raise compiled_only("store")


def store_first(address: Address, vector: Vector, count: int) -> None:
    """The first `count` lanes to memory."""
    raise compiled_only("store_first")


def load_each(address: Address) -> Vector:
    """One real value from memory, repeated in every lane."""
    raise compiled_only("load_each")


def load_real(address: Address) -> float:
    """One real value from memory."""
    raise compiled_only("load_real")


def store_real(address: Address, value: float) -> None:
    """One real value to memory."""
    raise compiled_only("store_real")


def load_bits(address: Address) -> int:
    """The bits of a real value in memory, as a signed integer."""
    raise compiled_only("load_bits")


def load_int16(address: Address) -> int:
    """One int16 from memory."""
    raise compiled_only("load_int16")


def load_int32(address: Address) -> int:
    """One int32 from memory."""
    raise compiled_only("load_int32")


def load_int64(address: Address) -> int:
    """One int64 from memory."""
    raise compiled_only("load_int64")


def store_int64(address: Address, value: int) -> None:
    """One int64 to memory."""
    raise compiled_only("store_int64")


def load_byte(address: Address) -> int:
    """One byte from memory: 1 if it is not zero, else 0."""
    raise compiled_only("load_byte")


def load_bool(address: Address) -> bool:
    """One byte from memory: is it not zero?"""
    raise compiled_only("load_bool")


def take_int32(base: Address, index: Vector) -> Vector:
    """int32 values at base[index], lane by lane."""
    raise compiled_only("take_int32")


def take_int64(base: Address, index: Vector) -> Vector:
    """int64 values at base[index], lane by lane."""
    raise compiled_only("take_int64")


def take_bool(base: Address, index: Vector) -> Mask:
    """Booleans at base[index], lane by lane."""
    raise compiled_only("take_bool")


def load_int32_lanes(address: Address) -> Vector:
    """LANES int32 values from memory."""
    raise compiled_only("load_int32_lanes")


def store_int32_lanes(address: Address, vector: Vector) -> None:
    """LANES int32 values to memory."""
    raise compiled_only("store_int32_lanes")


def claim(counter: Address) -> int:
    """Add one to the int64 at `counter`, atomically; the value before. Threads claim their tasks with it."""
    raise compiled_only("claim")


def arrive(counter: Address) -> int:
    """As claim; what was written before it can be read by whoever arrives later."""
    raise compiled_only("arrive")


def sum_lanes(address: Address) -> Vector:
    """Lane i: the sum of all lanes of the i-th of LANES vectors from `address` on."""
    raise compiled_only("sum_lanes")


def prefetch(address: Address) -> None:
    """Bring the cache line of `address` near; never faults."""
    raise compiled_only("prefetch")


def prefetch_far(address: Address) -> None:
    """Bring the cache line of `address` into the second level cache; never faults."""
    raise compiled_only("prefetch_far")


def splat(value: float) -> Vector:
    """`value` in every lane."""
    raise compiled_only("splat")


def lane_numbers() -> Vector:
    """The int32 lane numbers 0, 1, 2, ..."""
    raise compiled_only("lane_numbers")


def wide(vector: Vector) -> Vector:
    """int32 lanes as int64 lanes."""
    raise compiled_only("wide")


def real(vector: Vector) -> Vector:
    """Integer lanes as real lanes, rounded to nearest."""
    raise compiled_only("real")


def fma(x: Vector, y: Vector, z: Vector) -> Vector:
    """x * y + z, rounded once."""
    raise compiled_only("fma")


def where(condition: Mask, x: Vector, y: Vector) -> Vector:
    """x where the mask holds, else y."""
    raise compiled_only("where")


def any_lane(condition: Mask) -> bool:
    """Does the mask hold in any lane?"""
    raise compiled_only("any_lane")


def greatest_lane(x: Vector) -> int:
    """The greatest of all lanes, of integers."""
    raise compiled_only("greatest_lane")


def least_lane(x: Vector) -> int:
    """The least of all lanes, of integers."""
    raise compiled_only("least_lane")


def maximum(x: Vector, y: Vector) -> Vector:
    """The greater, lane by lane; y where either is NaN."""
    raise compiled_only("maximum")


def minimum(x: Vector, y: Vector) -> Vector:
    """The smaller, lane by lane; y where either is NaN."""
    raise compiled_only("minimum")


def maximum_or_nan(x: Vector, y: Vector) -> Vector:
    """The greater of real numbers, lane by lane; NaN where either is NaN."""
    raise compiled_only("maximum_or_nan")


def minimum_or_nan(x: Vector, y: Vector) -> Vector:
    """The smaller of real numbers, lane by lane; NaN where either is NaN."""
    raise compiled_only("minimum_or_nan")


def floor_divide(x: Vector, y: Vector) -> Vector:
    """The floor of x / y, as Python's //.

    Numbers  integers: x where y is 0, and for the least integer // -1; reals: as NumPy's, x / 0 where y is 0
    """
    raise compiled_only("floor_divide")


def modulo(x: Vector, y: Vector) -> Vector:
    """x - y * (x // y), as Python's %.

    Numbers  integers: 0 where y is 0; reals: exact, but rounded once where the signs differ; NaN where y is 0
    """
    raise compiled_only("modulo")


def absolute(x: Vector) -> Vector:
    """The magnitude, lane by lane."""
    raise compiled_only("absolute")


def round_down(x: Vector) -> Vector:
    """The greatest whole number not above x."""
    raise compiled_only("round_down")


def square_root(x: Vector) -> Vector:
    """The square root; NaN below 0."""
    raise compiled_only("square_root")


def exp2(x: Vector) -> Vector:
    """2 ** x, for x up to 127.

    Numbers  2 ulp; exact for whole x; below -126 a denormal or 0, below -150 and for -inf 0; NaN for NaN
    """
    raise compiled_only("exp2")


def exp2_weight(x: Vector) -> Vector:
    """2 ** x for weights.  Numbers: 2 ulp; otherwise as exp2, but below 2 ** -126 it may be any denormal."""
    raise compiled_only("exp2_weight")


def exp2_degree_3(x: Vector) -> Vector:
    """2 ** x for weights of bfloat16.  Numbers: float32 to 1.1e-4 of the result; otherwise as exp2."""
    raise compiled_only("exp2_degree_3")


def exp2_degree_4(x: Vector) -> Vector:
    """2 ** x for weights of float16.  Numbers: float32 to 3e-6 of the result; otherwise as exp2."""
    raise compiled_only("exp2_degree_4")


def exp(x: Vector) -> Vector:
    """e ** x.  Numbers: 1 ulp, denormal results too; exp(0) = 1; above 88.73 inf; NaN for NaN."""
    raise compiled_only("exp")


def log(x: Vector) -> Vector:
    """The natural logarithm.  Numbers: 0.9 ulp; log(0) = -inf, NaN below 0, log(inf) = inf."""
    raise compiled_only("log")


def tanh(x: Vector) -> Vector:
    """The hyperbolic tangent.  Numbers: 3.5 ulp, in float64 3; odd, -0.0 included; NaN for NaN."""
    raise compiled_only("tanh")


def tanh_short(x: Vector) -> Vector:
    """As tanh, of float32 lanes whose results end up in 16 bits.  Numbers: relative error 6.5e-6."""
    raise compiled_only("tanh_short")


def sigmoid(x: Vector) -> Vector:
    """1 / (1 + e ** -x).  Numbers: 2.6 ulp, denormal results too; NaN for NaN."""
    raise compiled_only("sigmoid")


def power(x: Vector, y: Vector) -> Vector:
    """x ** y, in all cases as C's pow.  Numbers: 1 ulp."""
    raise compiled_only("power")


def transpose_tile(
    source: Address, source_stride: int, target: Address, target_stride: int, scale: float
) -> None:
    """target[c][r] = scale * source[r][c] for LANES rows and columns; strides in bytes."""
    raise compiled_only("transpose_tile")


def transpose_tile_first(
    source: Address,
    source_stride: int,
    rows: int,
    columns: int,
    target: Address,
    target_stride: int,
    scale: float,
) -> None:
    """As transpose_tile where only `rows` rows and `columns` columns may be read.

    Columns behind count as 0; rows behind repeat the last one.
    """
    raise compiled_only("transpose_tile_first")
