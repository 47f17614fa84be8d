"""The words of simd as Numba intrinsics of one target.

Only `compiler` imports this module, when something is really compiled.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..base.target import Target
from . import formats, lanes, memory, pairs
from .meaning import NUMBER, REAL, SHARED, Kind, Machine, Meaning, Slot
from .vectors import SCALARS, VectorType, can_become, joined, signature

MEANINGS: dict[str, Meaning] = formats.WORDS | {
    name: found
    for module in (memory, lanes, pairs)
    for name, found in vars(module).items()
    if isinstance(found, Meaning)
}


@cache
def vocabulary(target: Target, computed: str) -> dict[str, Any]:
    """Every name of `simd` as a Numba intrinsic for one target and what kernels compute in."""
    return {name: operation(found, target, computed) for name, found in MEANINGS.items()}


def operation(found: Meaning, target: Target, computed: str) -> Any:
    """A Numba intrinsic that emits the meaning."""

    def definition(typing: Any, *arguments: types.Type) -> Any:
        kinds = kinds_of(found, arguments, target, computed)
        if kinds is None:
            return None

        def lower(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
            value = found.emit(Machine(builder, target, computed), *values)
            return context.get_dummy_value() if value is None else value

        return signature(*kinds), lower

    definition.__name__ = found.emit.__name__
    definition.__signature__ = inspect.signature(found.emit)  # type: ignore[attr-defined]  # Numba counts by it
    return intrinsic(definition)


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
