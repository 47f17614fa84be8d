"""Steps that move: between memory and registers, between lanes, beside the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu.machine.faults import Fault
from gpu.machine.mbarriers import Copy
from gpu.machine.memory import GENERIC_SHARED, Bytes, GlobalMemory, LocalMemory, SharedMemory
from gpu.machine.source import Address, Operand, Register, Step
from gpu.machine.threads import TYPES, Lanes, Mask, Threads

SPACES = ("param", "shared", "global", "local")
VECTORS = {"v2": 2, "v4": 4, "v8": 8}
WARP = 32


def active(t: Threads, mask: Mask) -> Lanes:
    """The lanes that act, by number."""
    return np.arange(len(t)) if mask is None else np.flatnonzero(mask)


def space_of(step: Step) -> str:
    return next((space for word in step.words for space in SPACES if word.split("::")[0] == space), "generic")


def memory_at(
    t: Threads, step: Step, operand: Operand, lanes: Lanes
) -> tuple[GlobalMemory | SharedMemory | LocalMemory, Lanes]:
    """The memory that an operand of these lanes is in, and their places there."""
    address = t.address(operand)[lanes]
    match space_of(step):
        case "local":
            return LocalMemory(t.local, t.is_local, lanes), address
        case "shared":
            return t.block.shared, address
        case "global":
            return t.block.memory, address
    is_shared = address >= GENERIC_SHARED
    if is_shared.any() != is_shared.all():
        raise NotImplementedError("one access to two memories")
    return (t.block.shared, address - GENERIC_SHARED) if is_shared.all() else (t.block.memory, address)


def registers_of(operand: Operand) -> tuple[Operand, ...]:
    return operand if isinstance(operand, tuple) else (operand,)


def load(t: Threads, step: Step, mask: Mask) -> None:
    target, origin = step.operands
    dtype = TYPES[step.words[-1]]
    if space_of(step) == "param":
        assert isinstance(origin, Address) and isinstance(origin.base, Register)
        t.write(target, np.full(len(t), t.block.parameters[origin.base.name]), mask)
        return
    lanes, registers = active(t, mask), registers_of(target)
    memory, address = memory_at(t, step, origin, lanes)
    values = np.zeros((len(t), len(registers)), dtype)
    size = dtype.itemsize * len(registers)
    values[lanes] = memory.read(address, size).view(dtype)
    if isinstance(memory, SharedMemory):
        memory.races.read(t.number[lanes], address, size)
    for register, column in zip(registers, values.T, strict=True):
        t.write(register, np.ascontiguousarray(column), mask)


def store(t: Threads, step: Step, mask: Mask) -> None:
    target, origin = step.operands
    lanes = active(t, mask)
    values = np.stack([t.read(register, step.words[-1])[lanes] for register in registers_of(origin)], 1)
    memory, address = memory_at(t, step, target, lanes)
    rows = values.view(np.uint8).reshape(len(lanes), -1)
    memory.write(address, rows)
    if isinstance(memory, SharedMemory):
        memory.races.write(t.number[lanes], address, rows.shape[1])


def convert_address(t: Threads, step: Step, mask: Mask) -> None:
    address = t.read(step.operands[1], "u64")
    if "local" in step.words:
        raise NotImplementedError(step.text)
    if "shared" in step.words:
        base = np.uint64(GENERIC_SHARED)
        address = address - base if "to" in step.words else address + base
    t.write(step.operands[0], address, mask)


# Matrices: eight rows of 16 bytes, whose addresses eight lanes give.


def whole_warps(t: Threads, step: Step, mask: Mask) -> Lanes:
    """The lanes that act, of some warps or of all.

    Raises   Fault where some lanes of a warp do not
    """
    if mask is not None and (mask != np.repeat(mask[::WARP], WARP)).any():
        raise Fault(f"{step.words[0]} in divergent code")
    return active(t, mask)


def all_lanes(step: Step, mask: Mask) -> None:
    """Of copies, this machine counts groups for all threads that step together; wgmma is of four warps.

    Raises   Fault where some do not come
    """
    if mask is not None:
        raise Fault(f"{step.words[0]} in divergent code")


def of_rows(lanes: Lanes, count: int) -> Lanes:
    """What is given by the lanes that address the rows of so many matrices, flat."""
    return lanes.reshape(-1, WARP)[:, : 8 * count].reshape(-1)


def load_matrices(t: Threads, step: Step, mask: Mask) -> None:
    acting = whole_warps(t, step, mask)
    count = next(int(word[1]) for word in step.words if word in ("x1", "x2", "x4"))
    address = of_rows(t.address(step.operands[1])[acting], count)
    rows = t.block.shared.read(address, 16).view(np.uint16).reshape(-1, count, 8, 8)
    t.block.shared.races.read(of_rows(t.number[acting], count), address, 16)
    if "trans" in step.words:
        rows = rows.swapaxes(-1, -2)
    values = np.ascontiguousarray(rows).view(np.uint32).reshape(-1, count, WARP)
    lanes = np.zeros((count, len(t)), np.uint32)
    lanes[:, acting] = values.swapaxes(0, 1).reshape(count, -1)
    for register, each in zip(registers_of(step.operands[0]), lanes, strict=True):
        t.write(register, each, mask)


# Copies to shared memory that run beside the kernel.


def copy(t: Threads, step: Step, mask: Mask) -> None:
    """cp.async: 4, 8 or 16 bytes, of which the first may be all that is read."""
    lanes = active(t, mask)
    size = int(t.read(step.operands[2], "u32")[0])
    target, origin = (t.address(operand)[lanes] for operand in step.operands[:2])
    if (target % size).any() or (origin % size).any():
        raise Fault("an address of cp.async is not aligned")
    counts = np.full(len(lanes), size)
    if len(step.operands) > 3:
        counts = t.read(step.operands[3], "u32")[lanes].astype(np.int64)
    begun = Copy(target, first_bytes(t.block.memory, origin, counts, size), t.number[lanes])
    t.begin(begun, t.number[lanes])
    t.copies.append(begun)


def first_bytes(memory: GlobalMemory, origin: Lanes, counts: Lanes, size: int) -> Bytes:
    """The first `counts` bytes at each place, and zeros behind; what is not asked for is not touched."""
    values = np.zeros((len(origin), size), np.uint8)
    for count in np.unique(counts):
        if not 0 <= count <= size:
            raise Fault(f"cp.async is asked for {count} bytes of {size}")
        if count:
            rows = np.flatnonzero(counts == count)
            values[rows, :count] = memory.bytes[memory.places(origin[rows], int(count))]
    return values


def commit_copies(t: Threads, step: Step, mask: Mask) -> None:
    all_lanes(step, mask)
    t.groups.append(t.copies)
    t.copies = []


def await_copies(t: Threads, step: Step, mask: Mask) -> None:
    all_lanes(step, mask)
    if "wait_all" in step.words:
        commit_copies(t, step, mask)
    unfinished = 0 if "wait_all" in step.words else int(t.read(step.operands[0], "u32")[0])
    while len(t.groups) > unfinished:
        for each in t.groups.pop(0):
            each.land(t.block.shared)


def arrive_after_copies(t: Threads, step: Step, mask: Mask) -> None:
    """Arrivals of lanes whose copies all come later than this step."""
    lanes, address = active(t, mask), t.address(step.operands[0])
    t.copies = [each for each in t.copies if not each.has_landed]
    copies = tuple(each for group in (*t.groups, t.copies) for each in group)
    for index, barrier in enumerate(np.unique(address[lanes])):
        by = t.number[lanes][address[lanes] == barrier]
        t.block.mbarriers.send(int(barrier), copies if index == 0 else (), by, arrivals=len(by))


# Between the lanes of a warp.


def shuffle(t: Threads, step: Step, mask: Mask) -> None:
    """A lane that reads from outside of its warp reads itself."""
    whole_warps(t, step, mask)
    lane, by = np.arange(WARP), t.read(step.operands[2], "u32").reshape(-1, WARP).astype(np.int64)
    wanted = {"bfly": lane ^ by, "idx": by & 31, "down": lane + by, "up": lane - by}[step.words[2]]
    source = np.where((wanted >= 0) & (wanted < WARP), wanted, lane)
    values = t.read(step.operands[1], "b32").reshape(-1, WARP)
    target = step.operands[0]
    assert isinstance(target, Register)
    register, _, valid = target.name.partition("|")
    t.write(Register(register), np.take_along_axis(values, source, 1).ravel(), mask)
    if valid:
        t.write(Register(valid), (source == wanted).ravel(), mask)


def vote(t: Threads, step: Step, mask: Mask) -> None:
    whole_warps(t, step, mask)
    holds = t.predicate(step.operands[1]).reshape(-1, WARP)
    if step.words[2] == "ballot":
        bits = (holds.astype(np.uint64) << np.arange(WARP, dtype=np.uint64)).sum(1).astype(np.uint32)
        t.write(step.operands[0], np.repeat(bits, WARP), mask)
    else:
        decide = {"any": np.any, "all": np.all}[step.words[2]]
        t.write(step.operands[0], np.repeat(decide(holds, axis=1), WARP), mask)


def add_to_memory(t: Threads, step: Step, mask: Mask) -> None:
    """atom and red, which add: one lane after the other."""
    if "add" not in step.words:
        raise NotImplementedError(step.text)
    gives = step.words[0] == "atom"
    place, value = step.operands[gives : gives + 2]
    dtype, lanes = TYPES[step.words[-1]], active(t, mask)
    memory, address = memory_at(t, step, place, lanes)
    if not isinstance(memory, GlobalMemory):
        raise NotImplementedError(step.text)
    before = np.zeros(len(t), dtype)
    for lane, where in zip(lanes, address, strict=True):
        here = np.array([where])
        before[lane] = memory.read(here, dtype.itemsize).view(dtype)[0, 0]
        after = np.array([[before[lane] + t.read(value, step.words[-1])[lane]]], dtype)
        memory.write(here, after.view(np.uint8))
    if gives:
        t.write(step.operands[0], before, mask)


STEPS: dict[str, Callable[[Threads, Step, Mask], Any]] = {
    "ld": load,
    "ldu": load,
    "st": store,
    "cvta": convert_address,
    "ldmatrix": load_matrices,
    "shfl": shuffle,
    "vote": vote,
    **dict.fromkeys(("atom", "red"), add_to_memory),
}
