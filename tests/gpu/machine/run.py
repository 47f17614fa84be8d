"""Runs a program block by block, and each block from barrier to barrier."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu.machine import arithmetic, copies, matrices, movement
from gpu.machine.faults import Fault
from gpu.machine.mbarriers import Mbarriers
from gpu.machine.memory import SHARED_BASE, GlobalMemory, SharedMemory, places_of
from gpu.machine.source import Program, Step, read
from gpu.machine.threads import STORED, TYPES, Block, Mask, Threads

WARP, WARPGROUP = 32, 128
# What this machine has no use for: it runs in order, and has registers for all.
IGNORED = ("setmaxnreg", "fence", "membar", "griddepcontrol", "prefetch", "nanosleep", "activemask")
LEAVING = frozenset(("bra", "ret", "exit"))
# Steps that the lanes of a warp take together, and those of all who step together: whoever is early waits.
OF_WARPS = frozenset(("shfl", "vote", "ldmatrix", "mma"))
OF_ALL = frozenset(("wgmma", "setmaxnreg", "bar", "barrier", "commit_group", "wait_group", "wait_all"))


@dataclass(frozen=True)
class Meeting:
    """Why threads stand still: at a barrier, for which so many must come, or else waiting in a loop."""

    barrier: int
    threads: int
    stays: bool = True


SPINNING = Meeting(-1, 0)
PASSING = Meeting(-2, 0)  # at an mbarrier: anybody may be first to go on


class Run:
    """Some threads on their way through a program: those furthest behind go first."""

    def __init__(self, program: Program, threads: Threads) -> None:
        self.program, self.threads = program, threads
        self.waiting: dict[int, NDArray[np.bool_]] = {0: np.ones(len(threads), np.bool_)}
        self.stalled: set[int] = set()  # places of steps that whole warps take, where some lanes are early

    def steps(self) -> Iterator[Meeting]:
        """Run to the end, with a stop wherever the other threads of the block must go on first."""
        while self.waiting:
            place = min(self.waiting, key=lambda each: (each in self.stalled, each))
            self.stalled.discard(place)
            yield from self.run_from(place, self.waiting.pop(place))

    def run_from(self, place: int, here: NDArray[np.bool_]) -> Iterator[Meeting]:
        """Run these lanes until they end, or have passed others."""
        mask = mask_of(here)
        while True:
            if place in self.waiting:
                here = here | self.waiting.pop(place)
                mask = mask_of(here)
                self.stalled.discard(place)
            step = self.program.steps[place]
            if self.others_are_first(place, step, here):
                self.put(place, here)
                return
            if step.words[0] in LEAVING:
                here = here & ~self.leave(place, step, here)
                if not here.any():
                    return
                mask = mask_of(here)
            elif step.guard is None:
                yield from self.perform(step, mask, here)
            elif (acting := here & self.guard(step)).any():
                yield from self.perform(step, mask_of(acting), here)
            place += 1

    def others_are_first(self, place: int, step: Step, here: NDArray[np.bool_]) -> bool:
        """Are others further behind, or must these lanes wait for some of their warps?"""
        if self.waiting and any(each < place for each in self.waiting if each not in self.stalled):
            return True
        width = together(step, len(here))
        is_early = width > 0 and self.waits_for_others(here, width)
        if is_early:
            self.stalled.add(place)
        return is_early

    def leave(self, place: int, step: Step, here: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The lanes that branch here, or end."""
        leaving = here if step.guard is None else here & self.guard(step)
        if step.words[0] == "bra":
            self.put(self.program.targets[place], leaving)
        else:
            self.end(leaving)
        return leaving

    def end(self, lanes: NDArray[np.bool_]) -> None:
        """Raises   Fault where others of the same warps wait for these lanes"""
        warps = lanes.reshape(-1, WARP).any(1)
        for place in self.stalled:
            if (self.waiting[place].reshape(-1, WARP).any(1) & warps).any():
                step = self.program.steps[place]
                raise Fault(f"divergent code: lanes end, for which others of their warp wait at {step.text}")

    def waits_for_others(self, here: NDArray[np.bool_], width: int) -> bool:
        """Are lanes of the same groups on their way from elsewhere, where nothing holds them up?"""
        free = [lanes for place, lanes in self.waiting.items() if place not in self.stalled]
        groups = here.reshape(-1, width).any(1)
        return any((lanes.reshape(-1, width).any(1) & groups).any() for lanes in free)

    def put(self, place: int, lanes: NDArray[np.bool_]) -> None:
        if lanes.any():
            self.waiting[place] = self.waiting.get(place, np.zeros_like(lanes)) | lanes

    def guard(self, step: Step) -> NDArray[np.bool_]:
        assert step.guard is not None
        holds = self.threads.predicate(step.guard)
        return ~holds if step.is_guard_negated else holds

    def perform(self, step: Step, mask: Mask, here: NDArray[np.bool_]) -> Iterator[Meeting]:
        self.threads.block.counts["steps"] += 1
        root = step.words[0]
        if root in ACTS:
            ACTS[root](self.threads, step, mask)
        elif root in ("bar", "barrier"):
            yield from self.meet(step, mask)
        elif root == "mbarrier":
            yield from self.use_mbarrier(step, mask)
        else:
            raise NotImplementedError(step.text)

    def use_mbarrier(self, step: Step, mask: Mask) -> Iterator[Meeting]:
        if step.words[1] in ("try_wait", "test_wait"):
            yield PASSING if copies.try_wait(self.threads, step, mask) else SPINNING
        else:
            copies.mbarrier(self.threads, step, mask)
            yield PASSING

    def meet(self, step: Step, mask: Mask) -> Iterator[Meeting]:
        """Raises   Fault where not all come, or they come to different barriers"""
        if "warp" in step.words:
            acting = movement.whole_warps(self.threads, step, mask)
            self.threads.block.shared.races.meet(self.threads.number[acting])
            return
        if mask is not None:
            raise Fault("a barrier in divergent code: " + step.text)
        operands = [np.unique(self.threads.read(operand, "u32")) for operand in step.operands]
        if any(len(each) > 1 for each in operands):
            raise Fault("threads come to different barriers: " + step.text)
        numbers = [int(each[0]) for each in operands]
        count = numbers[1] if len(numbers) > 1 else 0
        yield Meeting(numbers[0], count, "arrive" not in step.words)


