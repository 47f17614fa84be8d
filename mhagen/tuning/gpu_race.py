"""How fast kernels for GPUs are, on one: every result is judged first, then all take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, Protocol

import numpy as np

from ..backend.acceptance import TOLERANCES, first_of, numpy_dtype
from ..base.errors import InputError, UnsupportedError
from ..base.target import SM_90, SM_90A, Gpu
from ..pipeline import compile_to_gpu_source
from ..runtime.gpu_driver import gpu_of_this_machine
from ..schedule.gpu_decode_plan import choose_decode_schedule
from ..schedule.gpu_plan import GpuSizes, sizes_of
from ..schedule.gpu_space import GpuPlan
from ..schedule.hopper_plan import HopperSchedule
from ..schedule.workload import workload_of
from .bench import FEWEST_ROUNDS, MOST_ROUNDS, Entrant, Pace
from .gpu_bench import Bench
from .gpu_call import decodes, gpu_call
from .gpu_contest import CALLS, rounds_of
from .gpu_grid import BAR_OF_DECODING, bar_of
from .gpu_result import in_words
from .isolated import first_line
from .measure import Candidate, Timing
from .outcome import Outcome, Role, Timed
from .peer import FAULTS, Absent, reason, require_close, tried
from .problem import Array, Problem
from .sampling import allowed_in, reference_error

IN_A_GRAPH = 4  # calls of decoding, which take less time than Python takes to ask for one


@dataclass(frozen=True)
class Operands:
    """What one call reads, on the GPU.

    Members  keywords: as attention() takes them; query, key and value among them in the spec's layout
             new_out: an array for its output, full of what is no number
             error: how far an output is from exact attention, relative to max(1, the greatest of it); None
             where that is not known
             allowed: how far it may be, for one that is so far
    """

    keywords: Mapping[str, Any]
    new_out: Callable[[], Any]
    error: Callable[[Any], float | None]
    allowed: Callable[[float], float]


@dataclass(frozen=True)
class GpuPeer:
    """Other software that does the same work on the same arrays.

    make      what to time, whose result is in the spec's layout; raises UnsupportedError, with the reason
    is_for    whether it is worth a try
    """

    name: str
    make: Callable[[Problem, Mapping[str, Any]], Candidate]
    is_for: Callable[[Problem], bool]


class Stage(Bench, Protocol):
    """A GPU with a library of arrays, that makes large ones and judges results without the host."""

    def operands(self, problem: Problem) -> Operands: ...

    def repeated(self, call: Candidate, count: int) -> Candidate:
        """So many calls as one, which Python asks for once."""
        ...

    def copying(self) -> tuple[Candidate, int]:
        """A copy from memory to memory, and how many bytes it reads and writes."""
        ...


@dataclass(frozen=True)
class GpuTimed:
    """What was found for a row and one family of kernels.

    Members  family: what multiplies, and schedule: how; nothing where there is no kernel
             bars: what was asked for beside each peer, by its name; bar: of the bandwidth, when decoding
    """

    outcome: Outcome
    target: Gpu
    family: str
    schedule: str
    bars: Mapping[str, float]
    bar: float | None


@dataclass(frozen=True)
class NamedCall:
    """A call to measure, and what its table calls it."""

    row: str
    title: str
    problem: Problem


@dataclass(frozen=True)
class Own:
    """A kernel of ours: what is timed, and how far from exact it is; or why there is nothing to time."""

    target: Gpu
    family: str = ""
    schedule: str = ""
    run: Candidate | None = None
    error: float | None = None
    problem: str = ""
    is_wrong: bool = False


def family_of(plan: GpuPlan, sizes: GpuSizes) -> str:
    """What multiplies: tensor cores, of Hopper or of every GPU, or threads."""
    if isinstance(plan, HopperSchedule):
        return "wgmma"
    return "fma" if sizes.uses_fma else "mma.sync"


def gpu_targets(arch: Gpu | None) -> tuple[Gpu, ...]:
    """The one that is asked for; else those of this machine's GPU; else those of Hopper."""
    own = gpu_of_this_machine()
    if arch is not None:
        return (arch,)
    if own is None or own == SM_90A:
        return (SM_90, SM_90A)
    return (own,)


