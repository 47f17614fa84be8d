"""What CUDA kernels call beside single instructions: reads of captured arrays, functions of reals, extents.

Plain functions of Numba's CUDA dialect: they are compiled into the kernel that calls them.

Terms
    address     of global memory, an int64, in bytes; nothing is checked here
    extent      the least and the greatest element of a rectangle of an array, its strides in elements. All
                lanes of a warp look for it together, and all get it.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, float32, int32, int64, uint32, uint64

from .ptx import bits_of, ex2, fma, lg2, maximum_or_nan, of_bf16, of_f16, rcp, shfl_bfly, shfl_bfly_b32
from .ptx_memory import ld_global_b16, ld_global_b64, ld_global_f32, ld_global_s32, ld_global_u8
from .ptx_reals import divide, ld_global_f64, minimum_or_nan, round_down, to_f32

LOG2_OF_E = 1.4426950408889634
LOG2_OF_E_LOW = 1.92596298909109e-08  # what float32 lacks of it
LN_OF_2 = 0.6931471805599453
UNBOUNDED = float("inf")
UNDEFINED = float("nan")
MOST_INT32 = 2**31 - 1
WARP = 32


def load_float32(address: Any) -> Any:
    return ld_global_f32(uint64(address))


def load_float64(address: Any) -> Any:
    return to_f32(ld_global_f64(uint64(address)))


def load_bfloat16(address: Any) -> Any:
    return of_bf16(ld_global_b16(uint64(address)))


def load_float16(address: Any) -> Any:
    return of_f16(ld_global_b16(uint64(address)))


def load_int32(address: Any) -> Any:
    return ld_global_s32(uint64(address))


def load_int64(address: Any) -> Any:
    return int64(ld_global_b64(uint64(address)))


def load_byte(address: Any) -> Any:
    return int32(ld_global_u8(uint64(address)))


def load_bool(address: Any) -> Any:
    return ld_global_u8(uint64(address)) != uint32(0)


def exp(x: Any) -> Any:
    """To 3 * 2**-23 of it. What rounding takes from x / ln(2) would be many digits of a large power."""
    near = maximum_or_nan(minimum_or_nan(x, float32(128.0)), float32(-128.0))
    exponent = near * float32(LOG2_OF_E)
    lost = fma(near, float32(LOG2_OF_E), -exponent)
    lost = fma(near, float32(LOG2_OF_E_LOW), lost)
    return ex2(exponent) * fma(lost, float32(LN_OF_2), float32(1.0))


def sigmoid(x: Any) -> Any:
    """To 5 * 2**-23 of it."""
    return rcp(float32(1.0) + exp(-x))


def log(x: Any) -> Any:
    """To 3 * 2**-23 of it, but between 1/2 and 2 to 2**-22: the instruction is no better there."""
    return lg2(x) * float32(LN_OF_2)


def fine_log(x: Any) -> Any:
    """To 3 * 2**-23 of it; near 1 it is twice the inverse hyperbolic tangent of (x - 1) / (x + 1)."""
    part = divide(x - float32(1.0), x + float32(1.0))
    square = part * part
    series = fma(square, float32(2.0 / 15.0), float32(2.0 / 13.0))
    series = fma(square, series, float32(2.0 / 11.0))
    series = fma(square, series, float32(2.0 / 9.0))
    series = fma(square, series, float32(2.0 / 7.0))
    series = fma(square, series, float32(2.0 / 5.0))
    series = fma(square, series, float32(2.0 / 3.0))
    near = fma(part * square, series, float32(2.0) * part)
    return near if float32(0.5) < x and x < float32(2.0) else log(x)


def hyperbolic_tangent(x: Any) -> Any:
    """To 2**-21; the instruction of that name gives 2**-11, and scores are multiplied by more."""
    return float32(1.0) - float32(2.0) * rcp(float32(1.0) + ex2(x * float32(2.0 * LOG2_OF_E)))


def fine_hyperbolic_tangent(x: Any) -> Any:
    """To 3 * 2**-23 of it. The polynomial's relative error is below 2**-27."""
    square = x * x
    series = fma(square, float32(-0.0056931133), float32(0.020628862))
    series = fma(square, series, float32(-0.053736715))
    series = fma(square, series, float32(0.13331408))
    series = fma(square, series, float32(-0.33333281))
    near = fma(x * square, series, x)
    return near if abs(x) < float32(0.625) else hyperbolic_tangent(x)


def power(x: Any, y: Any) -> Any:
    """x to the power of y, to about |y| * 2**-22; of x below 0 for whole y alone, else NaN."""
    size = abs(x)
    found = ex2(y * lg2(size))
    if (size == float32(1.0) and y == y) or y == float32(0.0) or x == float32(1.0):
        found = float32(1.0)
    half = y * float32(0.5)
    is_whole = round_down(y) == y
    if float32(-UNBOUNDED) < x and x < float32(0.0) and not is_whole:
        found = float32(UNDEFINED)
    elif is_whole and round_down(half) != half and bits_of(x) >> uint32(31) != uint32(0):
        found = -found
    return found


def floor_divide(x: Any, y: Any) -> Any:
    return int64(0) if y == 0 else x // y


def modulo(x: Any, y: Any) -> Any:
    return int64(0) if y == 0 else x % y


