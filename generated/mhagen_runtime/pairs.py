"""The words of simd for pairs of bfloat16: two neighbours in one int32 lane, the even one in its lower half.

One instruction of AVX512-BF16 multiplies two vectors of pairs and adds both products to float32 lanes. Other
targets do the same in two fused steps, so that kernels of pairs can be checked anywhere.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from .formats import bfloat16_bits
from .meaning import ADDRESS, INT32, REAL, Machine, meaning
from .registers import (
    I16,
    I32,
    I64,
    call,
    constant,
    first_lanes,
    floats,
    lanewise,
    masked_read,
    read,
    repeat,
    write,
)
from .squares import transpose, turned_over

UPPER, LOWER = -65536, 65535


class BFloat(ir.types._BaseFloatType):  # type: ignore[misc]  # llvmlite has no bfloat
    """LLVM's bfloat, which the operands of the instruction have."""

    null = "0.0"
    intrinsic_name = "bf16"

    def __str__(self) -> str:
        return "bfloat"


BFloat._create_instance()


def upper_half(builder: ir.IRBuilder, pairs: ir.Value) -> ir.Value:
    return floats(builder, builder.and_(pairs, constant(pairs.type, UPPER)))


def lower_half(builder: ir.IRBuilder, pairs: ir.Value) -> ir.Value:
    return floats(builder, builder.shl(pairs, constant(pairs.type, 16)))


@meaning(REAL, INT32, INT32, REAL)
def dot_pairs(m: Machine, x: ir.Value, y: ir.Value, sums: ir.Value) -> ir.Value:
    if m.target.pair_dtype == "bfloat16":
        kind = ir.VectorType(BFloat(), 2 * m.lanes)
        operands = [m.builder.bitcast(each, kind) for each in (x, y)]
        return call(m.builder, "llvm.x86.avx512bf16.dpbf16ps.512", m.vector, [sums, *operands])
    for half in (upper_half, lower_half):
        sums = lanewise(m.builder, "fma", half(m.builder, x), half(m.builder, y), sums)
    return sums


@meaning(INT32, ADDRESS)
def load_pairs(m: Machine, address: ir.Value) -> ir.Value:
    return read(m.builder, address, m.whole, align=2)


@meaning(INT32, ADDRESS, ADDRESS)
def load_pairs_first(m: Machine, address: ir.Value, count: ir.Value) -> ir.Value:
    return masked_read(m.builder, address, first_lanes(m.builder, count, m.lanes), m.whole, align=2)


@meaning(INT32, ADDRESS)
def load_pair_each(m: Machine, address: ir.Value) -> ir.Value:
    return repeat(m.builder, read(m.builder, address, I32, align=2), m.lanes)


@meaning(types.void, ADDRESS, INT32)
def store_pairs(m: Machine, address: ir.Value, pairs: ir.Value) -> None:
    write(m.builder, address, pairs)


def interleaved(m: Machine, even: ir.Value, odd: ir.Value) -> ir.Value:
    """Rows of LANES bfloat16, one behind the other in vectors, as LANES pairs."""
    order = [place for lane in range(m.lanes) for place in (lane, m.lanes + lane)]
    both = m.builder.shuffle_vector(even, odd, ir.Constant(ir.VectorType(I32, 2 * m.lanes), order))
    return m.builder.bitcast(both, m.whole)


