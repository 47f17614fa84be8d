"""The words of simd as what kernels call.

Only `compiler` imports this module, when something is really compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import models, register_model

from .target import Target
from . import formats, lanes, memory, pairs
from .callees import Callee
from .meaning import NUMBER, REAL, SHARED, Kind, Machine, Meaning, Slot
from .vectors import SCALARS, VectorType, can_become, joined, signature

MEANINGS: dict[str, Meaning] = formats.WORDS | {
    name: found
    for module in (memory, lanes, pairs)
    for name, found in vars(module).items()
    if isinstance(found, Meaning)
}


class Word(Callee):
    """A word of simd in kernels for one target and type computed in."""

    def __init__(self, found: Meaning, target: Target, computed: str) -> None:
        self.found, self.target, self.computed = found, target, computed
        super().__init__(name=found.emit.__name__)

    @property
    def key(self) -> tuple[Meaning, Target, str]:
        return self.found, self.target, self.computed

    def signature_of(self, context: Any, arguments: tuple[types.Type, ...]) -> Any:
        kinds = kinds_of(self.found, arguments, self.target, self.computed)
        return None if kinds is None else signature(*kinds)

    def emit(self, context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
        value = self.found.emit(Machine(builder, self.target, self.computed), *values)
        return context.get_dummy_value() if value is None else value


register_model(Word)(models.OpaqueModel)


@cache
def vocabulary(target: Target, computed: str) -> dict[str, Word]:
    """What every name of `simd` means in kernels for one target and type computed in."""
    return {name: Word(found, target, computed) for name, found in MEANINGS.items()}


def kinds_of(
    found: Meaning, arguments: Sequence[types.Type], target: Target, computed: str
) -> tuple[types.Type, ...] | None:
    """The types of the result and of the parameters, or None where the arguments do not fit."""
    if len(arguments) != len(found.parameters):
        return None
    pairs = zip(arguments, found.parameters, strict=True)
    shared = joined([argument for argument, slot in pairs if slot is SHARED])
    if shared is None and SHARED in found.parameters:
        return None
    kinds = tuple(resolved(slot, shared, target, computed) for slot in (found.result, *found.parameters))
    fit = all(can_become(argument, kind) for argument, kind in zip(arguments, kinds[1:], strict=True))
    return kinds if fit else None


def resolved(slot: Kind, shared: VectorType | None, target: Target, computed: str) -> types.Type:
    if not isinstance(slot, Slot):
        return slot
    if slot is SHARED and shared is not None:
        return shared
    if slot is NUMBER:
        return SCALARS[computed]
    element = computed if slot is REAL else slot.value
    return VectorType(element, target.lanes_of(computed), computed)
