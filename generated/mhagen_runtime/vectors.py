"""SIMD vectors as a Numba type, with their operators.

A vector is an LLVM vector value in a register; `+ - * /`, comparisons and mask logic lower
to one instruction.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llvmlite import ir
from numba.core import imputils, types
from numba.core.typing import templates
from numba.extending import models, register_model

from .registers import F32, F64, I1, I32, I64, repeat

ELEMENTS = {"float32": F32, "float64": F64, "int32": I32, "int64": I64, "mask": I1}
SCALARS: dict[str, types.Type] = {
    "float32": types.float32,
    "float64": types.float64,
    "int32": types.int32,
    "int64": types.int64,
    "mask": types.boolean,
}
REALS = ("float32", "float64")
RANK = ("mask", "int32", "int64", *REALS)
NUMBERS = RANK[1:]

Lowering = Callable[[Any, ir.IRBuilder, Any, Sequence[ir.Value]], ir.Value]
Cast = Callable[[Any, ir.IRBuilder, Any, Any, ir.Value], ir.Value]

# Numba's functions carry no types; these are the ones that we rely on.
signature: Callable[..., object] = templates.signature
# Registries of our own: what other users of Numba compile in this process never meets them.
TYPING = templates.Registry()  # type: ignore[no-untyped-call]
LOWERING = imputils.Registry("vectors")  # type: ignore[no-untyped-call]
types_operator: Callable[[object], Callable[[type], object]] = TYPING.register_global
lowers_operator: Callable[..., Callable[[Lowering], object]] = LOWERING.lower
lowers_cast: Callable[[type, type], Callable[[Cast], Cast]] = LOWERING.lower_cast


class VectorType(types.Type):
    """LANES values of one element kind: float32, float64, int32, int64 or mask.

    real is what lanes of integers become when they meet a number with a fraction: the kernel computes in it.
    """

    def __init__(self, element: str, lanes: int, real: str = "float32") -> None:
        self.element, self.lanes, self.real = element, lanes, real
        super().__init__(name=f"{element}x{lanes}_{real}")


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    """An LLVM vector in a register."""

    def __init__(self, manager: Any, vector: VectorType) -> None:
        super().__init__(manager, vector, llvm_type(vector))  # type: ignore[no-untyped-call]  # Numba's


def llvm_type(vector: VectorType) -> ir.VectorType:
    return ir.VectorType(ELEMENTS[vector.element], vector.lanes)


def joined(operands: Sequence[types.Type]) -> VectorType | None:
    """The vector type that operands meet in: the highest rank; numbers take the type of the vector."""
    vectors = [operand for operand in operands if isinstance(operand, VectorType)]
    if not vectors:
        return None
    ranks = [vector.element for vector in vectors]
    ranks += [vectors[0].real for operand in operands if isinstance(operand, types.Float)]
    return of_element(max(ranks, key=RANK.index), vectors[0])


def of_element(element: str, like: VectorType) -> VectorType:
    """The vector of other elements in the same kernel."""
    return VectorType(element, like.lanes, like.real)


def can_become(operand: types.Type, kind: types.Type) -> bool:
    """A number becomes any vector; a vector of numbers one of a higher rank; a mask nothing else."""
    if not isinstance(operand, VectorType):
        return True
    if not isinstance(kind, VectorType) or operand.lanes != kind.lanes:
        return False
    both = (operand.element, kind.element)
    return both[0] == both[1] or ("mask" not in both and RANK.index(both[0]) < RANK.index(both[1]))


@dataclass(frozen=True)
class Family:
    """Operators of one kind: what their operands may meet in, how they are lowered, and what comes out."""

    words: Mapping[Any, str]
    elements: tuple[str, ...]  # by rank
    lowering: Callable[[str], Lowering]
    result: str | None = None  # None: what the operands meet in


class VectorOperator(templates.AbstractTemplate):
    """Typing of an operator: its operands, all of one kind of vector, and its result."""

    family: ClassVar[Family]

    def generic(self, operands: Sequence[types.Type], _: object) -> object:
        kind = joined(operands)
        if kind is None:
            return None
        lowest = kind.real if self.family.elements is REALS else self.family.elements[0]
        least = max(kind.element, lowest, key=RANK.index)
        met = of_element(least, kind)
        if least not in self.family.elements or not all(can_become(operand, met) for operand in operands):
            return None
        return signature(of_element(self.family.result or least, kind), *[met] * len(operands))


def arithmetic(word: str) -> Lowering:
    def lower(context: Any, builder: ir.IRBuilder, signature: Any, operands: Sequence[ir.Value]) -> ir.Value:
        prefix = "f" if signature.return_type.element in REALS else ""
        return getattr(builder, prefix + word)(*operands)

    return lower


def comparison(spelling: str) -> Lowering:
    def lower(context: Any, builder: ir.IRBuilder, signature: Any, operands: Sequence[ir.Value]) -> ir.Value:
        if signature.args[0].element in REALS:
            compare = builder.fcmp_unordered if spelling == "!=" else builder.fcmp_ordered
            return compare(spelling, *operands)
        return builder.icmp_signed(spelling, *operands)

    return lower


def logic(word: str) -> Lowering:
    def lower(context: Any, builder: ir.IRBuilder, signature: Any, operands: Sequence[ir.Value]) -> ir.Value:
        return getattr(builder, word)(*operands)

    return lower


ARITHMETIC = {
    operator.add: "add",
    operator.iadd: "add",
    operator.sub: "sub",
    operator.mul: "mul",
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
LOGIC = {operator.and_: "and_", operator.or_: "or_", operator.xor: "xor", operator.invert: "not_"}
UNARY = (operator.neg, operator.invert)
FAMILIES = (
    Family(ARITHMETIC, NUMBERS, arithmetic),
    Family({operator.truediv: "div"}, REALS, arithmetic),  # of integers too, as Python's
    Family(COMPARISONS, NUMBERS, comparison, result="mask"),
    Family(LOGIC, ("mask",), logic),
)


def register_operators() -> None:
    for family in FAMILIES:
        for symbol, word in family.words.items():
            name = f"Vector_{symbol.__name__}"
            types_operator(symbol)(type(name, (VectorOperator,), {"key": symbol, "family": family}))
            arity = 1 if symbol in UNARY else 2
            lowers_operator(symbol, *[VectorType] * arity)(family.lowering(word))


register_operators()


@lowers_cast(VectorType, VectorType)
def cast_vector(
    context: Any, builder: ir.IRBuilder, source: VectorType, target: VectorType, value: ir.Value
) -> ir.Value:
    kind = llvm_type(target)
    match source.element, target.element:
        case "int32", "int64":
            return builder.sext(value, kind)
        case "int32" | "int64", "float32" | "float64":
            return builder.sitofp(value, kind)
        case _:
            raise NotImplementedError(f"no cast from {source} to {target}")


def cast_number(
    context: Any, builder: ir.IRBuilder, source: types.Type, target: VectorType, value: ir.Value
) -> ir.Value:
    value = context.cast(builder, value, source, SCALARS[target.element])
    if target.element == "mask":
        value = builder.icmp_unsigned("!=", value, ir.Constant(value.type, 0))
    return repeat(builder, value, target.lanes)


lowers_cast(types.Number, VectorType)(cast_number)
lowers_cast(types.Boolean, VectorType)(cast_number)