def targets_for(problem: Problem, targets: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """Those whose kernels differ: all have the same ones for few queries."""
    example = problem.example
    return tuple(targets[-1:] if decodes(problem.spec, example.queries, example.keys) else targets)


def race(
    stage: Stage,
    named: NamedCall,
    operands: Operands,
    targets: Sequence[Gpu],
    peers: Sequence[GpuPeer | Absent],
    pace: Pace,
) -> tuple[GpuTimed, ...]:
    """Judge and time our kernels for these targets beside the peers: an outcome for each that differs."""
    problem = named.problem
    several = IN_A_GRAPH if problem.is_decoding else 1
    owns = [own_of(stage, named, operands, target, several) for target in targets_for(problem, targets)]
    asked = [peer for peer in peers if isinstance(peer, Absent) or peer.is_for(problem)]
    found = [peer_of(stage, peer, problem, operands, several) for peer in asked]
    others = [*(each for each in found if isinstance(each, Entrant)), *limit(stage, problem)]
    right = [ours(own, problem) for own in owns if own.run is not None]
    timed = timed_by_name(stage, (*right, *others), several, pace) if right else {}
    absent = tuple(each for each in found if isinstance(each, Absent))
    beside = tuple(timed[each.name] for each in others) if right else ()
    return tuple(outcome_of(named, own, timed.get(own.target.name), beside, absent) for own in owns)


def timed_by_name(stage: Stage, entrants: Sequence[Entrant], several: int, pace: Pace) -> dict[str, Timed]:
    """What each has taken for one call. All take turns."""
    taken = seconds_of(stage, [each.run for each in entrants], pace)
    timed = {}
    for entrant, seconds in zip(entrants, taken, strict=True):
        calls = 1 if entrant.role is Role.BANDWIDTH else several
        timed[entrant.name] = entrant.timed(Timing(tuple(each / calls for each in seconds)))
    return timed


def outcome_of(
    named: NamedCall, own: Own, timed: Timed | None, beside: tuple[Timed, ...], absent: tuple[Absent, ...]
) -> GpuTimed:
    problem = named.problem
    found = Outcome(
        row=named.row,
        title=named.title,
        dtype=problem.spec.dtype.value,
        threads=None,
        is_decoding=problem.is_decoding,
        timed=() if timed is None else (timed, *beside),
        absent=absent,
        problem=own.problem,
        is_failure=own.is_wrong or any(each.is_fault for each in absent),
    )
    bar = BAR_OF_DECODING if problem.is_decoding else None
    names = [each.name for each in beside]
    asked = bars(names, problem, own.target)
    return GpuTimed(found, own.target, own.family, own.schedule, asked, bar)


def bars(peers: Sequence[str], problem: Problem, target: Gpu) -> dict[str, float]:
    found = {name: bar_of(name, problem, target) for name in peers}
    return {name: bar for name, bar in found.items() if bar is not None}


def own_of(stage: Stage, named: NamedCall, operands: Operands, target: Gpu, several: int) -> Own:
    """Our kernel, its result judged; what it cannot do, or does wrong, is told."""
    try:
        spec, program, source = compile_to_gpu_source(named.problem.spec, target.name)
        work, plan = workload_of(program.attention), source.schedule
        if decodes(spec, named.problem.example.queries, named.problem.example.keys):
            plan = choose_decode_schedule(work, plan, target)
        made = Own(target, family_of(plan, sizes_of(work)), in_words(plan, sizes_of(work)))
        out = operands.new_out()
        call = partial(stage.attention(source), **operands.keywords, out=out)
        error = operands.error(first_of(call()))
    except (UnsupportedError, InputError) as refusal:
        return Own(target, problem=first_line(refusal))
    if error is not None and not error <= (allowed := operands.allowed(error)):
        wrong = f"its result differs by {error:.1e}, and {allowed:.0e} is allowed"
        return replace(made, problem=wrong, is_wrong=True)
    return replace(made, run=several_of(stage, call, several), error=error)


def several_of(stage: Stage, call: Candidate, several: int) -> Candidate:
    return call if several == 1 else stage.repeated(call, several)


def ours(own: Own, problem: Problem) -> Entrant:
    assert own.run is not None
    work = (problem.operations, problem.key_value_bytes)
    return Entrant(Role.OURS, own.target.name, own.run, own.family, *work, own.error)


def peer_of(
    stage: Stage, peer: GpuPeer | Absent, problem: Problem, operands: Operands, several: int
) -> Entrant | Absent:
    """A peer whose result is right; else the reason why it takes no part."""
    if isinstance(peer, Absent):
        return peer

    def work() -> Entrant:
        call = peer.make(problem, operands.keywords)
        error = operands.error(call())
        if error is not None:
            require_close(error, problem.spec.dtype)
        return Entrant(Role.PEER, peer.name, several_of(stage, call, several), error=error)

    found = tried(work)
    if isinstance(found, Entrant):
        return found
    return Absent(peer.name, reason(found), isinstance(found, FAULTS))


def limit(stage: Stage, problem: Problem) -> Iterator[Entrant]:
    """What the memory gives, where that decides."""
    if problem.is_decoding:
        run, moved = stage.copying()
        yield Entrant(Role.BANDWIDTH, Role.BANDWIDTH.value, run, "copy", bytes=moved)


def seconds_of(stage: Stage, calls: Sequence[Candidate], pace: Pace) -> list[list[float]]:
    """Of each, a round each: the median of some calls."""
    once = sum(sum(stage.seconds(call, 1)) for call in calls)
    rounds = pace.rounds
    if rounds is None:
        rounds = max(FEWEST_ROUNDS, min(MOST_ROUNDS, int(pace.seconds / max(once * (CALLS + 1), 1e-9))))
    return rounds_of(stage, calls, rounds, inf)


def operands_of_host(stage: Bench, problem: Problem) -> Operands:
    """Those of any spec: arrays of the host, and the reference in float64 for a judge."""
    call, dtype = gpu_call(stage, problem), numpy_dtype(problem.spec.dtype)

    def error(result: Any) -> float | None:
        found: Array = stage.fetch(result, dtype)
        return reference_error(problem, found.astype(np.float64))

    return Operands(call.keywords, call.new_out, error, partial(allowed_in, problem))


def usual_tolerance(problem: Problem) -> float:
    """How far a result may be from exact attention, whatever plain arithmetic loses."""
    return TOLERANCES[problem.spec.dtype]
