"""What kernels call by a global name, as types of their own: words, functions of the kernel, min and max.

Such a type says itself what a call gives and how it is lowered; Numba would look through its overloads.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.cpython import builtins
from numba.extending import models, register_model

from .vectors import signature

# Numba's functions carry no types; this is one that we rely on.
emit_extreme: Callable[..., ir.Value] = builtins.do_minmax


class Callee(types.Callable, types.Opaque):
    """The type of a name that can be called. Two are the same if their keys are equal."""

    @abstractmethod
    def signature_of(self, context: Any, arguments: tuple[types.Type, ...]) -> Any:
        """The signature of a call with arguments of these types, or None where they do not fit."""

    @abstractmethod
    def emit(self, context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
        """Emit a call and give its value."""

    def get_call_type(self, context: Any, args: tuple[types.Type, ...], kws: Mapping[str, Any]) -> Any:
        return None if kws else self.signature_of(context, args)

    def get_call_signatures(self) -> tuple[tuple[()], bool]:
        return (), True

    def get_impl_key(self, sig: Any) -> Callee:
        return self


class Extreme(Callee):
    """min or max of numbers."""

    def __init__(self, name: str, comparison: Callable[[Any, Any], Any]) -> None:
        self.comparison = comparison
        super().__init__(name=name)

    def signature_of(self, context: Any, arguments: tuple[types.Type, ...]) -> Any:
        if not all(isinstance(argument, types.Number) for argument in arguments):
            return None
        met = context.unify_types(*arguments)
        return signature(met, *[met] * len(arguments))

    def emit(self, context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
        return emit_extreme(context, builder, signature.args, values, self.comparison)


register_model(Extreme)(models.OpaqueModel)
BUILTINS: dict[object, Callee] = {min: Extreme("min", operator.lt), max: Extreme("max", operator.gt)}
