"""Barriers in shared memory, and the copies that arrive at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu.machine.memory import POISON, Bytes, Fault, SharedMemory


@dataclass(frozen=True)
class Copy:
    """Bytes on their way to places of shared memory, one row a place."""

    address: NDArray[Any]
    values: Bytes

    def begin(self, shared: SharedMemory) -> None:
        """Nobody may count on what is there until the copy has been waited for."""
        shared.land(self.address, np.full_like(self.values, POISON))

    def land(self, shared: SharedMemory) -> None:
        shared.land(self.address, self.values)


@dataclass
class Mbarrier:
    """The phase in progress: who is still to arrive, and how many bytes are to come."""

    count: int
    pending: int
    phase: int = 0
    bytes: int = 0

    def settle(self) -> None:
        """Begin the next phase if nothing is outstanding in this one."""
        if self.pending < 0:
            raise Fault("more threads arrived at an mbarrier than it counts")
        if self.pending == 0 and self.bytes == 0:
            self.phase, self.pending = self.phase + 1, self.count


class Mbarriers:
    """All mbarriers of a block, by address, and what is on its way to each."""

    def __init__(self, shared: SharedMemory) -> None:
        self.shared = shared
        self.by_address: dict[int, Mbarrier] = {}
        self.on_its_way: dict[int, list[tuple[tuple[Copy, ...], int, int]]] = {}
        self.changes = 0  # counts arrivals: without one, whoever waits goes on waiting

    def at(self, address: int) -> Mbarrier:
        if address not in self.by_address:
            raise Fault(f"there is no mbarrier at {address}: it was not initialised, or is not visible yet")
        return self.by_address[address]

    def init(self, address: int, count: int) -> None:
        if address % 8:
            raise Fault("an mbarrier is not at a multiple of 8")
        self.by_address[address] = Mbarrier(count, count)

    def arrive(self, address: int, threads: int = 1, expected_bytes: int = 0) -> None:
        barrier = self.at(address)
        barrier.bytes += expected_bytes
        barrier.pending -= threads
        barrier.settle()
        self.changes += 1

    def send(self, address: int, copies: tuple[Copy, ...], *, threads: int = 0, count: int = 0) -> None:
        """Copies that will complete `count` bytes, or arrive for `threads`, once somebody waits."""
        self.at(address)
        self.on_its_way.setdefault(address, []).append((copies, threads, count))

    def is_over(self, address: int, parity: int) -> bool:
        """Has the phase with this parity ended? What is on its way arrives no sooner than that needs."""
        barrier = self.at(address)
        while barrier.phase % 2 == parity % 2 and self.on_its_way.get(address):
            self.deliver(address)
        return barrier.phase % 2 != parity % 2

    def deliver(self, address: int) -> None:
        """Let what was sent first arrive."""
        barrier = self.at(address)
        copies, threads, count = self.on_its_way[address].pop(0)
        for copy in copies:
            copy.land(self.shared)
        barrier.bytes -= count
        barrier.pending -= threads
        barrier.settle()
        self.changes += 1

    def deliver_one(self) -> bool:
        """Let something arrive that nobody asked for; is there any?"""
        address = next((each for each, sent in self.on_its_way.items() if sent), None)
        if address is not None:
            self.deliver(address)
        return address is not None

    def __str__(self) -> str:
        return ", ".join(
            f"at {address}: phase {b.phase}, {b.pending} of {b.count} to arrive, {b.bytes} bytes to come"
            for address, b in sorted(self.by_address.items())
        )