def together(step: Step, all_of_them: int) -> int:
    """How many lanes take a step together; 0 where each may take it by itself."""
    if step.words[0] in OF_WARPS:
        return WARP
    return 0 if OF_ALL.isdisjoint(step.words) else all_of_them


def mask_of(lanes: NDArray[np.bool_]) -> Mask:
    return None if lanes.all() else lanes


def multiply_group(threads: Threads, step: Step, mask: Mask) -> None:
    movement.all_lanes(step, mask)
    if step.words[1] != "fence":
        matrices.WGMMA[step.words[1]](threads, step, mask)


def ignore(threads: Threads, step: Step, mask: Mask) -> None:
    if step.words[0] == "setmaxnreg":
        movement.all_lanes(step, mask)


def copy(threads: Threads, step: Step, mask: Mask) -> None:
    words = step.words
    if "tensor" in words:
        copies.load_box(threads, step, mask)
    elif "mbarrier" in words:
        movement.arrive_after_copies(threads, step, mask)
    elif "commit_group" in words:
        movement.commit_copies(threads, step, mask)
    elif "wait_group" in words or "wait_all" in words:
        movement.await_copies(threads, step, mask)
    elif "bulk" not in words:
        movement.copy(threads, step, mask)
    else:
        raise NotImplementedError(step.text)


# What a step does that no other thread can hold up.
ACTS: dict[str, Callable[[Threads, Step, Mask], None]] = {
    **dict.fromkeys(IGNORED, ignore),
    **movement.STEPS,
    **arithmetic.STEPS,
    "mma": matrices.multiply,
    "wgmma": multiply_group,
    "cp": copy,
}


