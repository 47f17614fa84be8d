"""SIMD vectors as a Numba type, with their operators.

A vector is an LLVM vector value in a register; `+ - * /`, comparisons and mask logic lower
to one instruction.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_cast
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from .registers import F32, I1, I32, I64, repeat

ELEMENTS = {"float32": F32, "int32": I32, "int64": I64, "mask": I1}


class VectorType(types.Type):  # type: ignore[misc]
    """LANES values of one element kind: float32, int32, int64 or mask."""

    def __init__(self, element: str, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"{element}x{lanes}")


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """An LLVM vector in a register."""

    def __init__(self, manager: Any, vector: VectorType) -> None:
        super().__init__(manager, vector, llvm_type(vector))


def llvm_type(vector: VectorType) -> ir.VectorType:
    return ir.VectorType(ELEMENTS[vector.element], vector.lanes)


ARITHMETIC = {
    operator.add: "add",
    operator.iadd: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.truediv: "div",
    operator.neg: "neg",
}
COMPARISONS = {
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}
LOGIC = {operator.and_: "and_", operator.or_: "or_", operator.invert: "not_"}
RANK = ("mask", "int32", "int64", "float32")


def joined(arguments: Sequence[types.Type]) -> VectorType | None:
    """The vector type that operands meet in: the highest rank; numbers take the type of the vector."""
    vectors = [a for a in arguments if isinstance(a, VectorType)]
    if not vectors:
        return None
    ranks = [a.element for a in vectors]
    ranks += ["float32" for a in arguments if isinstance(a, types.Float)]
    return VectorType(max(ranks, key=RANK.index), vectors[0].lanes)


class Arithmetic(AbstractTemplate):  # type: ignore[misc]
    """Typing of + - * / and logic: the operands' joined type."""

    def generic(self, arguments: Sequence[types.Type], _: object) -> object:
        kind = joined(arguments)
        return None if kind is None else signature(kind, *[kind] * len(arguments))


class Comparison(AbstractTemplate):  # type: ignore[misc]
    """Typing of comparisons: a mask."""

    def generic(self, arguments: Sequence[types.Type], _: object) -> object:
        kind = joined(arguments)
        return None if kind is None else signature(VectorType("mask", kind.lanes), kind, kind)


for _symbol in (*ARITHMETIC, *LOGIC):
    infer_global(_symbol)(type(f"Vector_{_symbol.__name__}", (Arithmetic,), {"key": _symbol}))
for _symbol in COMPARISONS:
    infer_global(_symbol)(type(f"Vector_{_symbol.__name__}", (Comparison,), {"key": _symbol}))


def arithmetic_lowering(word: str) -> Callable[..., Any]:
    def lower(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        prefix = "f" if signature.return_type.element == "float32" else ""
        return getattr(builder, prefix + word)(*arguments)

    return lower


def comparison_lowering(spelling: str) -> Callable[..., Any]:
    def lower(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        if signature.args[0].element == "float32":
            compare = builder.fcmp_unordered if spelling == "!=" else builder.fcmp_ordered
            return compare(spelling, *arguments)
        return builder.icmp_signed(spelling, *arguments)

    return lower


def logic_lowering(word: str) -> Callable[..., Any]:
    def lower(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        return getattr(builder, word)(*arguments)

    return lower


for _symbol, _word in ARITHMETIC.items():
    _arity = 1 if _symbol is operator.neg else 2
    lower_builtin(_symbol, *[VectorType] * _arity)(arithmetic_lowering(_word))
for _symbol, _word in LOGIC.items():
    _arity = 1 if _symbol is operator.invert else 2
    lower_builtin(_symbol, *[VectorType] * _arity)(logic_lowering(_word))
for _symbol, _word in COMPARISONS.items():
    lower_builtin(_symbol, VectorType, VectorType)(comparison_lowering(_word))


@lower_cast(VectorType, VectorType)  # type: ignore[untyped-decorator]
def cast_vector(
    context: Any, builder: ir.IRBuilder, source: VectorType, target: VectorType, value: ir.Value
) -> ir.Value:
    kind = llvm_type(target)
    match source.element, target.element:
        case "int32", "int64":
            return builder.sext(value, kind)
        case "int32" | "int64", "float32":
            return builder.sitofp(value, kind)
        case _:
            raise NotImplementedError(f"no cast from {source} to {target}")


@lower_cast(types.Number, VectorType)  # type: ignore[untyped-decorator]
@lower_cast(types.Boolean, VectorType)  # type: ignore[untyped-decorator]
def cast_number(
    context: Any, builder: ir.IRBuilder, source: types.Type, target: VectorType, value: ir.Value
) -> ir.Value:
    scalar = {"float32": types.float32, "int32": types.int32, "int64": types.int64, "mask": types.boolean}[
        target.element
    ]
    value = context.cast(builder, value, source, scalar)
    if target.element == "mask":
        value = builder.icmp_unsigned("!=", value, ir.Constant(value.type, 0))
    return repeat(builder, value, target.lanes)
