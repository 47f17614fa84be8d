"""Instructions of PTX to Numba: the types of a call, and the machine code it becomes.

To import this module is to make them callable in kernels; only what compiles kernels does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import Parameter, Signature
from typing import Any

import numpy as np

# numba-cuda 0.30 calls this by its old name, which NumPy 2.5 no longer has.
if not hasattr(np, "row_stack"):
    np.row_stack = np.vstack

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic, typeof_impl
from numba.cuda.typing.templates import make_intrinsic_template

from .ptx_instruction import Effect, Instruction, Kind

TO_NUMBA: dict[Kind, types.Type] = {
    Kind.F32: types.float32,
    Kind.F64: types.float64,
    Kind.S32: types.int32,
    Kind.U16: types.uint16,
    Kind.U32: types.uint32,
    Kind.U64: types.uint64,
}
TO_LLVM: dict[str, ir.Type] = {
    "f": ir.FloatType(),
    "d": ir.DoubleType(),
    "h": ir.IntType(16),
    "r": ir.IntType(32),
    "l": ir.IntType(64),
}
SHARED_MEMORY = "mhagen_shared"
SHARED_SPACE = 3
SHARED_ALIGNMENT = 1024


@typeof_impl.register(Instruction)  # type: ignore[untyped-decorator]
@cache
def type_of(value: Instruction, context: object) -> types.Type:
    """The type that Numba gives an instruction which a kernel names."""

    def call(typing_context: object, *arguments: types.Type) -> Any:
        return call_of(value, arguments)

    call.__signature__ = parameters_of(value)  # type: ignore[attr-defined]
    handle = intrinsic(call)
    return types.Function(make_intrinsic_template(handle, call, value.name, prefer_literal=False, kwargs={}))


def parameters_of(called: Instruction) -> Signature:
    """As many parameters as kernels give arguments, behind the one for Numba itself."""
    count = 1 + (called.accumulators > 0) + len(called.arguments)
    return Signature([Parameter(f"x{index}", Parameter.POSITIONAL_ONLY) for index in range(count)])


def call_of(called: Instruction, arguments: tuple[types.Type, ...]) -> tuple[Any, Callable[..., Any]]:
    """The signature of a call, and what emits it."""
    results = [TO_NUMBA[kind] for kind in called.results]
    result = types.void if not results else results[0] if len(results) == 1 else types.Tuple(results)
    taken = [TO_NUMBA[kind] for kind in called.arguments]
    if called.accumulators:
        return result(arguments[0], *taken), lambda *emission: emit_in_place(called, *emission)
    return result(*taken), lambda *emission: emit(called, *emission)


def emit(
    called: Instruction, context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]
) -> Any:
    """Emit a call and give its value: nothing, a number, or a tuple of them."""
    results = emit_text(called, builder, values)
    match len(results):
        case 0:
            return context.get_dummy_value()
        case 1:
            return results[0]
    return context.make_tuple(builder, signature.return_type, results)


def emit_in_place(
    called: Instruction, context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]
) -> Any:
    """Emit a call that reads and writes the elements of a local array.

    Their addresses are constants, so that the optimiser can hold the array in registers.
    """
    data = context.make_array(signature.args[0])(context, builder, values[0]).data
    places = [builder.gep(data, [ir.Constant(ir.IntType(64), index)]) for index in range(called.accumulators)]
    results = emit_text(called, builder, [*map(builder.load, places), *values[1:]])
    for result, place in zip(results, places, strict=True):
        builder.store(result, place)
    return context.get_dummy_value()


def emit_text(called: Instruction, builder: ir.IRBuilder, values: Sequence[ir.Value]) -> list[ir.Value]:
    """Emit the text of an instruction on these values; what it gives, one value a result."""
    if called.is_shared_base:
        return [shared_memory(builder)]
    letters = "f" * called.accumulators + "".join(kind.letter for kind in called.results)
    given = [TO_LLVM[letter] for letter in letters]
    result = ir.VoidType() if not given else given[0] if len(given) == 1 else ir.LiteralStructType(given)
    text = ir.InlineAsm(
        ir.FunctionType(result, [value.type for value in values]),
        called.text,
        constraints(called, letters),
        side_effect=called.effect is not Effect.NONE,
    )
    value = builder.call(text, values, attrs=() if called.effect is Effect.NONE else ("convergent",))
    if len(given) < 2:
        return [value] * len(given)
    return [builder.extract_value(value, index) for index in range(len(given))]


def constraints(called: Instruction, letters: str) -> str:
    """Where operands are: an accumulator goes in by the register in which it comes out."""
    parts = [f"={letter}" for letter in letters]
    parts += [str(index) for index in range(called.accumulators)]
    parts += [kind.letter for kind in called.arguments]
    parts += ["~{memory}"] if called.effect is Effect.MEMORY else []
    return ",".join(parts)


def shared_memory(builder: ir.IRBuilder) -> ir.Value:
    """The address of the dynamic shared memory: an array of no size, which every launch sizes."""
    module = builder.module
    if SHARED_MEMORY not in module.globals:
        array = ir.ArrayType(ir.IntType(8), 0)
        memory = cgutils.add_global_variable(module, array, SHARED_MEMORY, SHARED_SPACE)
        memory.linkage, memory.align = "external", SHARED_ALIGNMENT
    return builder.ptrtoint(module.globals[SHARED_MEMORY], ir.IntType(32))
