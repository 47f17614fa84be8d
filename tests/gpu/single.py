"""One instruction of the table by itself: as a module of PTX, and run by the machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpu.machine.mbarriers import Mbarriers
from gpu.machine.memory import GlobalMemory, SharedMemory
from gpu.machine.run import Run
from gpu.machine.source import read
from gpu.machine.threads import Block, Threads
from mhagen.runtime import ptx, ptx_hopper, ptx_memory, ptx_reals
from mhagen.runtime.ptx_instruction import Instruction, Kind

TYPES = {"f": "f32", "d": "f64", "h": "b16", "r": "b32", "l": "b64"}
DTYPES: dict[Kind, Any] = {
    Kind.F32: np.float32,
    Kind.S32: np.int32,
    Kind.U16: np.uint16,
    Kind.U32: np.uint32,
    Kind.U64: np.uint64,
}
HEADER = ".version 9.0\n.target {}\n.address_size 64\n.extern .shared .align 1024 .b8 mhagen_shared[];\n"
SPECIALS = {"%ntid.x": 128, "%ntid.y": 1, "%ntid.z": 1}


def listed(module: Any) -> list[Instruction]:
    """The instructions of a table that have a name there."""
    return [value for value in vars(module).values() if isinstance(value, Instruction)]


AMPERE = [
    *listed(ptx),
    *listed(ptx_memory),
    *(each for each in listed(ptx_reals) if Kind.F64 not in (*each.arguments, *each.results)),
    ptx.cp_async_wait_group(1),
]
HOPPER = [
    *listed(ptx_hopper),
    ptx_hopper.wgmma_shared(64, "bf16", False),
    ptx_hopper.wgmma_shared(256, "f16", True),
    ptx_hopper.wgmma_registers(128, "bf16", True),
    ptx_hopper.wgmma_registers(32, "f16", False),
    ptx_hopper.wgmma_wait_group(1),
    ptx_hopper.keep_in_registers(64),
    ptx_hopper.setmaxnreg_inc(240),
    ptx_hopper.setmaxnreg_dec(24),
]


def entry(called: Instruction, name: str) -> str:
    """A kernel that is this instruction, on registers %a (accumulators), %o (results) and %i (arguments)."""
    count = called.accumulators
    accumulators = [f"%a{index}" for index in range(count)]
    results = [f"%o{index}" for index in range(len(called.results))]
    arguments = [f"%i{index}" for index in range(len(called.arguments))]
    operands = [*accumulators, *results, *accumulators, *arguments]
    types = [TYPES[kind.letter] for kind in (*called.results, *called.arguments)]
    declared = zip([*results, *arguments], types, strict=True)
    registers = [f".reg .f32 %a<{count}>;"] if count else []
    registers += [f".reg .{type_} {register};" for register, type_ in declared]
    text = re.sub(r"\$(\d+)", lambda found: operands[int(found[1])], called.text)
    return "\n".join([f".visible .entry {name}()", ".maxntid 128, 1, 1", "{", *registers, text, "ret;", "}"])


def module(called: Sequence[Instruction], target: str) -> str:
    """A module with a kernel for each."""
    kernels = (entry(each, f"kernel_{index}") for index, each in enumerate(called))
    return HEADER.format(target) + "\n".join(kernels)


def run(called: Instruction, operands: Sequence[Any], shared: SharedMemory, memory: GlobalMemory) -> Any:
    """What the machine gives for operands over lanes: nothing, an array, or a tuple of them."""
    program = read(module([called], "sm_90a"))
    block = Block(memory, shared, {}, {"mhagen_shared": 1024}, SPECIALS, Mbarriers(shared))
    lanes = len(operands[-1]) if operands else 32
    threads = Threads(program, block, np.arange(lanes))
    accumulators = operands[0] if called.accumulators else ()
    for index, values in enumerate(accumulators):
        threads.registers[f"%a{index}"] = values
    for index, values in enumerate(operands[called.accumulators > 0 :]):
        register = threads.registers[f"%i{index}"]
        threads.registers[f"%i{index}"] = np.ascontiguousarray(values).view(register.dtype)
    with np.errstate(all="ignore"):
        list(Run(program, threads).steps())
    for index in range(called.accumulators):
        accumulators[index] = threads.registers[f"%a{index}"]
    dtypes = [DTYPES[kind] for kind in called.results]
    results = tuple(threads.registers[f"%o{index}"].view(dtype) for index, dtype in enumerate(dtypes))
    return None if not results else results[0] if len(results) == 1 else results
