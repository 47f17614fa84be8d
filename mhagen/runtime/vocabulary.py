"""The machine's meaning of every name of `simd`, as Numba intrinsics for one target.

Only `compiler` imports this module, when something is really compiled.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from ..base.target import Target
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
from .vectors import VectorType, joined, llvm_type

ADDRESS = types.intp


@cache
def vocabulary(target: Target) -> dict[str, Any]:
    """The meaning of every name of `simd` on one target: name -> Numba intrinsic."""
    lanes = target.lanes
    real, mask, int32, int64 = (VectorType(kind, lanes) for kind in ("float32", "mask", "int32", "int64"))
    vector, whole = llvm_type(real), llvm_type(int32)
    names: dict[str, Any] = {}

    def define(result: Any, *parameters: Any) -> Callable[[Callable[..., Any]], None]:
        """Register `emit(builder, *values)` as the meaning of the name, with this signature.

        A parameter may be a function of the argument's type, for names that serve several types.
        """

        def register(emit: Callable[..., Any]) -> None:
            names[emit.__name__] = operation(emit, result, parameters)

        return register

    @define(real, ADDRESS)
    def load(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return read(b, address, vector)

    @define(real, ADDRESS, ADDRESS)
    def load_first(b: ir.IRBuilder, address: ir.Value, count: ir.Value) -> ir.Value:
        return masked_read(b, address, first_lanes(b, count, lanes), vector)

    @define(types.void, ADDRESS, real)
    def store(b: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
        write(b, address, value)

    @define(types.void, ADDRESS, real, ADDRESS)
    def store_first(b: ir.IRBuilder, address: ir.Value, value: ir.Value, count: ir.Value) -> None:
        masked_write(b, address, value, first_lanes(b, count, lanes))

    @define(real, ADDRESS)
    def load_each(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return repeat(b, read(b, address, F32), lanes)

    @define(types.float32, ADDRESS)
    def load_real(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return read(b, address, F32)

    @define(types.void, ADDRESS, types.float32)
    def store_real(b: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
        write(b, address, value)

    @define(types.int64, ADDRESS)
    def load_bits(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.sext(read(b, address, I32), I64)

    @define(types.int64, ADDRESS)
    def load_int32(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.sext(read(b, address, I32), I64)

    @define(types.int64, ADDRESS)
    def load_int64(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return read(b, address, I64, align=8)

    @define(types.int64, ADDRESS)
    def load_byte(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.zext(read(b, address, I8, align=1), I64)

    @define(types.boolean, ADDRESS)
    def load_bool(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.icmp_unsigned("!=", read(b, address, I8, align=1), ir.Constant(I8, 0))

    def gather(b: ir.IRBuilder, base: ir.Value, index: ir.Value, element: ir.Type, width: int) -> ir.Value:
        """Element by element: a gather instruction is no faster, and this form needs no table of names."""
        result: ir.Value = ir.Constant(ir.VectorType(element, lanes), ir.Undefined)
        for lane in range(lanes):
            place = ir.Constant(I32, lane)
            at = b.mul(b.extract_element(index, place), ir.Constant(I64, width))
            result = b.insert_element(result, read(b, b.add(base, at), element, align=width), place)
        return result

    @define(real, ADDRESS, int64)
    def take(b: ir.IRBuilder, base: ir.Value, index: ir.Value) -> ir.Value:
        return gather(b, base, index, F32, 4)

    @define(int32, ADDRESS, int64)
    def take_int32(b: ir.IRBuilder, base: ir.Value, index: ir.Value) -> ir.Value:
        return gather(b, base, index, I32, 4)

    @define(int64, ADDRESS, int64)
    def take_int64(b: ir.IRBuilder, base: ir.Value, index: ir.Value) -> ir.Value:
        return gather(b, base, index, I64, 8)

    @define(mask, ADDRESS, int64)
    def take_bool(b: ir.IRBuilder, base: ir.Value, index: ir.Value) -> ir.Value:
        bytes_ = gather(b, base, index, I8, 1)
        return b.icmp_unsigned("!=", bytes_, constant(bytes_.type, 0))

    @define(int32, ADDRESS)
    def load_int32_lanes(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return read(b, address, whole)

    @define(types.int64, ADDRESS)
    def claim(b: ir.IRBuilder, counter: ir.Value) -> ir.Value:
        return b.atomic_rmw("add", pointer(b, counter, I64), ir.Constant(I64, 1), "monotonic")

    @define(types.void, ADDRESS)
    def prefetch(b: ir.IRBuilder, address: ir.Value) -> None:
        for_reading, nearest, data = ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1)
        arguments = [pointer(b, address, I8), for_reading, nearest, data]
        call(b, "llvm.prefetch.p0", ir.VoidType(), arguments)

    @define(real, types.float32)
    def splat(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
        return repeat(b, value, lanes)

    @define(int32)
    def lane_numbers(b: ir.IRBuilder) -> ir.Value:
        return ir.Constant(whole, list(range(lanes)))

    @define(int64, int32)
    def wide(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
        return b.sext(value, ir.VectorType(I64, lanes))

    @define(real, real, real, real)
    def fma(b: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return lanewise(b, "fma", x, y, z)

    @define(types.boolean, mask)
    def any_lane(b: ir.IRBuilder, condition: ir.Value) -> ir.Value:
        bits = ir.IntType(lanes)
        return b.icmp_unsigned("!=", b.bitcast(condition, bits), ir.Constant(bits, 0))

    @define(joined, mask, joined, joined)
    def where(b: ir.IRBuilder, condition: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        return b.select(condition, x, y)

    def compare(b: ir.IRBuilder, spelling: str, x: ir.Value, y: ir.Value) -> ir.Value:
        return (b.fcmp_ordered if x.type.element == F32 else b.icmp_signed)(spelling, x, y)

    @define(joined, joined, joined)
    def maximum(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        return b.select(compare(b, ">", x, y), x, y)

    @define(joined, joined, joined)
    def minimum(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        return b.select(compare(b, "<", x, y), x, y)

    @define(joined, joined, joined)
    def floor_divide(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        return emit_floor_division(b, x, y)[0]

    @define(joined, joined, joined)
    def modulo(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        return emit_floor_division(b, x, y)[1]

    @define(joined, joined)
    def absolute(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        if x.type.element == F32:
            return lanewise(b, "fabs", x)
        return b.select(b.icmp_signed("<", x, constant(x.type, 0)), b.neg(x), x)

    @define(real, joined)
    def real_lanes(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return x if x.type.element == F32 else b.sitofp(x, vector)

    names["real"] = names.pop("real_lanes")

    @define(real, real)
    def round_down(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return lanewise(b, "floor", x)

    @define(real, real)
    def square_root(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return lanewise(b, "sqrt", x)

    @define(real, real)
    def exp2(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return emit_exp2(b, x, target)

    @define(real, real)
    def exp(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return emit_exp(b, x, target)

    @define(real, real)
    def log(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return emit_log(b, x)

    @define(real, real)
    def tanh(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return emit_tanh(b, x, target)

    @define(real, real)
    def sigmoid(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return emit_sigmoid(b, x, target)

    @define(real, real, real)
    def power(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        return emit_power(b, x, y, target)

    def turn(
        b: ir.IRBuilder, rows: list[ir.Value], target_: ir.Value, stride: ir.Value, scale: ir.Value
    ) -> None:
        factor = repeat(b, scale, lanes)
        for i, column in enumerate(transpose(b, [b.fmul(row, factor) for row in rows])):
            write(b, b.add(target_, b.mul(stride, ir.Constant(I64, i))), column)

    @define(types.void, ADDRESS, ADDRESS, ADDRESS, ADDRESS, types.float32)
    def transpose_tile(
        b: ir.IRBuilder,
        source: ir.Value,
        source_stride: ir.Value,
        target: ir.Value,
        target_stride: ir.Value,
        scale: ir.Value,
    ) -> None:
        places = [b.add(source, b.mul(source_stride, ir.Constant(I64, i))) for i in range(lanes)]
        turn(b, [read(b, place, vector) for place in places], target, target_stride, scale)

    @define(types.void, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, types.float32)
    def transpose_tile_first(
        b: ir.IRBuilder,
        source: ir.Value,
        source_stride: ir.Value,
        rows: ir.Value,
        columns: ir.Value,
        target: ir.Value,
        target_stride: ir.Value,
        scale: ir.Value,
    ) -> None:
        last = b.sub(rows, ir.Constant(I64, 1))
        inside = first_lanes(b, columns, lanes)
        values = []
        for i in range(lanes):
            number = ir.Constant(I64, i)
            row = b.select(b.icmp_signed("<", number, last), number, last)
            values.append(masked_read(b, b.add(source, b.mul(source_stride, row)), inside, vector))
        turn(b, values, target, target_stride, scale)

    return names


def operation(emit: Callable[..., Any], result: Any, parameters: Sequence[Any]) -> Any:
    """A Numba intrinsic that calls `emit(builder, *values)`."""

    def definition(typing: Any, *arguments: types.Type) -> Any:
        if len(arguments) != len(parameters):
            return None
        taken = [p if isinstance(p, types.Type) else None for p in parameters]
        shared = joined([a for a, p in zip(arguments, taken, strict=True) if p is None])
        kinds = [shared if p is None else p for p in taken]
        returns = result if isinstance(result, types.Type) else shared
        if returns is None or any(kind is None for kind in kinds):
            return None

        def lower(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
            value = emit(builder, *values)
            return context.get_dummy_value() if value is None else value

        return signature(returns, *kinds), lower

    definition.__name__ = emit.__name__
    definition.__signature__ = inspect.signature(emit)  # type: ignore[attr-defined]  # Numba counts parameters by it
    return intrinsic(definition)