@meaning(INT32, REAL, REAL)
def pack_pairs(m: Machine, even: ir.Value, odd: ir.Value) -> ir.Value:
    if m.target.pair_dtype == "bfloat16":
        kind = ir.VectorType(BFloat(), 2 * m.lanes)
        rows = call(m.builder, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", kind, [odd, even])
        halves = m.builder.bitcast(rows, ir.VectorType(I16, 2 * m.lanes))
        return interleaved(m, halves, halves)
    upper = m.builder.shl(bfloat16_bits(m.builder, odd), constant(m.whole, 16))
    return m.builder.or_(upper, bfloat16_bits(m.builder, even))


@meaning(INT32, INT32, REAL)
def scale_pairs(m: Machine, pairs: ir.Value, factor: ir.Value) -> ir.Value:
    even = m.builder.fmul(lower_half(m.builder, pairs), factor)
    return pack_pairs.emit(m, even, m.builder.fmul(upper_half(m.builder, pairs), factor))


@meaning(INT32, INT32, types.int64, types.int64)
def keep_pairs(m: Machine, pairs: ir.Value, even: ir.Value, odd: ir.Value) -> ir.Value:
    zero = ir.Constant(I64, 0)
    kept = m.builder.or_(
        m.builder.select(
            m.builder.icmp_signed("!=", even, zero), ir.Constant(I32, LOWER), ir.Constant(I32, 0)
        ),
        m.builder.select(
            m.builder.icmp_signed("!=", odd, zero), ir.Constant(I32, UPPER), ir.Constant(I32, 0)
        ),
    )
    return m.builder.and_(pairs, repeat(m.builder, kept, m.lanes))


@meaning(INT32, INT32, INT32)
def zip_low(m: Machine, even: ir.Value, odd: ir.Value) -> ir.Value:
    return halves_zipped(m, even, odd, 0)


@meaning(INT32, INT32, INT32)
def zip_high(m: Machine, even: ir.Value, odd: ir.Value) -> ir.Value:
    return halves_zipped(m, even, odd, m.lanes)


def halves_zipped(m: Machine, even: ir.Value, odd: ir.Value, first: int) -> ir.Value:
    kind = ir.VectorType(I16, 2 * m.lanes)
    order = [place for i in range(first, first + m.lanes) for place in (i, 2 * m.lanes + i)]
    rows = [m.builder.bitcast(row, kind) for row in (even, odd)]
    both = m.builder.shuffle_vector(*rows, ir.Constant(ir.VectorType(I32, 2 * m.lanes), order))
    return m.builder.bitcast(both, m.whole)


@meaning(INT32, ADDRESS, ADDRESS)
def load_zipped(m: Machine, even: ir.Value, odd: ir.Value) -> ir.Value:
    row = ir.VectorType(I16, m.lanes)
    return interleaved(m, read(m.builder, even, row, align=2), read(m.builder, odd, row, align=2))


@meaning(INT32, ADDRESS, ADDRESS, ADDRESS)
def load_zipped_first(m: Machine, even: ir.Value, odd: ir.Value, count: ir.Value) -> ir.Value:
    row, inside = ir.VectorType(I16, m.lanes), first_lanes(m.builder, count, m.lanes)
    rows = [masked_read(m.builder, address, inside, row) for address in (even, odd)]
    return interleaved(m, *rows)


def write_columns(m: Machine, columns: list[ir.Value], target: ir.Value, stride: ir.Value) -> None:
    for i, column in enumerate(columns):
        write(m.builder, m.builder.add(target, m.builder.mul(stride, ir.Constant(I64, i))), column)


@meaning(types.void, ADDRESS, ADDRESS, ADDRESS, ADDRESS)
def transpose_pairs(
    m: Machine, source: ir.Value, source_stride: ir.Value, target: ir.Value, target_stride: ir.Value
) -> None:
    places = (m.builder.mul(source_stride, ir.Constant(I64, i)) for i in range(m.lanes))
    rows = [m.builder.add(source, place) for place in places]
    write_columns(m, turned_over(m.builder, rows, m.whole), target, target_stride)


@meaning(types.void, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS)
def transpose_pairs_first(
    m: Machine,
    source: ir.Value,
    source_stride: ir.Value,
    rows: ir.Value,
    columns: ir.Value,
    target: ir.Value,
    target_stride: ir.Value,
) -> None:
    last = m.builder.sub(rows, ir.Constant(I64, 1))
    inside = first_lanes(m.builder, columns, m.lanes)
    values: list[Any] = []
    for i in range(m.lanes):
        number = ir.Constant(I64, i)
        row = m.builder.select(m.builder.icmp_signed("<", number, last), number, last)
        place = m.builder.add(source, m.builder.mul(source_stride, row))
        values.append(masked_read(m.builder, place, inside, m.whole, align=2))
    write_columns(m, transpose(m.builder, values), target, target_stride)
