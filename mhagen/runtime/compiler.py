"""Kernel functions to machine code: Numba lowers them, LLVM emits one object file.

The entry point is a C function of integers only (addresses, strides, sizes), so its object code needs nothing
of Python or Numba at run time and can be stored as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
from numba import cfunc, config, njit, types

from ..base.errors import UnsupportedError
from ..base.target import Target
from . import simd, simd_formats
from .host import Cpu
from .vocabulary import vocabulary

# error_model="numpy": a division by zero is inf or NaN, as IEEE says, and never an exception in a kernel.
VOCABULARY = (simd.__name__, simd_formats.__name__)
OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compile_kernel(
    functions: Sequence[Callable[..., Any]], target: Target, computed: str, cpu: Cpu, symbol: str
) -> bytes:
    """Compile functions that call each other, callees first, into one object.

    The last function is the entry point, called `symbol` there; its arguments are int64, it returns nothing.
    Vectors hold numbers of the type that is computed in: float32 or float64.

    Raises   UnsupportedError if Numba is told not to compile
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise UnsupportedError("NUMBA_DISABLE_JIT is set, so kernels cannot be compiled: unset it")
    namespace: dict[str, Any] = {}
    for function in functions[:-1]:
        namespace[function.__name__] = njit(**OPTIONS)(
            rebound(function, namespace, vocabulary(target, computed))
        )
    entry = rebound(functions[-1], namespace, vocabulary(target, computed))
    integers = [types.intp] * entry.__code__.co_argcount
    compiled = cfunc(types.void(*integers), error_model="numpy", nogil=True)(entry)
    module = llvm.parse_assembly(compiled.inspect_llvm().replace(compiled.native_name, symbol))
    emitter = machine(cpu)
    close(module, symbol, emitter)
    code: bytes = emitter.emit_object(module)
    return code


def close(module: llvm.ModuleRef, symbol: str, emitter: llvm.TargetMachine) -> None:
    """Make the entry point the only way in.

    Only then can LLVM see that no function ever reports an exception, and drop the code that would raise it:
    that code alone needs Python.
    """
    for value in (*module.functions, *module.global_variables):
        if value.name != symbol and not value.is_declaration:
            value.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_ipsccp_pass()
    passes.add_simplify_cfg_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(emitter, llvm.create_pipeline_tuning_options(speed_level=3)))


def rebound(function: Callable[..., Any], compiled: dict[str, Any], meanings: dict[str, Any]) -> FunctionType:
    """The function with the vocabulary's names bound to their meaning on the target."""
    assert isinstance(function, FunctionType)
    names = dict(function.__globals__)
    for name, value in names.items():
        if getattr(value, "__module__", None) in VOCABULARY and getattr(value, "__name__", None) in meanings:
            names[name] = meanings[value.__name__]
    names.update(compiled)
    return FunctionType(function.__code__, names, function.__name__)


def machine(cpu: Cpu) -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # LLVM halves 512-bit vectors on CPUs tuned for 256 bits unless told otherwise; ours are meant.
    features = (
        ",".join((*cpu.flags, "-prefer-256-bit")) if cpu.architecture == "x86_64" else ",".join(cpu.flags)
    )
    native = llvm.Target.from_triple(llvm.get_process_triple())
    return native.create_target_machine(
        cpu=cpu.name, features=features, opt=3, reloc="default", codemodel="jitdefault", jit=True
    )