class Schedule:
    """The runs of a block: each goes on until it meets the others."""

    def __init__(self, block: Block, runs: list[Iterator[Meeting]], width: int, order: random.Random) -> None:
        self.block, self.width, self.order, self.threads = block, width, order, width * len(runs)
        self.going = dict(enumerate(runs))
        self.standing: dict[int, Meeting] = {}
        self.arrived: Counter[int] = Counter()
        self.told: defaultdict[int, NDArray[Any]] = defaultdict(block.shared.races.nothing)

    def run(self) -> None:
        while self.going:
            free = [name for name in self.going if name not in self.standing]
            self.order.shuffle(free)
            before, spinning = self.block.mbarriers.changes, 0
            for name in free:
                spinning += self.advance(name)
            is_stuck = spinning == len(free) and before == self.block.mbarriers.changes
            if is_stuck and not self.block.mbarriers.deliver_one():
                raise Fault(f"deadlock: {self.where()}")

    def advance(self, name: int) -> bool:
        """Run on; does it do nothing but wait for an mbarrier?"""
        meeting = next(self.going[name], None)
        if meeting is None:
            del self.going[name]
            return False
        if meeting in (SPINNING, PASSING):
            return meeting is SPINNING
        if meeting.stays:
            self.standing[name] = meeting
        self.arrive(meeting, name)
        return False

    def arrive(self, meeting: Meeting, name: int) -> None:
        self.arrived[meeting.barrier] += self.width
        self.block.shared.races.meet(self.numbers(name), self.told[meeting.barrier])
        if self.arrived[meeting.barrier] >= (meeting.threads or self.threads):
            del self.arrived[meeting.barrier]
            for met in [n for n, m in self.standing.items() if m.barrier == meeting.barrier]:
                self.block.shared.races.learn(self.numbers(met), self.told[meeting.barrier])
                del self.standing[met]
            del self.told[meeting.barrier]  # the next who meet there may be others

    def numbers(self, name: int) -> NDArray[Any]:
        return np.arange(name * self.width, (name + 1) * self.width)

    def where(self) -> str:
        standing = Counter(meeting.barrier for meeting in self.standing.values())
        barriers = ", ".join(f"{count} at barrier {barrier}" for barrier, count in standing.items())
        return f"{len(self.going)} groups of threads go on ({barriers}); mbarriers {self.block.mbarriers}"


@dataclass(frozen=True)
class Launch:
    """How a kernel is started."""

    grid: tuple[int, int, int]
    threads: int
    shared_bytes: int = 0
    width: int = WARP  # so many threads step together; WARPGROUP where there is a wgmma
    seed: int = 0


def width_of(text: str) -> int:
    """So many threads of a kernel step together: wgmma is of four warps."""
    return WARPGROUP if "wgmma" in text else WARP


def launch(text: str | Program, how: Launch, arguments: Iterable[Any], memory: GlobalMemory) -> Counter[str]:
    """Run a kernel; what there is to count: steps, products, conflicts of banks."""
    program = read(text) if isinstance(text, str) else text
    parameters = {
        name: np.array([argument]).astype(TYPES[type_]).view(STORED[type_])[0]
        for (type_, name), argument in zip(program.parameters, arguments, strict=True)
    }
    counts: Counter[str] = Counter()
    order = random.Random(how.seed)
    with np.errstate(all="ignore"):
        for z, y, x in product(*map(range, reversed(how.grid))):
            counts += run_block(program, how, parameters, memory, (x, y, z), order)
    return counts


def run_block(
    program: Program,
    how: Launch,
    parameters: dict[str, Any],
    memory: GlobalMemory,
    index: tuple[int, int, int],
    order: random.Random,
) -> Counter[str]:
    symbols, size = places_of(program.shared, SHARED_BASE)
    shared = SharedMemory(size + how.shared_bytes - SHARED_BASE, how.threads)
    specials = {f"%ctaid.{axis}": value for axis, value in zip("xyz", index, strict=True)}
    specials |= {f"%nctaid.{axis}": value for axis, value in zip("xyz", how.grid, strict=True)}
    specials |= {"%ntid.x": how.threads, "%ntid.y": 1, "%ntid.z": 1}
    block = Block(memory, shared, parameters, symbols, specials, Mbarriers(shared))
    numbers = np.arange(how.threads).reshape(-1, how.width)
    runs = [Run(program, Threads(program, block, number)).steps() for number in numbers]
    Schedule(block, runs, how.width, order).run()
    block.counts["bank_conflicts"] = shared.conflicts
    return block.counts
