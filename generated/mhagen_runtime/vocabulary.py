"""The machine's meaning of every name of `simd`, as Numba intrinsics for one target.

Only `compiler` imports this module, when something is really compiled.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .target import Target
from .elementary import (
    emit_exp,
    emit_exp2,
    emit_floor_division,
    emit_log,
    emit_power,
    emit_sigmoid,
    emit_tanh,
    transpose,
)
from .registers import (
    F32,
    I8,
    I32,
    I64,
    call,
    constant,
    first_lanes,
    lanewise,
    masked_read,
    masked_write,
    pointer,
    read,
    repeat,
    write,
)
from .vectors import VectorType, can_become, joined, signature


class Slot(Enum):
    """Types of a signature that depend on the target: vectors, or the operands' joined type."""

    REAL = "float32"
    INT32 = "int32"
    INT64 = "int64"
    MASK = "mask"
    SHARED = "shared"


REAL, INT32, INT64, MASK, SHARED = Slot
ADDRESS = types.intp
Kind = Slot | types.Type


@dataclass(frozen=True)
class Machine:
    """Where an operation is emitted: the builder and the target it builds for."""

    builder: ir.IRBuilder
    target: Target

    @property
    def lanes(self) -> int:
        return self.target.lanes

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(F32, self.lanes)

    @property
    def whole(self) -> ir.VectorType:
        return ir.VectorType(I32, self.lanes)


Emit = TypeVar("Emit", bound=Callable[..., ir.Value | None])


@dataclass(frozen=True)
class Meaning:
    """What a name of the vocabulary lowers to: `emit(machine, *values)`, with this signature."""

    emit: Callable[..., ir.Value | None]
    result: Kind
    parameters: tuple[Kind, ...]


MEANINGS: dict[str, Meaning] = {}


def meaning(result: Kind, *parameters: Kind) -> Callable[[Emit], Emit]:
    """Register the function below as the meaning of the name it has."""

    def register(emit: Emit) -> Emit:
        MEANINGS[emit.__name__] = Meaning(emit, result, parameters)
        return emit

    return register


@cache
def vocabulary(target: Target) -> dict[str, Any]:
    """Every name of `simd` as a Numba intrinsic for one target."""
    return {name: operation(found, target) for name, found in MEANINGS.items()}


def operation(found: Meaning, target: Target) -> Any:
    """A Numba intrinsic that emits the meaning."""

    def definition(typing: Any, *arguments: types.Type) -> Any:
        kinds = kinds_of(found, arguments, target)
        if kinds is None:
            return None

        def lower(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
            value = found.emit(Machine(builder, target), *values)
            return context.get_dummy_value() if value is None else value

        return signature(*kinds), lower

    definition.__name__ = found.emit.__name__
    definition.__signature__ = inspect.signature(found.emit)  # type: ignore[attr-defined]  # Numba counts by it
    return intrinsic(definition)


def kinds_of(
    found: Meaning, arguments: Sequence[types.Type], target: Target
) -> tuple[types.Type, ...] | None:
    """The types of the result and of the parameters, or None where the arguments do not fit."""
    if len(arguments) != len(found.parameters):
        return None
    pairs = zip(arguments, found.parameters, strict=True)
    shared = joined([argument for argument, slot in pairs if slot is SHARED])
    if shared is None and SHARED in found.parameters:
        return None
    kinds = tuple(resolved(slot, shared, target) for slot in (found.result, *found.parameters))
    fit = all(can_become(argument, kind) for argument, kind in zip(arguments, kinds[1:], strict=True))
    return kinds if fit else None


def resolved(slot: Kind, shared: VectorType | None, target: Target) -> types.Type:
    if not isinstance(slot, Slot):
        return slot
    return shared if slot is SHARED and shared is not None else VectorType(slot.value, target.lanes)


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
    return repeat(m.builder, read(m.builder, address, F32), m.lanes)


@meaning(types.float32, ADDRESS)
def load_real(m: Machine, address: ir.Value) -> ir.Value:
    return read(m.builder, address, F32)


@meaning(types.void, ADDRESS, types.float32)
def store_real(m: Machine, address: ir.Value, value: ir.Value) -> None:
    write(m.builder, address, value)


@meaning(types.int64, ADDRESS)
def load_bits(m: Machine, address: ir.Value) -> ir.Value:
    return m.builder.sext(read(m.builder, address, I32), I64)


@meaning(types.int64, ADDRESS)
def load_int32(m: Machine, address: ir.Value) -> ir.Value:
    return m.builder.sext(read(m.builder, address, I32), I64)


@meaning(types.int64, ADDRESS)
def load_int64(m: Machine, address: ir.Value) -> ir.Value:
    return read(m.builder, address, I64, align=8)


@meaning(types.int64, ADDRESS)
def load_byte(m: Machine, address: ir.Value) -> ir.Value:
    return m.builder.zext(read(m.builder, address, I8, align=1), I64)


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


@meaning(REAL, ADDRESS, INT64)
def take(m: Machine, base: ir.Value, index: ir.Value) -> ir.Value:
    return gather(m, base, index, F32, 4)


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


@meaning(types.int64, ADDRESS)
def claim(m: Machine, counter: ir.Value) -> ir.Value:
    return m.builder.atomic_rmw("add", pointer(m.builder, counter, I64), ir.Constant(I64, 1), "monotonic")


@meaning(types.void, ADDRESS)
def prefetch(m: Machine, address: ir.Value) -> None:
    for_reading, nearest, data = ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1)
    arguments = [pointer(m.builder, address, I8), for_reading, nearest, data]
    call(m.builder, "llvm.prefetch.p0", ir.VoidType(), arguments)