def widened(low: Any, high: Any) -> Any:
    """Where a real lies that was computed to be between low and high: rounding is less than this adds.

    What may have overflowed, be infinite or NaN can be anything.
    """
    if low > -1e38 and low <= high and high < 1e38:
        span_low, span_high = max(low, -low), max(high, -high)
        return low - span_low * 2.0**-20 - 2.0**-126, high + span_high * 2.0**-20 + 2.0**-126
    return -UNBOUNDED, UNBOUNDED


def extent_int32(array: Any, start: Any, outer_count: Any, outer_stride: Any, count: Any, stride: Any) -> Any:
    low, high = int32(MOST_INT32), int32(-MOST_INT32 - 1)
    first = int64(cuda.threadIdx.x) % WARP
    for outer in range(outer_count):
        for inner in range(first, count, WARP):
            element = load_int32(array + 4 * (start + outer * outer_stride + inner * stride))
            low, high = int32(min(low, element)), int32(max(high, element))
    for mask in (1, 2, 4, 8, 16):
        low = int32(min(low, int32(shfl_bfly_b32(uint32(low), uint32(mask)))))
        high = int32(max(high, int32(shfl_bfly_b32(uint32(high), uint32(mask)))))
    return int64(low), int64(high)


def extent_of_run(array: Any, start: Any, count: Any) -> Any:
    """Of neighbours."""
    return extent_int32(array, start, 1, 1, count, 1)


def extent_bool(array: Any, start: Any, outer_count: Any, outer_stride: Any, count: Any, stride: Any) -> Any:
    low, high = int32(1), int32(0)
    first = int64(cuda.threadIdx.x) % WARP
    for outer in range(outer_count):
        for inner in range(first, count, WARP):
            element = load_byte(array + start + outer * outer_stride + inner * stride)
            low, high = int32(min(low, element)), int32(max(high, element))
    for mask in (1, 2, 4, 8, 16):
        low = int32(min(low, int32(shfl_bfly_b32(uint32(low), uint32(mask)))))
        high = int32(max(high, int32(shfl_bfly_b32(uint32(high), uint32(mask)))))
    return int64(low), int64(high)


def extent_int64(array: Any, start: Any, outer_count: Any, outer_stride: Any, count: Any, stride: Any) -> Any:
    """Every lane looks at all of them: lanes exchange 32 bits."""
    low = high = load_int64(array + 8 * start)
    for outer in range(outer_count):
        for inner in range(count):
            element = load_int64(array + 8 * (start + outer * outer_stride + inner * stride))
            low, high = min(low, element), max(high, element)
    return low, high


def joined_reals(low: Any, high: Any, strange: Any) -> Any:
    """The extent of what all lanes have found; NaN if one has found what is not finite."""
    for mask in (1, 2, 4, 8, 16):
        low = min(low, shfl_bfly(low, uint32(mask)))
        high = max(high, shfl_bfly(high, uint32(mask)))
        strange = strange + shfl_bfly(strange, uint32(mask))
    return low + strange, high + strange


def extent_float32(
    array: Any, start: Any, outer_count: Any, outer_stride: Any, count: Any, stride: Any
) -> Any:
    low, high, strange = float32(UNBOUNDED), float32(-UNBOUNDED), float32(0.0)
    first = int64(cuda.threadIdx.x) % WARP
    for outer in range(outer_count):
        for inner in range(first, count, WARP):
            element = load_float32(array + 4 * (start + outer * outer_stride + inner * stride))
            low, high = min(low, element), max(high, element)
            strange = strange + float32(0.0) * element
    return joined_reals(low, high, strange)


def extent_float64(
    array: Any, start: Any, outer_count: Any, outer_stride: Any, count: Any, stride: Any
) -> Any:
    low, high, strange = float32(UNBOUNDED), float32(-UNBOUNDED), float32(0.0)
    first = int64(cuda.threadIdx.x) % WARP
    for outer in range(outer_count):
        for inner in range(first, count, WARP):
            element = load_float64(array + 8 * (start + outer * outer_stride + inner * stride))
            low, high = min(low, element), max(high, element)
            strange = strange + float32(0.0) * element
    return joined_reals(low, high, strange)


def extent_bfloat16(
    array: Any, start: Any, outer_count: Any, outer_stride: Any, count: Any, stride: Any
) -> Any:
    low, high, strange = float32(UNBOUNDED), float32(-UNBOUNDED), float32(0.0)
    first = int64(cuda.threadIdx.x) % WARP
    for outer in range(outer_count):
        for inner in range(first, count, WARP):
            element = load_bfloat16(array + 2 * (start + outer * outer_stride + inner * stride))
            low, high = min(low, element), max(high, element)
            strange = strange + float32(0.0) * element
    return joined_reals(low, high, strange)


def extent_float16(
    array: Any, start: Any, outer_count: Any, outer_stride: Any, count: Any, stride: Any
) -> Any:
    low, high, strange = float32(UNBOUNDED), float32(-UNBOUNDED), float32(0.0)
    first = int64(cuda.threadIdx.x) % WARP
    for outer in range(outer_count):
        for inner in range(first, count, WARP):
            element = load_float16(array + 2 * (start + outer * outer_stride + inner * stride))
            low, high = min(low, element), max(high, element)
            strange = strange + float32(0.0) * element
    return joined_reals(low, high, strange)
