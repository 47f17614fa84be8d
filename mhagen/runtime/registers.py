"""LLVM vector values: the few building steps that everything in registers is made of."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

F32, F64 = ir.FloatType(), ir.DoubleType()
I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
# How intrinsics on memory spell an element, and its bytes, to which alone addresses are aligned.
MEMORY = {F32: ("f32", 4), F64: ("f64", 8), I16: ("i16", 2), I32: ("i32", 4)}


def constant(like: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(like, [value] * like.count)


def repeat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """The scalar in every lane."""
    kind = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(I32, 0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def call(builder: ir.IRBuilder, name: str, result: ir.Type, arguments: Sequence[ir.Value]) -> ir.Value:
    """Call an LLVM intrinsic, declared on first use."""
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(result, [a.type for a in arguments]), name)
    return builder.call(function, arguments)


def lanewise(builder: ir.IRBuilder, name: str, *arguments: ir.Value) -> ir.Value:
    """Call `llvm.<name>` on vectors of one type."""
    kind = arguments[0].type
    letter = {F32: "f32", F64: "f64", I32: "i32", I64: "i64"}[kind.element]
    return call(builder, f"llvm.{name}.v{kind.count}{letter}", kind, arguments)


def reduced(builder: ir.IRBuilder, name: str, lanes: ir.Value) -> ir.Value:
    """Call `llvm.vector.reduce.<name>` on 32-bit integers: one of them."""
    return call(builder, f"llvm.vector.reduce.{name}.v{lanes.type.count}i32", I32, (lanes,))


def pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    # Numba optimises a function once more in each of its callers, after code generation has put addresses as
    # `getelementptr i8, ptr null, i64 address`. Such a load would be taken for one of null, which is never
    # reached, and what leads to it would be dropped. llvmlite's list of attributes lacks this one.
    set.add(builder.function.attributes, "null_pointer_is_valid")
    return builder.inttoptr(address, kind.as_pointer())


def read(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int = 4) -> ir.Value:
    value = builder.load(pointer(builder, address, kind))
    value.align = align
    return value


def write(builder: ir.IRBuilder, address: ir.Value, value: ir.Value, align: int = 4) -> None:
    builder.store(value, pointer(builder, address, value.type)).align = align


def first_lanes(builder: ir.IRBuilder, count: ir.Value, lanes: int) -> ir.Value:
    """The mask of lanes below count."""
    numbers = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, repeat(builder, builder.trunc(count, I32), lanes))


def masked_read(
    builder: ir.IRBuilder, address: ir.Value, mask: ir.Value, kind: ir.VectorType, align: int = 0
) -> ir.Value:
    where = pointer(builder, address, kind)
    letter, size = MEMORY[kind.element]
    arguments = [where, ir.Constant(I32, align or size), mask, constant(kind, 0)]
    return call(builder, f"llvm.masked.load.v{kind.count}{letter}.p0", kind, arguments)


def masked_write(builder: ir.IRBuilder, address: ir.Value, value: ir.Value, mask: ir.Value) -> None:
    where = pointer(builder, address, value.type)
    letter, size = MEMORY[value.type.element]
    arguments = [value, where, ir.Constant(I32, size), mask]
    call(builder, f"llvm.masked.store.v{value.type.count}{letter}.p0", ir.VoidType(), arguments)


def polynomial(builder: ir.IRBuilder, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
    """Horner's rule with fused steps; coefficients from the constant term up."""
    value: ir.Value = constant(x.type, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = lanewise(builder, "fma", value, x, constant(x.type, coefficient))
    return value


def integers(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The bits of real lanes as lanes of integers of their width."""
    return builder.bitcast(x, ir.VectorType(I64 if x.type.element == F64 else I32, x.type.count))


def floats(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Lanes of bits as the real lanes of their width."""
    return builder.bitcast(x, ir.VectorType(F64 if x.type.element == I64 else F32, x.type.count))


def at_least(builder: ir.IRBuilder, x: ir.Value, lowest: float) -> ir.Value:
    """The greater of x and a number; NaN stays NaN."""
    limit = constant(x.type, lowest)
    return builder.select(builder.fcmp_ordered("<", x, limit), limit, x)


def at_most(builder: ir.IRBuilder, x: ir.Value, highest: float) -> ir.Value:
    """The smaller of x and a number; NaN stays NaN."""
    limit = constant(x.type, highest)
    return builder.select(builder.fcmp_ordered(">", x, limit), limit, x)
