"""Threads that step together: their registers, each an array with one slot a thread."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu.machine.faults import Fault
from gpu.machine.mbarriers import Copy, Mbarriers
from gpu.machine.memory import LOCAL_BASE, POISON, Bytes, GlobalMemory, SharedMemory, places_of
from gpu.machine.source import Address, Immediate, Operand, Program, Register

Lanes = NDArray[Any]
Mask = NDArray[np.bool_] | None  # None: all
TYPES: dict[str, np.dtype[Any]] = {
    "pred": np.dtype(np.bool_),
    **{f"{letter}{bits}": np.dtype(f"u{bits // 8}") for letter in "bu" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": np.dtype(f"i{bits // 8}") for bits in (8, 16, 32, 64)},
    "f16": np.dtype(np.uint16),
    "bf16": np.dtype(np.uint16),
    "f16x2": np.dtype(np.uint32),
    "bf16x2": np.dtype(np.uint32),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
STORED = {name: np.dtype(f"u{t.itemsize}") if t.kind == "i" else t for name, t in TYPES.items()}


@dataclass(frozen=True)
class Block:
    """What the threads of a block share."""

    memory: GlobalMemory
    shared: SharedMemory
    parameters: dict[str, Lanes]  # one value each
    symbols: dict[str, int]  # addresses
    specials: dict[str, int]  # registers that are the same for all: %ctaid.x
    mbarriers: Mbarriers
    reads: dict[int, list[Read]] = field(default_factory=dict)  # by wgmmas in flight, by first thread
    counts: Counter[str] = field(default_factory=Counter)  # of steps, and of what there is to say about them


@dataclass(frozen=True)
class Read:
    """A matrix that a wgmma reads until its group has been waited for."""

    group: int
    first: int
    last: int  # byte of shared memory


class Threads:
    """Some threads of a block that step together; `number` counts them in the block."""

    def __init__(self, program: Program, block: Block, number: Lanes) -> None:
        self.block, self.number = block, number
        local, end = places_of(program.local, LOCAL_BASE, LOCAL_BASE)
        self.symbols = block.symbols | local
        self.local: Bytes = np.full((len(number), end), POISON, np.uint8)
        self.is_local = np.zeros(end, np.bool_)
        for name, _, size in program.local:
            self.is_local[local[name] : local[name] + size] = True
        self.registers: dict[str, Lanes] = {
            name: np.zeros(len(number), STORED[type_]) for name, type_ in program.registers.items()
        }
        # Registers of wgmmas, by the group that must be waited for: accumulators, and left matrices.
        self.in_flight: dict[str, int] = {}
        self.being_read: dict[str, int] = {}
        self.constants: dict[tuple[str, str], Lanes] = {}
        self.copies: list[Copy] = []  # begun, and of no group yet
        self.groups: list[list[Copy]] = []
        self.wgmma_groups = 0  # so many were committed
        for name, value in block.specials.items():
            self.registers[name] = np.full(len(number), value, np.uint32)
        self.registers["%laneid"] = (number % 32).astype(np.uint32)
        self.registers["%warpid"] = (number // 32).astype(np.uint32)
        across, down = block.specials["%ntid.x"], block.specials["%ntid.y"]
        places = number % across, number // across % down, number // across // down
        for axis, values in zip("xyz", places, strict=True):
            self.registers[f"%tid.{axis}"] = values.astype(np.uint32)

    def __len__(self) -> int:
        return len(self.number)

    def read(self, operand: Operand, type_: str) -> Lanes:
        """An operand as this type: of a wider register its lower bits."""
        match operand:
            case Register(name):
                if name in self.in_flight:
                    raise Fault(f"{name} is read before the wgmma that writes it was waited for")
                return as_type(self.raw(name), TYPES[type_])
            case Immediate(text):
                return self.constant(text, type_)
        raise TypeError(operand)

    def raw(self, name: str) -> Lanes:
        """A register, or the address of a symbol."""
        if name in self.registers:
            return self.registers[name]
        if name not in self.symbols:
            raise NotImplementedError(f"{name} is nothing that this machine knows")
        return np.full(len(self), self.symbols[name], np.uint64)

    def begin(self, copy: Copy, asking: Lanes) -> None:
        """Begin a copy that these threads ask for, to where nobody reads."""
        for read in (each for reads in self.block.reads.values() for each in reads):
            if ((copy.address >= read.first) & (copy.address <= read.last)).any():
                raise Fault("a copy overwrites what a wgmma in flight reads")
        copy.begin(self.block.shared, asking)

    def predicate(self, operand: Operand) -> Lanes:
        if isinstance(operand, Immediate):
            return np.full(len(self), int(operand.text, 0) != 0)
        assert isinstance(operand, Register)
        if operand.name.startswith("!"):
            return ~self.registers[operand.name[1:]]
        return self.registers[operand.name]

    def constant(self, text: str, type_: str) -> Lanes:
        if (text, type_) not in self.constants:
            self.constants[text, type_] = np.full(len(self), number_of(text, TYPES[type_]))
        return self.constants[text, type_]

    def address(self, operand: Operand) -> NDArray[np.int64]:
        assert isinstance(operand, Address)
        base = self.read(operand.base, "u64").astype(np.int64)
        return base + operand.offset if operand.offset else base

    def refuse(self, name: str, *used: dict[str, int]) -> None:
        """Raises   Fault for a register that a wgmma in flight uses, which is to be written"""
        if any(name in registers for registers in used):
            raise Fault(f"{name} is written before the wgmma that uses it was waited for")

    def write(self, operand: Operand, values: Lanes, mask: Mask) -> None:
        """Put values into a register: a narrower one is extended as its type says.

        Raises   Fault for one that a wgmma in flight writes or reads
        """
        assert isinstance(operand, Register)
        name = operand.name
        self.refuse(name, self.in_flight, self.being_read)
        old = self.registers[name]
        if values.dtype != old.dtype:
            values = fitted(values, old.dtype)
        self.registers[name] = values if mask is None else np.where(mask, values, old)


def as_type(values: Lanes, type_: np.dtype[Any]) -> Lanes:
    if values.dtype == type_:
        return values
    if values.dtype.itemsize == type_.itemsize:
        return values.view(type_)
    bits = values.view(f"u{values.dtype.itemsize}").astype(f"u{type_.itemsize}")
    return bits.view(type_)


def fitted(values: Lanes, type_: np.dtype[Any]) -> Lanes:
    """Values as bits of a register of this type."""
    if values.dtype.itemsize != type_.itemsize:
        values = values.astype(f"{values.dtype.kind if values.dtype.kind in 'iu' else 'u'}{type_.itemsize}")
    return values.view(type_)


def number_of(text: str, type_: np.dtype[Any]) -> Any:
    if text[:2] in ("0f", "0F"):
        return np.array(int(text[2:], 16), np.uint32).view(np.float32).astype(type_)
    if text[:2] in ("0d", "0D"):
        return np.array(int(text[2:], 16), np.uint64).view(np.float64).astype(type_)
    bits = int(text, 0) & ((1 << 8 * type_.itemsize) - 1)
    return np.array(bits, f"u{type_.itemsize}").view(type_)
