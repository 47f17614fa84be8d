"""Memory with bounds: a Fault for whatever touches a byte that is nobody's, or is not aligned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpu.machine.faults import Fault
from gpu.machine.races import Races

Bytes = NDArray[np.uint8]
GUARD = 4096  # bytes of nobody between two arrays
POISON = 0xFF  # as float32, float16 and bfloat16: NaN
BANKS = 32
SHARED_BASE = 1024  # where a GPU's own begins too: nothing may rely on 0
LOCAL_BASE = 64  # as of shared memory, and as many bytes of nobody lie behind each array
GENERIC_SHARED = 1 << 40  # where shared memory is for loads and stores that name no space


class Arrays:
    """Bytes of which some are an array's, and the others nobody's."""

    name: str
    bytes: Bytes
    is_mine: NDArray[np.bool_]

    def places(self, address: NDArray[Any], size: int) -> Any:
        """Which bytes lie at each address, as an index.

        Raises   Fault for one that is nobody's
        """
        places = address.astype(np.int64)[:, None] + np.arange(size)
        if ((places < 0) | (places >= self.is_mine.size)).any() or not self.is_mine[places].all():
            raise Fault(f"{self.name} memory out of bounds")
        return places

    def read(self, address: NDArray[Any], size: int) -> Bytes:
        """`size` bytes at each address."""
        aligned(address, size)
        return self.bytes[self.places(address, size)]

    def write(self, address: NDArray[Any], values: Bytes) -> None:
        aligned(address, values.shape[1])
        self.bytes[self.places(address, values.shape[1])] = values


class GlobalMemory(Arrays):
    """Arrays in one address space, each with nothing before it and behind it."""

    name = "global"

    def __init__(self, size: int = 1 << 23) -> None:
        self.bytes: Bytes = np.full(size, POISON, np.uint8)
        self.is_mine = np.zeros(size, np.bool_)
        self.top = GUARD
        self.tensor_maps: dict[int, Any] = {}

    def put(self, array: NDArray[Any]) -> int:
        """Copy an array in; its address, a multiple of 256."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        address = self.top
        self.top = (address + flat.size + GUARD + 255) & ~255
        self.bytes[address : address + flat.size] = flat
        self.is_mine[address : address + flat.size] = True
        return address

    def get(self, address: int, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """A copy of an array that was put there."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.bytes[address : address + size].copy().view(dtype).reshape(shape)


class SharedMemory:
    """The shared memory of one block, poisoned."""

    def __init__(self, size: int, threads: int = 128) -> None:
        self.bytes: Bytes = np.full(SHARED_BASE + size, POISON, np.uint8)
        self.races = Races(threads, self.bytes.size)
        self.conflicts = 0  # accesses that had to wait for another to the same bank

    def places(self, address: NDArray[Any], size: int) -> NDArray[np.int64]:
        places = address.astype(np.int64)[:, None] + np.arange(size)
        if (places < SHARED_BASE).any() or (places >= self.bytes.size).any():
            raise Fault("shared memory out of bounds")
        return places

    def read(self, address: NDArray[Any], size: int) -> Bytes:
        aligned(address, size)
        self.count_conflicts(address, size)
        return self.bytes[self.places(address, size)]

    def write(self, address: NDArray[Any], values: Bytes) -> None:
        aligned(address, values.shape[1])
        self.count_conflicts(address, values.shape[1])
        places = self.places(address, values.shape[1])
        self.bytes[places] = values
        if (self.bytes[places] != values).any():
            raise Fault("a race in shared memory: lanes store different numbers at one place at once")

    def land(self, address: NDArray[Any], values: Bytes) -> None:
        """What a copy that runs beside the kernel writes."""
        self.bytes[self.places(address, values.shape[1])] = values

    def count_conflicts(self, address: NDArray[Any], size: int) -> None:
        """A warp's access is served 128 bytes at a time, of each bank one word."""
        at_once = BANKS * 4 // max(size, 4)
        words = address.astype(np.int64)[:, None] // 4 + np.arange(max(size // 4, 1))
        for first in range(0, len(words), at_once):
            distinct = np.unique(words[first : first + at_once])
            self.conflicts += int(np.bincount(distinct % BANKS).max()) - 1


class LocalMemory(Arrays):
    """What threads have for themselves, as some of them see it: the same places, with other bytes for each.

    Shapes   bytes: (threads, places)
    """

    name = "local"

    def __init__(self, memory: Bytes, is_mine: NDArray[np.bool_], lanes: NDArray[Any]) -> None:
        self.bytes, self.is_mine, self.lanes = memory, is_mine, lanes

    def places(self, address: NDArray[Any], size: int) -> Any:
        return self.lanes[:, None], super().places(address, size)


def places_of(arrays: Iterable[tuple[str, int, int]], first: int, gap: int = 0) -> tuple[dict[str, int], int]:
    """Where arrays begin, told by name, alignment and size, those of no size last; and where they end."""
    places, end = {}, first
    for name, alignment, size in sorted(arrays, key=lambda each: each[2] == 0):
        end = (end + alignment - 1) // alignment * alignment
        places[name] = end
        end += size + gap
    return places, end


def aligned(address: NDArray[Any], size: int) -> None:
    if (address.astype(np.int64) % size).any():
        raise Fault(f"an address is not a multiple of the {size} bytes it is for")
