"""Kernel functions to LLVM's assembly language: the parts of Numba's front end that they need, and no others.

Numba's decorators take seconds for a kernel: they optimise a function again in each of its callers, search
hundreds of overloads for each call, and emit machine code that nobody runs. Here every function is lowered
once in a process, unoptimised, and a call is typed once for each combination of types. Numba's own contexts
and registries stay as they are for the rest of the process.
"""

# mypy: allow-untyped-calls
# Numba's functions carry no types, and this file does little but call them.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import (
    bytecode,
    callconv,
    funcdesc,
    interpreter,
    lowering,
    postproc,
    ssa,
    transforms,
    typed_passes,
    types,
)
from numba.core.base import BaseContext as LoweringContext
from numba.core.compiler import Flags
from numba.core.rewrites.static_getitem import RewriteConstGetitems
from numba.core.targetconfig import ConfigStack
from numba.core.typing import builtins as scalar_typing
from numba.core.typing import templates
from numba.core.typing.context import BaseContext as TypingContext
from numba.cpython import numbers, rangeobj, tupleobj  # noqa: F401  (their imports make Numba lower these)
from numba.extending import models, register_model

from .digest import digest
from . import vectors
from .callees import BUILTINS, Callee
from .pieces import Kept, Piece, piece_of, whole
from .vectors import signature

# A loader refuses code that needs a symbol, so it refuses a kernel that may raise an exception.
EXCEPTION = "mhagen_kernel_raises"


def scalar_templates() -> templates.Registry:
    """What Numba knows of numbers, ranges and tuples; its overloads for other types import SciPy first."""
    known, registry = templates.builtin_registry, templates.Registry()
    registry.functions += filter(is_scalar, known.functions)
    for name, kind in known.globals:
        if isinstance(kind, types.Function) and all(map(is_scalar, kind.templates)):
            registry.globals.append((name, kind))
    return registry


def is_scalar(template: type) -> bool:
    return any(base.__module__ == scalar_typing.__name__ for base in template.__mro__)


class Typing(TypingContext):
    """The types of calls and of global names in kernels."""

    def init(self) -> None:
        self.signatures: dict[tuple[Any, ...], Any] = {}
        self.met: dict[tuple[Any, ...], None] = {}  # calls in the function that is being typed

    def _load_builtins(self) -> None:
        self.install_registry(scalar_templates())
        self.install_registry(vectors.TYPING)

    def resolve_value_type(self, val: Any) -> Any:
        if isinstance(val, Callee):
            return val
        builtin = BUILTINS.get(val) if callable(val) else None
        return builtin or super().resolve_value_type(val)

    def resolve_function_type(self, func: Any, args: Sequence[types.Type], kws: Any) -> Any:
        """Each combination of types once; nothing that kernels call treats a literal as a case of its own."""
        key = (func, *map(types.unliteral, args), *kws)
        self.met[key] = None
        found = self.signatures.get(key)
        if found is None:
            found = self.signatures[key] = self._find(func, key[1 : 1 + len(args)], kws)
        return found

    def _find(self, func: Any, args: tuple[types.Type, ...], kws: Any) -> Any:
        if isinstance(func, Callee):
            return func.get_call_type(self, args, kws)
        return super().resolve_function_type(func, args, kws)


class Library:
    """Where Numba puts the code of a function."""

    def __init__(self, module: ir.Module, name: str) -> None:
        self.module, self.name = module, name

    def create_ir_module(self, name: str) -> ir.Module:
        return self.module

    def add_ir_module(self, module: ir.Module) -> None:
        assert module is self.module


class Codegen:
    """What Numba asks about the machine that code is for."""

    def __init__(self, emitter: llvm.TargetMachine) -> None:
        self.target_data = emitter.target_data


