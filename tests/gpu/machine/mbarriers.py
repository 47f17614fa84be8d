"""Barriers in shared memory, and the copies that arrive at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu.machine.faults import Fault
from gpu.machine.memory import POISON, Bytes, SharedMemory
from gpu.machine.races import Races


@dataclass(eq=False)
class Copy:
    """Bytes on their way to places of shared memory, one row a place. They land once."""

    address: NDArray[Any]
    values: Bytes
    copier: NDArray[Any]  # who writes each row: a thread, or what copies beside them all
    at: NDArray[Any] | None = None  # from which of their times on others may know of it
    has_landed: bool = False

    def begin(self, shared: SharedMemory, asking: NDArray[Any]) -> None:
        """Nobody may count on what is there until the copy has been waited for."""
        shared.land(self.address, np.full_like(self.values, POISON))
        shared.races.begin_copy(asking, self.address, self.values.shape[1], self.copier)

    def seen_from(self, races: Races) -> None:
        """Others may know of it from now on."""
        if self.at is None:
            self.at = races.time(self.copier)

    def land(self, shared: SharedMemory) -> None:
        if self.has_landed:
            return
        self.seen_from(shared.races)
        shared.land(self.address, self.values)
        shared.races.end_copy(self.copier, self.address, self.values.shape[1], self.at)
        self.has_landed = True


@dataclass
class Mbarrier:
    """The phase in progress: who is still to arrive, and how many bytes are to come."""

    count: int
    pending: int
    told: NDArray[Any]  # the clock of who has arrived
    known: NDArray[Any]  # the clock of the phases that have ended
    phase: int = 0
    bytes: int = 0

    def settle(self) -> None:
        """Begin the next phase if nothing is outstanding in this one."""
        if self.pending < 0:
            raise Fault("more threads arrived at an mbarrier than it counts")
        if self.pending == 0 and self.bytes == 0:
            self.phase, self.pending = self.phase + 1, self.count
            self.known = self.told.copy()


@dataclass(frozen=True, eq=False)
class Sent:
    """Copies on their way to an mbarrier, what they will be there, and the clock of who sent them."""

    copies: tuple[Copy, ...]
    arrivals: int
    bytes: int
    told: NDArray[Any]


class Mbarriers:
    """All mbarriers of a block, by address, and what is on its way to each."""

    def __init__(self, shared: SharedMemory) -> None:
        self.shared = shared
        self.by_address: dict[int, Mbarrier] = {}
        self.on_its_way: dict[int, list[Sent]] = {}
        self.changes = 0  # counts arrivals: without one, whoever waits goes on waiting

    def at(self, address: int) -> Mbarrier:
        if address not in self.by_address:
            raise Fault(f"there is no mbarrier at {address}: it was not initialised, or is not visible yet")
        return self.by_address[address]

    def init(self, address: int, count: int) -> None:
        if address % 8:
            raise Fault("an mbarrier is not at a multiple of 8")
        told, known = (self.shared.races.nothing() for _ in range(2))
        self.by_address[address] = Mbarrier(count, count, told, known)

    def arrive(self, address: int, thread: int, *, arrivals: int = 1, expected_bytes: int = 0) -> None:
        barrier = self.at(address)
        self.shared.races.arrive(np.array([thread]), barrier.told)
        barrier.bytes += expected_bytes
        barrier.pending -= arrivals
        barrier.settle()
        self.changes += 1

    def send(
        self, address: int, copies: tuple[Copy, ...], by: NDArray[Any], *, arrivals: int = 0, count: int = 0
    ) -> None:
        """Copies that will complete `count` bytes, or arrive for so many threads, once somebody waits."""
        self.at(address)
        for copy in copies:
            copy.seen_from(self.shared.races)
        told = self.shared.races.nothing()
        self.shared.races.arrive(by, told)
        self.on_its_way.setdefault(address, []).append(Sent(copies, arrivals, count, told))

    def is_over(self, address: int, parity: int) -> bool:
        """Has the phase with this parity ended? What is on its way arrives no sooner than that needs."""
        barrier = self.at(address)
        while barrier.phase % 2 == parity % 2 and self.on_its_way.get(address):
            self.deliver(address)
        return barrier.phase % 2 != parity % 2

    def deliver(self, address: int) -> None:
        """Let what was sent first arrive."""
        barrier, sent = self.at(address), self.on_its_way[address].pop(0)
        for copy in sent.copies:
            copy.land(self.shared)
        np.maximum(barrier.told, sent.told, out=barrier.told)
        barrier.bytes -= sent.bytes
        barrier.pending -= sent.arrivals
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