@meaning(REAL, types.float32)
def splat(m: Machine, value: ir.Value) -> ir.Value:
    return repeat(m.builder, value, m.lanes)


@meaning(INT32)
def lane_numbers(m: Machine) -> ir.Value:
    return ir.Constant(m.whole, list(range(m.lanes)))


@meaning(INT64, INT32)
def wide(m: Machine, value: ir.Value) -> ir.Value:
    return m.builder.sext(value, ir.VectorType(I64, m.lanes))


@meaning(REAL, REAL, REAL, REAL)
def fma(m: Machine, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    return lanewise(m.builder, "fma", x, y, z)


@meaning(types.boolean, MASK)
def any_lane(m: Machine, condition: ir.Value) -> ir.Value:
    bits = ir.IntType(m.lanes)
    return m.builder.icmp_unsigned("!=", m.builder.bitcast(condition, bits), ir.Constant(bits, 0))


@meaning(SHARED, MASK, SHARED, SHARED)
def where(m: Machine, condition: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
    return m.builder.select(condition, x, y)


def compare(m: Machine, spelling: str, x: ir.Value, y: ir.Value) -> ir.Value:
    return (m.builder.fcmp_ordered if x.type.element == F32 else m.builder.icmp_signed)(spelling, x, y)


@meaning(SHARED, SHARED, SHARED)
def maximum(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return m.builder.select(compare(m, ">", x, y), x, y)


@meaning(SHARED, SHARED, SHARED)
def minimum(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return m.builder.select(compare(m, "<", x, y), x, y)


@meaning(SHARED, SHARED, SHARED)
def floor_divide(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return emit_floor_division(m.builder, x, y)[0]


@meaning(SHARED, SHARED, SHARED)
def modulo(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return emit_floor_division(m.builder, x, y)[1]


@meaning(SHARED, SHARED)
def absolute(m: Machine, x: ir.Value) -> ir.Value:
    if x.type.element == F32:
        return lanewise(m.builder, "fabs", x)
    return m.builder.select(m.builder.icmp_signed("<", x, constant(x.type, 0)), m.builder.neg(x), x)


@meaning(REAL, SHARED)
def real(m: Machine, x: ir.Value) -> ir.Value:
    return x if x.type.element == F32 else m.builder.sitofp(x, m.vector)


@meaning(REAL, REAL)
def round_down(m: Machine, x: ir.Value) -> ir.Value:
    return lanewise(m.builder, "floor", x)


@meaning(REAL, REAL)
def square_root(m: Machine, x: ir.Value) -> ir.Value:
    return lanewise(m.builder, "sqrt", x)


@meaning(REAL, REAL)
def exp2(m: Machine, x: ir.Value) -> ir.Value:
    return emit_exp2(m.builder, x, m.target)


@meaning(REAL, REAL)
def exp(m: Machine, x: ir.Value) -> ir.Value:
    return emit_exp(m.builder, x, m.target)


@meaning(REAL, REAL)
def log(m: Machine, x: ir.Value) -> ir.Value:
    return emit_log(m.builder, x)


@meaning(REAL, REAL)
def tanh(m: Machine, x: ir.Value) -> ir.Value:
    return emit_tanh(m.builder, x, m.target)


@meaning(REAL, REAL)
def sigmoid(m: Machine, x: ir.Value) -> ir.Value:
    return emit_sigmoid(m.builder, x, m.target)


@meaning(REAL, REAL, REAL)
def power(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return emit_power(m.builder, x, y, m.target)


def turn(m: Machine, rows: list[ir.Value], target_: ir.Value, stride: ir.Value, scale: ir.Value) -> None:
    factor = repeat(m.builder, scale, m.lanes)
    for i, column in enumerate(transpose(m.builder, [m.builder.fmul(row, factor) for row in rows])):
        write(m.builder, m.builder.add(target_, m.builder.mul(stride, ir.Constant(I64, i))), column)


@meaning(types.void, ADDRESS, ADDRESS, ADDRESS, ADDRESS, types.float32)
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
    turn(m, [read(m.builder, place, m.vector) for place in places], target, target_stride, scale)


@meaning(types.void, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, types.float32)
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
    turn(m, values, target, target_stride, scale)