class Lowering(LoweringContext):
    """How calls and constants in kernels become LLVM instructions."""

    def __init__(self, typing: Typing, emitter: llvm.TargetMachine) -> None:
        self._codegen = Codegen(emitter)
        self._sizes: dict[str, int] = {}
        self._implementations: dict[tuple[Any, Any], Any] = {}
        super().__init__(typing, "cpu")
        # A division by zero is inf or NaN, as IEEE says, and never an exception in a kernel.
        self.error_model = callconv.create_error_model("numpy", self)

    @property
    def call_conv(self) -> Any:
        return callconv.CPUCallConv(self)

    @property
    def target_data(self) -> llvm.TargetData:
        return self._codegen.target_data

    def codegen(self) -> Codegen:
        return self._codegen

    def load_additional_registries(self) -> None:
        self.install_registry(vectors.LOWERING)

    def subtarget(self, **kws: Any) -> Any:
        made = super().subtarget(**kws)
        made._implementations = {}  # each is bound to a context
        return made

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        if isinstance(fn, Callee):
            return lambda builder, values, loc=None: fn.emit(self, builder, sig, values)
        key = (fn, sig)
        if key not in self._implementations:
            self._implementations[key] = super().get_function(fn, sig, _firstcall)
        return self._implementations[key]

    def get_abi_sizeof(self, ty: ir.Type) -> int:
        key = str(ty)
        if key not in self._sizes:
            self._sizes[key] = super().get_abi_sizeof(ty)
        return self._sizes[key]


KEPT = Kept()  # those who use it hold Numba's lock


class FrontEnd:
    """Lowers functions for one machine, and puts together those of a kernel."""

    def __init__(self, emitter: llvm.TargetMachine) -> None:
        self.machine = emitter.triple, str(emitter.target_data)
        self.typing = Typing()
        self.lowering = Lowering(self.typing, emitter)
        self.lowering.refresh()
        self.called: set[int] = set()  # pieces, by the function that is being lowered
        self.entries: list[Piece] = []

    def module(self) -> ir.Module:
        made = ir.Module("kernel")
        made.triple, made.data_layout = self.machine
        return made

    def text(self) -> str:
        """All that the exported functions need, in LLVM's assembly language."""
        return whole(str(self.module()), self.entries)

    def piece(self, function: FunctionType, content: str, arguments: tuple[types.Type, ...]) -> Piece:
        """The function for arguments of these types, lowered now or before.

        Needs    content: a digest of what the function is and calls
        """
        key = digest((content, tuple(map(str, arguments)), self.machine))
        found = KEPT.find(key)
        if found is None:
            found = self.lower(function, arguments, f"{function.__name__}.{key[:20]}")
            KEPT.keep(key, found)
        return found

    def lower(self, function: FunctionType, arguments: tuple[types.Type, ...], name: str) -> Piece:
        code = numba_ir(function)
        outer, self.typing.met = self.typing.met, {}
        typed = typed_passes.type_inference_stage(self.typing, self.lowering, code, arguments, None)
        met, self.typing.met = self.typing.met, outer
        code = without_phis(code)
        description = funcdesc.PythonFunctionDescriptor.from_specialized_function(
            code, typed.typemap, typed.return_type, typed.calltypes, mangler_of(name), False, False, ()
        )
        module, self.called = self.module(), set()
        library = Library(module, function.__name__)
        with ConfigStack().enter(Flags()), self.lowering.push_code_library(library):
            lowering.Lower(self.lowering, library, description, code).lower()
        if code.variable_lifetime.cfg.loops():
            # LLVM inlines what is called once; all loops in one body take three times as long to compile.
            module.get_global(name).attributes.add("noinline")
        description.typemap = description.calltypes = description.global_dict = (
            None  # large, and not asked for
        )
        return piece_of(module, description, filter(lambda each: id(each) in self.called, pieces_met(met)))

    def export(self, function: FunctionType, content: str, symbol: str) -> None:
        """Make the function of int64 arguments, which returns one or nothing, a C function."""
        # Of its own: LLVM may know arguments of the function where others of the kernel call it.
        own = digest((content, symbol))
        piece = self.piece(function, own, (types.intp,) * function.__code__.co_argcount)
        module, description = self.module(), piece.description
        kinds = [self.lowering.get_value_type(kind) for kind in description.argtypes]
        returns = description.restype is types.int64
        kind = ir.IntType(64) if returns else ir.VoidType()
        entry = ir.Function(module, ir.FunctionType(kind, kinds), symbol)
        builder = ir.IRBuilder(entry.append_basic_block())
        status, result = emit_call(self.lowering, builder, description, entry.args)
        with builder.if_then(status.is_error):
            raises = ir.Function(module, ir.FunctionType(ir.VoidType(), ()), EXCEPTION)
            builder.call(raises, ())
        if returns:
            builder.ret(result)
        else:
            builder.ret_void()
        self.entries.append(piece_of(module, None, (piece,)))


