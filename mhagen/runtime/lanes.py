"""The words of simd that work on lanes in registers: arithmetic, choices and elementary functions."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba.core import types

from .divisions import emit_floor_division, emit_real_floor_division
from .elementary import (
    emit_exp,
    emit_exp2,
    emit_exp2_weight,
    emit_log,
    emit_power,
    emit_sigmoid,
    emit_tanh,
    emit_tanh_short,
)
from .meaning import INT32, INT64, MASK, NUMBER, REAL, SHARED, Machine, meaning
from .registers import F32, F64, I64, constant, lanewise, reduced, repeat

REALS = (F32, F64)


@meaning(REAL, NUMBER)
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


@meaning(types.int64, INT32)
def greatest_lane(m: Machine, x: ir.Value) -> ir.Value:
    return m.builder.sext(reduced(m.builder, "smax", x), I64)


@meaning(types.int64, INT32)
def least_lane(m: Machine, x: ir.Value) -> ir.Value:
    return m.builder.sext(reduced(m.builder, "smin", x), I64)


@meaning(SHARED, MASK, SHARED, SHARED)
def where(m: Machine, condition: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
    return m.builder.select(condition, x, y)


def compare(m: Machine, spelling: str, x: ir.Value, y: ir.Value) -> ir.Value:
    return (m.builder.fcmp_ordered if x.type.element in REALS else m.builder.icmp_signed)(spelling, x, y)


@meaning(SHARED, SHARED, SHARED)
def maximum(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return m.builder.select(compare(m, ">", x, y), x, y)


@meaning(SHARED, SHARED, SHARED)
def minimum(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return m.builder.select(compare(m, "<", x, y), x, y)


@meaning(REAL, REAL, REAL)
def maximum_or_nan(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    chosen = m.builder.or_(m.builder.fcmp_ordered(">", x, y), m.builder.fcmp_unordered("uno", x, x))
    return m.builder.select(chosen, x, y)


@meaning(REAL, REAL, REAL)
def minimum_or_nan(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    chosen = m.builder.or_(m.builder.fcmp_ordered("<", x, y), m.builder.fcmp_unordered("uno", x, x))
    return m.builder.select(chosen, x, y)


def division_of(x: ir.Value) -> Callable[[ir.IRBuilder, ir.Value, ir.Value], tuple[ir.Value, ir.Value]]:
    return emit_real_floor_division if x.type.element in REALS else emit_floor_division


@meaning(SHARED, SHARED, SHARED)
def floor_divide(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return division_of(x)(m.builder, x, y)[0]


@meaning(SHARED, SHARED, SHARED)
def modulo(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return division_of(x)(m.builder, x, y)[1]


@meaning(SHARED, SHARED)
def absolute(m: Machine, x: ir.Value) -> ir.Value:
    if x.type.element in REALS:
        return lanewise(m.builder, "fabs", x)
    return m.builder.select(m.builder.icmp_signed("<", x, constant(x.type, 0)), m.builder.neg(x), x)


@meaning(REAL, SHARED)
def real(m: Machine, x: ir.Value) -> ir.Value:
    return x if x.type.element in REALS else m.builder.sitofp(x, m.vector)


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
def exp2_weight(m: Machine, x: ir.Value) -> ir.Value:
    return emit_exp2_weight(m.builder, x, m.target)


@meaning(REAL, REAL)
def exp2_degree_3(m: Machine, x: ir.Value) -> ir.Value:
    return emit_exp2(m.builder, x, m.target, degree=3)


@meaning(REAL, REAL)
def exp2_degree_4(m: Machine, x: ir.Value) -> ir.Value:
    return emit_exp2(m.builder, x, m.target, degree=4)


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
def tanh_short(m: Machine, x: ir.Value) -> ir.Value:
    return emit_tanh_short(m.builder, x, m.target)


@meaning(REAL, REAL)
def sigmoid(m: Machine, x: ir.Value) -> ir.Value:
    return emit_sigmoid(m.builder, x, m.target)


@meaning(REAL, REAL, REAL)
def power(m: Machine, x: ir.Value, y: ir.Value) -> ir.Value:
    return emit_power(m.builder, x, y, m.target)
