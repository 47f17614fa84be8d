"""mbarrier and bulk copies: steps of single threads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpu.machine.faults import Fault
from gpu.machine.mbarriers import Copy
from gpu.machine.memory import GlobalMemory
from gpu.machine.movement import active
from gpu.machine.source import Address, Register, Step
from gpu.machine.threads import Mask, Threads

ROW = 128


@dataclass(frozen=True)
class TensorMap:
    """A tensor of 16-bit numbers in global memory, as the host says it to the copy engine; inner axis first.

    The box is 128 bytes wide, and its rows lie swizzled in shared memory.
    """

    address: int
    sizes: tuple[int, ...]  # numbers
    strides: tuple[int, ...]  # bytes, of the second axis and those behind
    box: tuple[int, ...]

    def rows(self, corner: tuple[int, ...], memory: GlobalMemory) -> np.ndarray:
        """The box at a corner, one row of bytes a row; 0 outside of the tensor."""
        outer = [np.arange(count) + first for count, first in zip(self.box[1:], corner[1:], strict=True)]
        grid = np.meshgrid(*reversed(outer), indexing="ij")[::-1]
        places = sum(index * stride for index, stride in zip(grid, self.strides, strict=True)).ravel()
        inside = np.ones(grid[0].shape, np.bool_)
        for index, size in zip(grid, self.sizes[1:], strict=True):
            inside &= (index >= 0) & (index < size)
        column = np.arange(self.box[0]) + corner[0]
        columns = np.flatnonzero((column >= 0) & (column < self.sizes[0]))
        values = np.zeros((places.size, self.box[0]), np.uint16)
        rows = np.flatnonzero(inside.ravel())
        if columns.size and rows.size:
            first, size = self.address + 2 * int(column[columns[0]]), 2 * columns.size
            found = memory.bytes[memory.places(places[rows] + first, size)].view(np.uint16)
            values[np.ix_(rows, columns)] = found
        return values.view(np.uint8)


def load_box(t: Threads, step: Step, mask: Mask) -> None:
    """cp.async.bulk.tensor to shared memory."""
    target, origin, barrier = step.operands
    assert isinstance(origin, Address)
    for lane in active(t, mask):
        tensor_map = t.block.memory.tensor_maps.get(int(t.read(origin.base, "u64")[lane]))
        if tensor_map is None:
            raise Fault("there is no tensor map at this address")
        corner = tuple(int(t.read(each, "s32")[lane]) for each in origin.coordinates)
        start = int(t.address(target)[lane])
        if start % 1024 or tensor_map.box[0] * 2 != ROW:
            raise Fault("a swizzled box is 128 bytes wide and begins at a multiple of 1024")
        rows = tensor_map.rows(corner, t.block.memory)
        linear = start + np.arange(rows.size).reshape(rows.shape)
        places = linear ^ ((linear & 0x380) >> 3)
        copier = np.array([t.block.shared.races.copier])
        begun = Copy(places.reshape(-1), rows.reshape(-1, 1), np.repeat(copier, rows.size))
        t.begin(begun, np.full(rows.size, t.number[lane]))
        t.block.mbarriers.send(int(t.address(barrier)[lane]), (begun,), copier, count=rows.size)
        t.block.counts["boxes"] += 1


def mbarrier(t: Threads, step: Step, mask: Mask) -> None:
    """init and arrive, one thread after the other."""
    operands = [each for each in step.operands if each != Register("_")]
    lanes, address = active(t, mask), t.address(operands[0])
    for lane in lanes:
        place, thread = int(address[lane]), int(t.number[lane])
        if step.words[1] == "init":
            t.block.mbarriers.init(place, int(t.read(operands[1], "u32")[lane]))
        elif "expect_tx" in step.words:
            arrivals, expected = int("arrive" in step.words), int(t.read(operands[1], "u32")[lane])
            t.block.mbarriers.arrive(place, thread, arrivals=arrivals, expected_bytes=expected)
        elif step.words[1] == "arrive":
            t.block.mbarriers.arrive(place, thread)
        elif step.words[1] != "inval":
            raise NotImplementedError(step.text)


def try_wait(t: Threads, step: Step, mask: Mask) -> bool:
    """Is every lane through? Each learns it in its predicate."""
    target, place, parity = step.operands[:3]
    address, parities = t.address(place), t.read(parity, "u32")
    over = np.zeros(len(t), np.bool_)
    lanes = active(t, mask)
    asked = {(int(address[lane]), int(parities[lane])) for lane in lanes}
    known = {each: t.block.mbarriers.is_over(*each) for each in asked}
    for lane in lanes:
        over[lane] = known[int(address[lane]), int(parities[lane])]
        if over[lane]:
            t.block.shared.races.learn(t.number[[lane]], t.block.mbarriers.at(int(address[lane])).known)
    t.write(target, over, mask)
    return bool(over[lanes].all())