class Lowered(Callee):
    """A function of the kernel, lowered when it is first called with arguments of some types."""

    def __init__(self, front_end: FrontEnd, function: FunctionType, content: str) -> None:
        self.front_end, self.function, self.content = front_end, function, content
        self.pieces: dict[tuple[types.Type, ...], Piece] = {}
        super().__init__(name=function.__name__)

    @property
    def key(self) -> tuple[FrontEnd, FunctionType]:
        return self.front_end, self.function

    def signature_of(self, context: Any, arguments: tuple[types.Type, ...]) -> Any:
        if len(arguments) != self.function.__code__.co_argcount:
            return None
        if arguments not in self.pieces:
            self.pieces[arguments] = self.front_end.piece(self.function, self.content, arguments)
        return signature(self.pieces[arguments].description.restype, *arguments)

    def emit(self, context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
        piece = self.pieces[signature.args]
        self.front_end.called.add(id(piece))
        status, value = emit_call(context, builder, piece.description, values)
        with builder.if_then(status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return value


register_model(Lowered)(models.OpaqueModel)


def pieces_met(calls: Iterable[tuple[Any, ...]]) -> Iterator[Piece]:
    """Functions of the kernel in the order in which their calls were typed."""
    for callee, *arguments in calls:
        if isinstance(callee, Lowered) and tuple(arguments) in callee.pieces:
            yield callee.pieces[tuple(arguments)]


def mangler_of(name: str) -> Callable[..., str]:
    """The names of a function and of what Numba puts beside it: the same in every kernel and process."""

    def mangler(prefix: str, arguments: Any, **others: Any) -> str:
        return f"{name}.environment" if prefix.startswith(".NumbaEnv.") else name

    return mangler


def numba_ir(function: FunctionType) -> Any:
    """Bytecode to Numba's representation, each variable split where it is assigned anew."""
    identity = bytecode.FunctionIdentity.from_function(function)
    code = interpreter.Interpreter(identity).interpret(bytecode.ByteCode(identity))
    make_canonical(code)
    index_tuples_by_constants(code)
    return ssa.reconstruct_ssa(code)


def index_tuples_by_constants(code: Any) -> None:
    """Say pair[0] so that its type is known: that of the element."""
    rewrite = RewriteConstGetitems()
    for label, block in code.blocks.items():
        if rewrite.match(code, block, None, None):
            code.blocks[label] = rewrite.apply()


def without_phis(code: Any) -> Any:
    code = typed_passes.PreLowerStripPhis()._strip_phi_nodes(code)
    make_canonical(code)
    return code


def make_canonical(code: Any) -> None:
    """Numba's post-processing, but for the ends of lifetimes: numbers and vectors need none."""
    code.blocks = transforms.canonicalize_cfg(code.blocks)
    code.variable_lifetime = postproc.VariableLifetime(code.blocks)
    code.generator_info = None


def emit_call(context: Any, builder: ir.IRBuilder, description: Any, values: Sequence[ir.Value]) -> Any:
    """Call a function of the module: its status and its value."""
    function = context.declare_function(builder.module, description)
    kinds = description.restype, description.argtypes
    return context.call_conv.call_function(builder, function, *kinds, values)
