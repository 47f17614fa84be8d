"""The words of simd that read and write memory, and those that carry whole tiles through registers."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types

from .meaning import ADDRESS, INT32, INT64, MASK, NUMBER, REAL, Machine, meaning
from .registers import (
    F64,
    I8,
    I16,
    I32,
    I64,
    call,
    constant,
    first_lanes,
    masked_read,
    masked_write,
    pointer,
    read,
    repeat,
    write,
)
from .squares import add_across, transpose, turned_over


@meaning(REAL, ADDRESS)
def load(m: Machine, address: ir.Value) -> ir.Value:
    return read(m.builder, address, m.vector)


@meaning(REAL, ADDRESS, ADDRESS)
def load_first(m: Machine, address: ir.Value, count: ir.Value) -> ir.Value:
    return masked_read(m.builder, address, first_lanes(m.builder, count, m.lanes), m.vector)


@meaning(types.void, ADDRESS, REAL)
def store(m: Machine, address: ir.Value, value: ir.Value) -> None:
    write(m.builder, address, value)


@meaning(types.void, ADDRESS, REAL, ADDRESS)
def store_first(m: Machine, address: ir.Value, value: ir.Value, count: ir.Value) -> None:
    masked_write(m.builder, address, value, first_lanes(m.builder, count, m.lanes))


@meaning(REAL, ADDRESS)
def load_each(m: Machine, address: ir.Value) -> ir.Value:
    return repeat(m.builder, read(m.builder, address, m.real), m.lanes)


@meaning(NUMBER, ADDRESS)
def load_real(m: Machine, address: ir.Value) -> ir.Value:
    return read(m.builder, address, m.real)


@meaning(types.void, ADDRESS, NUMBER)
def store_real(m: Machine, address: ir.Value, value: ir.Value) -> None:
    write(m.builder, address, value)


@meaning(types.int64, ADDRESS)
def load_bits(m: Machine, address: ir.Value) -> ir.Value:
    if m.real is F64:
        return read(m.builder, address, I64)
    return m.builder.sext(read(m.builder, address, I32), I64)


@meaning(types.int64, ADDRESS)
def load_int16(m: Machine, address: ir.Value) -> ir.Value:
    return m.builder.sext(read(m.builder, address, I16, align=2), I64)


@meaning(types.int64, ADDRESS)
def load_int32(m: Machine, address: ir.Value) -> ir.Value:
    return m.builder.sext(read(m.builder, address, I32), I64)


@meaning(types.int64, ADDRESS)
def load_int64(m: Machine, address: ir.Value) -> ir.Value:
    return read(m.builder, address, I64, align=8)


@meaning(types.void, ADDRESS, types.int64)
def store_int64(m: Machine, address: ir.Value, value: ir.Value) -> None:
    write(m.builder, address, value, align=8)


@meaning(types.int64, ADDRESS)
def load_byte(m: Machine, address: ir.Value) -> ir.Value:
    # Any byte but 0 is true: a view of other bytes as bool has more than two.
    is_true = m.builder.icmp_unsigned("!=", read(m.builder, address, I8, align=1), ir.Constant(I8, 0))
    return m.builder.zext(is_true, I64)


@meaning(types.boolean, ADDRESS)
def load_bool(m: Machine, address: ir.Value) -> ir.Value:
    return m.builder.icmp_unsigned("!=", read(m.builder, address, I8, align=1), ir.Constant(I8, 0))


def gather(m: Machine, base: ir.Value, index: ir.Value, element: ir.Type, width: int) -> ir.Value:
    """Element by element: a gather instruction is no faster, and this form needs no table of names."""
    result: ir.Value = ir.Constant(ir.VectorType(element, m.lanes), ir.Undefined)
    for lane in range(m.lanes):
        place = ir.Constant(I32, lane)
        at = m.builder.mul(m.builder.extract_element(index, place), ir.Constant(I64, width))
        value = read(m.builder, m.builder.add(base, at), element, align=width)
        result = m.builder.insert_element(result, value, place)
    return result


@meaning(INT32, ADDRESS, INT64)
def take_int32(m: Machine, base: ir.Value, index: ir.Value) -> ir.Value:
    return gather(m, base, index, I32, 4)


@meaning(INT64, ADDRESS, INT64)
def take_int64(m: Machine, base: ir.Value, index: ir.Value) -> ir.Value:
    return gather(m, base, index, I64, 8)


@meaning(MASK, ADDRESS, INT64)
def take_bool(m: Machine, base: ir.Value, index: ir.Value) -> ir.Value:
    bytes_ = gather(m, base, index, I8, 1)
    return m.builder.icmp_unsigned("!=", bytes_, constant(bytes_.type, 0))


@meaning(INT32, ADDRESS)
def load_int32_lanes(m: Machine, address: ir.Value) -> ir.Value:
    return read(m.builder, address, m.whole)


@meaning(types.void, ADDRESS, INT32)
def store_int32_lanes(m: Machine, address: ir.Value, value: ir.Value) -> None:
    write(m.builder, address, value)


@meaning(types.int64, ADDRESS)
def claim(m: Machine, counter: ir.Value) -> ir.Value:
    return m.builder.atomic_rmw("add", pointer(m.builder, counter, I64), ir.Constant(I64, 1), "monotonic")


@meaning(types.int64, ADDRESS)
def arrive(m: Machine, counter: ir.Value) -> ir.Value:
    return m.builder.atomic_rmw("add", pointer(m.builder, counter, I64), ir.Constant(I64, 1), "acq_rel")


@meaning(REAL, ADDRESS)
def sum_lanes(m: Machine, address: ir.Value) -> ir.Value:
    size = m.target.vector_bytes
    places = (m.builder.add(address, ir.Constant(I64, size * i)) for i in range(m.lanes))
    return add_across(m.builder, [read(m.builder, place, m.vector) for place in places])


@meaning(types.void, ADDRESS)
def prefetch(m: Machine, address: ir.Value) -> None:
    fetch(m, address, 3)


@meaning(types.void, ADDRESS)
def prefetch_far(m: Machine, address: ir.Value) -> None:
    fetch(m, address, 2)


def fetch(m: Machine, address: ir.Value, nearness: int) -> None:
    for_reading, data = ir.Constant(I32, 0), ir.Constant(I32, 1)
    arguments = [pointer(m.builder, address, I8), for_reading, ir.Constant(I32, nearness), data]
    call(m.builder, "llvm.prefetch.p0", ir.VoidType(), arguments)


def write_scaled(
    m: Machine, columns: list[ir.Value], target_: ir.Value, stride: ir.Value, scale: ir.Value
) -> None:
    factor = repeat(m.builder, scale, m.lanes)
    for i, column in enumerate(columns):
        place = m.builder.add(target_, m.builder.mul(stride, ir.Constant(I64, i)))
        write(m.builder, place, m.builder.fmul(column, factor))


@meaning(types.void, ADDRESS, ADDRESS, ADDRESS, ADDRESS, NUMBER)
def transpose_tile(
    m: Machine,
    source: ir.Value,
    source_stride: ir.Value,
    target: ir.Value,
    target_stride: ir.Value,
    scale: ir.Value,
) -> None:
    places = [
        m.builder.add(source, m.builder.mul(source_stride, ir.Constant(I64, i))) for i in range(m.lanes)
    ]
    write_scaled(m, turned_over(m.builder, places, m.vector), target, target_stride, scale)


@meaning(types.void, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, NUMBER)
def transpose_tile_first(
    m: Machine,
    source: ir.Value,
    source_stride: ir.Value,
    rows: ir.Value,
    columns: ir.Value,
    target: ir.Value,
    target_stride: ir.Value,
    scale: ir.Value,
) -> None:
    last = m.builder.sub(rows, ir.Constant(I64, 1))
    inside = first_lanes(m.builder, columns, m.lanes)
    values = []
    for i in range(m.lanes):
        number = ir.Constant(I64, i)
        row = m.builder.select(m.builder.icmp_signed("<", number, last), number, last)
        place = m.builder.add(source, m.builder.mul(source_stride, row))
        values.append(masked_read(m.builder, place, inside, m.vector))
    write_scaled(m, transpose(m.builder, values), target, target_stride, scale)
