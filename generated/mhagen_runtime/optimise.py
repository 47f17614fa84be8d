"""An unoptimised LLVM module to object code, optimised once and as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.binding as llvm

from .host import Cpu


def emit_object(text: str, symbols: Sequence[str], emitter: llvm.TargetMachine) -> bytes:
    """The object code of a module in LLVM's assembly language, where `symbols` are the only ways in."""
    module = llvm.parse_assembly(text)
    module.verify()
    close(module, symbols)
    # Loops are vectorised by hand.
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(emitter, options)
    builder.getModulePassManager().run(module, builder)
    without_exceptions().run(module, builder)
    code: bytes = emitter.emit_object(module)
    return code


def close(module: llvm.ModuleRef, symbols: Sequence[str]) -> None:
    """Hide everything but the entry points, so that LLVM knows every call of a function."""
    for value in (*module.functions, *module.global_variables):
        if value.name not in symbols and not value.is_declaration:
            value.linkage = "internal"


def without_exceptions() -> llvm.ModulePassManager:
    """The passes that see that no function ever reports an exception, and drop the code that would raise it.

    That code alone needs symbols from outside.
    """
    passes = llvm.create_new_module_pass_manager()
    passes.add_ipsccp_pass()
    passes.add_simplify_cfg_pass()
    passes.add_global_dead_code_eliminate_pass()
    return passes


def target_machine(cpu: Cpu) -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # LLVM halves 512-bit vectors on CPUs tuned for 256 bits unless told otherwise; ours are meant.
    wide = ("-prefer-256-bit",) if cpu.architecture == "x86_64" else ()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=cpu.name,
        features=",".join((*cpu.flags, *wide)),
        opt=3,
        reloc="default",
        codemodel="jitdefault",
        jit=True,
    )
