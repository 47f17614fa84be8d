"""Who may touch a place of shared memory: whoever a barrier has told of all that others did to it.

Threads may run in any order between barriers, and the machine runs them in one. So it keeps clocks: each warp
has a time of its own, which goes on at every barrier, and knows up to which time of every other warp it has
seen all. What lies behind that, or was done by another lane since the warp's own last barrier, is a race: a
Fault, also where this order of the threads happens to be a lucky one.

What it does not see: a lane that arrives at an mbarrier, or has waited there, speaks for its warp; a wgmma
counts as having read when it is issued (a copy that comes too early is found, a store is not); all copies of
boxes have one clock; fences.

Source   FastTrack: Flanagan and Freund, PLDI 2009
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu.machine.faults import Fault

Integers = NDArray[Any]

WARP = 32
CELL = 2  # bytes: no two threads share a number of 16 bits
NOBODY = -1
SEVERAL = -2  # lanes have read a place since their warp's last barrier
NEVER = np.iinfo(np.int32).max  # when a copy that is under way will be seen


class Races:
    """What each warp of a block knows of the others; and who touched each cell of shared memory, and when.

    Shapes   clock: (warps, warps), of who knows and who is known; a last one is whatever copies beside them
    """

    def __init__(self, threads: int, size: int) -> None:
        warps, cells = -(-threads // WARP) + 1, -(-size // CELL)
        self.copier = WARP * (warps - 1)
        self.clock = np.eye(warps, dtype=np.int32)
        self.met = np.zeros(
            warps, np.int32
        )  # up to which of its times all lanes of a warp know of each other
        self.writer = np.full(cells, NOBODY, np.int32)
        self.written_at = np.zeros(cells, np.int32)
        self.reader = np.full((warps, cells), NOBODY, np.int32)
        self.read_at = np.zeros((warps, cells), np.int32)

    def nothing(self) -> Integers:
        """The clock of a barrier at which nobody has arrived."""
        return np.zeros(len(self.clock), np.int32)

    def time(self, thread: Integers) -> Integers:
        return self.clock[thread // WARP, thread // WARP]

    def arrive(self, thread: Integers, clock: Integers) -> None:
        """Tell whoever waits at a barrier with this clock of all that these threads' warps know."""
        warps = np.unique(thread // WARP)
        np.maximum(clock, self.clock[warps].max(0), out=clock)
        self.clock[warps, warps] += 1

    def learn(self, thread: Integers, clock: Integers) -> None:
        """What a barrier knows, its threads know when they go on."""
        warps = np.unique(thread // WARP)
        known = np.maximum(self.clock[warps], clock)
        known[np.arange(len(warps)), warps] = self.clock[warps, warps]
        self.met[warps] = np.maximum(self.met[warps], clock[warps])
        self.clock[warps] = known

    def meet(self, thread: Integers, clock: Integers | None = None) -> None:
        """All lanes of these threads' warps have met, and tell whoever waits at a barrier with this clock."""
        warps = np.unique(thread // WARP)
        self.met[warps] = self.clock[warps, warps]
        self.arrive(thread, self.nothing() if clock is None else clock)

    def read(self, thread: Integers, address: Integers, size: int) -> None:
        by, cells = touched(thread, address, size)
        self.follow_writes(by, cells, "reads")
        warps, now = by // WARP, self.time(by)
        is_shared = (self.read_at[warps, cells] == now) & (self.reader[warps, cells] != by)
        self.reader[warps, cells], self.read_at[warps, cells] = by, now
        is_shared |= self.reader[warps, cells] != by  # of two lanes at once, one was noted
        self.reader[warps[is_shared], cells[is_shared]] = SEVERAL

    def write(self, thread: Integers, address: Integers, size: int) -> None:
        by, cells = touched(thread, address, size)
        self.follow_all(by, cells)
        self.writer[cells], self.written_at[cells] = by, self.time(by)

    def begin_copy(self, thread: Integers, address: Integers, size: int, copier: Integers) -> None:
        """These threads let somebody write from now on, and nobody knows when that has happened."""
        by, cells = touched(thread, address, size)
        self.follow_all(by, cells)
        self.writer[cells], self.written_at[cells] = touched(copier, address, size)[0], NEVER

    def end_copy(self, copier: Integers, address: Integers, size: int, at: Integers) -> None:
        """It has happened: whoever knows of this time of whoever copied may read it."""
        by, cells = touched(copier, address, size)
        self.writer[cells], self.written_at[cells] = by, touched(at, address, size)[0]

    def follow_writes(self, by: Integers, cells: Integers, does: str) -> None:
        writer = self.writer[cells]
        self.follow(by, cells, does, "wrote", writer, writer // WARP, self.written_at[cells])

    def follow_all(self, by: Integers, cells: Integers) -> None:
        self.follow_writes(by, cells, "writes")
        for warp, (readers, times) in enumerate(zip(self.reader, self.read_at, strict=True)):
            self.follow(by, cells, "writes", "read", readers[cells], warp, times[cells])

    def follow(
        self,
        by: Integers,
        cells: Integers,
        does: str,
        did: str,
        other: Integers,
        warp: Integers | int,
        at: Integers,
    ) -> None:
        """Raises   Fault where a thread does not know what another did before it."""
        own = by // WARP
        known = np.where(own == warp, self.met[own], self.clock[own, warp])
        racing = np.flatnonzero((at > known) & (other != by))
        if racing.size:
            first = racing[0]
            who = "other lanes" if other[first] == SEVERAL else f"thread {other[first]}"
            raise Fault(
                f"a race in shared memory, at {CELL * cells[first]}: thread {by[first]} {does} "
                f"what {who} {did}, and no barrier lies between"
            )


def touched(thread: Integers, address: Integers, size: int) -> tuple[Integers, Integers]:
    """Which thread touches which cells, flat."""
    count = max(1, size // CELL)
    return np.repeat(thread, count), ((address.astype(np.int64) // CELL)[:, None] + np.arange(count)).ravel()
