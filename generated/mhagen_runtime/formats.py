"""The words of simd for numbers that lie in memory in another format than a kernel computes in.

Every real format has the same words: one number, LANES neighbours, the first of them, and lanes by index.
They are widened as they are read (exactly) and rounded to nearest, ties to even, as they are written.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba.core import types

from .meaning import ADDRESS, INT64, NUMBER, REAL, Machine, Meaning, meaning
from .memory import gather
from .registers import (
    F32,
    F64,
    I16,
    I32,
    constant,
    first_lanes,
    integers,
    masked_read,
    masked_write,
    read,
    repeat,
    write,
)

HALF = ir.HalfType()
BFLOAT16_NAN = 0x7FC0


def lanes_like(kind: ir.Type, value: ir.Value) -> ir.Type:
    """The element type, or vectors of it as long as the value."""
    return ir.VectorType(kind, value.type.count) if isinstance(value.type, ir.VectorType) else kind


def element_of(kind: ir.Type) -> ir.Type:
    return kind.element if isinstance(kind, ir.VectorType) else kind


def widen(m: Machine, value: ir.Value) -> ir.Value:
    """A float32 or a float64 as what the kernel computes in."""
    if element_of(value.type) is m.real:
        return value
    resize = m.builder.fpext if m.real is F64 else m.builder.fptrunc
    return resize(value, lanes_like(m.real, value))


def narrow(m: Machine, value: ir.Value, kind: ir.Type) -> ir.Value:
    if m.real is kind:
        return value
    resize = m.builder.fpext if kind is F64 else m.builder.fptrunc
    return resize(value, lanes_like(kind, value))


def from_float16(m: Machine, bits: ir.Value) -> ir.Value:
    half = m.builder.bitcast(bits, lanes_like(HALF, bits))
    return widen(m, m.builder.fpext(half, lanes_like(F32, bits)))


def to_float16(m: Machine, value: ir.Value) -> ir.Value:
    half = m.builder.fptrunc(narrow(m, value, F32), lanes_like(HALF, value))
    return m.builder.bitcast(half, lanes_like(I16, value))


def from_bfloat16(m: Machine, bits: ir.Value) -> ir.Value:
    # A bfloat16 is the upper half of a float32.
    whole = m.builder.zext(bits, lanes_like(I32, bits))
    shifted = m.builder.shl(whole, ir.Constant(whole.type, sixteen(whole.type)))
    return widen(m, m.builder.bitcast(shifted, lanes_like(F32, bits)))


def sixteen(kind: ir.Type) -> int | list[int]:
    return [16] * kind.count if isinstance(kind, ir.VectorType) else 16


def bfloat16_bits(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """float32 lanes rounded to bfloat16, in the lower halves of int32 lanes."""
    bits = integers(builder, value)
    upper = builder.lshr(bits, constant(bits.type, 16))
    # Half of the last place less one, and one more where the last place is odd: ties go to even.
    odd = builder.and_(upper, constant(bits.type, 1))
    rounded = builder.add(builder.add(bits, constant(bits.type, 0x7FFF)), odd)
    rounded = builder.lshr(rounded, constant(bits.type, 16))
    is_nan = builder.fcmp_unordered("uno", value, value)
    return builder.select(is_nan, constant(bits.type, BFLOAT16_NAN), rounded)


def to_bfloat16(m: Machine, value: ir.Value) -> ir.Value:
    bits = bfloat16_bits(m.builder, narrow(m, value, F32))
    return m.builder.trunc(bits, lanes_like(I16, value))


Change = Callable[[Machine, ir.Value], ir.Value]
# How each format lies in memory, and how it is read and written.
FORMATS: dict[str, tuple[ir.Type, int, Change, Change]] = {
    "float32": (F32, 4, widen, lambda m, value: narrow(m, value, F32)),
    "float64": (F64, 8, widen, lambda m, value: narrow(m, value, F64)),
    "bfloat16": (I16, 2, from_bfloat16, to_bfloat16),
    "float16": (I16, 2, from_float16, to_float16),
}


def words_of(stored: str) -> dict[str, Meaning]:
    """The words of one format."""
    kind, size, enter, leave = FORMATS[stored]

    @meaning(NUMBER, ADDRESS)
    def load_one(m: Machine, address: ir.Value) -> ir.Value:
        if kind is not I16:
            return enter(m, read(m.builder, address, kind, align=size))
        lanes = repeat(m.builder, read(m.builder, address, kind, align=size), m.lanes)
        return m.builder.extract_element(enter(m, lanes), ir.Constant(I32, 0))

    @meaning(REAL, ADDRESS)
    def load_lanes(m: Machine, address: ir.Value) -> ir.Value:
        return enter(m, read(m.builder, address, ir.VectorType(kind, m.lanes), align=size))

    @meaning(REAL, ADDRESS, ADDRESS)
    def load_first(m: Machine, address: ir.Value, count: ir.Value) -> ir.Value:
        inside = first_lanes(m.builder, count, m.lanes)
        return enter(m, masked_read(m.builder, address, inside, ir.VectorType(kind, m.lanes)))

    @meaning(types.void, ADDRESS, REAL)
    def store_lanes(m: Machine, address: ir.Value, value: ir.Value) -> None:
        write(m.builder, address, leave(m, value), align=size)

    @meaning(types.void, ADDRESS, REAL, ADDRESS)
    def store_first(m: Machine, address: ir.Value, value: ir.Value, count: ir.Value) -> None:
        masked_write(m.builder, address, leave(m, value), first_lanes(m.builder, count, m.lanes))

    @meaning(REAL, ADDRESS, INT64)
    def take(m: Machine, base: ir.Value, index: ir.Value) -> ir.Value:
        return enter(m, gather(m, base, index, kind, size))

    words = {f"load_{stored}": load_one, f"load_{stored}_lanes": load_lanes, f"take_{stored}": take}
    if size > 2:  # arrays that expressions index; what is computed in float32 or float64 is stored by store
        return words
    return words | {
        f"load_{stored}_first": load_first,
        f"store_{stored}_lanes": store_lanes,
        f"store_{stored}_first": store_first,
    }


WORDS = {name: found for stored in FORMATS for name, found in words_of(stored).items()}
