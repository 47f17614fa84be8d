"""Where the time of a spec's calls goes: the work, the limits of the machine, the model and the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..backend.acceptance import Example
from ..base.target import Target
from ..pipeline import Kernel, SpecLike, Tune, compile_to_source, load_kernel
from ..runtime.host import host_target
from ..runtime.threads import threads as with_threads
from ..schedule.cost import Cost, modelled
from ..schedule.machine import Machine, typical_machine
from ..schedule.numbers import Numbers, numbers_of
from ..schedule.plan import Schedule
from ..schedule.sight import Shape, Sight
from ..schedule.space import schedules
from ..schedule.table import ScheduleTable
from ..schedule.workload import Workload, workload_of
from ..spec.model import Spec
from .bench import REST_SECONDS, call_of
from .decisions import Decision, decisions
from .looking import sight_of
from .measure import Candidate, interleave, rounds_within, uncached_reads
from .probes import peak_probe
from .problem import Problem
from .samples import sample_inputs

MEASURING_SECONDS = 2.0  # of all calls and limits together
FEWEST_ROUNDS, MOST_ROUNDS = 5, 51
# A call that is modelled to take longer, or more memory, is not measured.
LONGEST_SECONDS, MOST_BYTES = 2.0, 1 << 31
PEAK, BANDWIDTH = "multiply-add peak", "read bandwidth"


@dataclass(frozen=True)
class Call:
    """One call of attention().

    Units    seconds: measured is the median, None where nothing was; limit is the least that the machine
             allows; best is modelled, of the best of all schedules that are worth trying
    """

    shape: Shape
    cost: Cost
    limit: float
    best: float
    measured: float | None = None

    @property
    def seconds(self) -> float:
        """What was measured, else what the model says."""
        return self.cost.seconds if self.measured is None else self.measured

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.cost.operations / self.seconds

    @property
    def share_of_limit(self) -> float:
        return self.limit / self.seconds


@dataclass(frozen=True)
class Choice:
    """A schedule, which of the calls it serves, and why it is as it is."""

    schedule: Schedule
    calls: tuple[Shape, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class Explanation:
    """A spec on a machine.

    Units    peak: operations a second of all threads in the formats of the spec
    Members  is_measured: the limits of the machine were, now; else they are what is usual for the target.
             schedules: how many there are that are worth trying; choices: those that serve the calls
    """

    spec: Spec
    machine: Machine
    peak: float
    is_measured: bool
    schedules: int
    choices: tuple[Choice, ...]
    calls: tuple[Call, ...]

    @property
    def ridge(self) -> float:
        """The operations for each byte from which on arithmetic is the limit."""
        return self.peak / self.machine.read_bandwidth


@dataclass(frozen=True)
class _Subject:
    """What is explained, before it is."""

    spec: Spec
    work: Workload
    target: Target
    table: ScheduleTable

    @property
    def numbers(self) -> Numbers:
        return numbers_of(self.work.dtype, self.target, (self.work.dim,))

    def cost(self, sight: Sight, machine: Machine) -> Cost:
        """Of the schedule that serves the call."""
        return modelled(self.work, self.table.pick(sight.shape, machine.threads), sight, machine)

    def choices(self, shapes: Sequence[Shape], threads: int) -> Iterator[Choice]:
        served: dict[Schedule, list[Shape]] = {}
        for shape in shapes:
            served.setdefault(self.table.pick(shape, threads), []).append(shape)
        for schedule, calls in served.items():
            yield Choice(schedule, tuple(calls), decisions(self.work, schedule, self.target))

    def problem(self, shape: Shape) -> Problem:
        """The call of attention alone."""
        return Problem(self.spec.without_projections(), example(shape))

    def sight(self, shape: Shape) -> Sight:
        inputs = sample_inputs(self.spec, example(shape))
        return sight_of(self.spec.visible_expression, self.work.query_heads, shape, inputs)


def explain(
    spec: SpecLike,
    shapes: Sequence[Shape],
    *,
    threads: int = 1,
    measures: bool = True,
    times_calls: bool = True,
    target: Target | None = None,
    tune: Tune = "cached",
) -> Explanation:
    """Explain the attention that a build of the spec makes. Arrays of [inputs] are made up.

    measures: the limits of the machine, and how long the calls take if `times_calls`

    Needs    the host's target, if anything is to be measured
    Raises   SpecError, UnsupportedError
    """
    spec, program, source = compile_to_source(spec, target=target, tune=tune)
    subject = _Subject(spec, workload_of(program.attention), source.target, source.table)
    machine = replace(typical_machine(source.target), threads=threads)
    sights = tuple(subject.sight(shape) for shape in dict.fromkeys(shapes))
    found: Mapping[Shape, float] = {}
    if measures:
        kernel = load_kernel(spec, program, source) if times_calls else None
        with with_threads(threads):
            machine, found = measured(subject, kernel, sights, machine)
    space = schedules(source.schedule, subject.work, source.target)
    calls = (explained(subject, sight, machine, space, found.get(sight.shape)) for sight in sights)
    return Explanation(
        spec=spec,
        machine=machine,
        peak=machine.peak(subject.numbers) * threads,
        is_measured=measures,
        schedules=len(space),
        choices=tuple(subject.choices([sight.shape for sight in sights], threads)),
        calls=tuple(calls),
    )


def explained(
    subject: _Subject, sight: Sight, machine: Machine, space: Sequence[Schedule], seconds: float | None
) -> Call:
    cost = subject.cost(sight, machine)
    peak = machine.peak(subject.numbers) * cost.threads
    return Call(
        shape=sight.shape,
        cost=cost,
        limit=max(cost.operations / peak, cost.reading),
        best=min(modelled(subject.work, schedule, sight, machine).seconds for schedule in space),
        measured=seconds,
    )


def measured(
    subject: _Subject, kernel: Kernel | None, sights: Sequence[Sight], machine: Machine
) -> tuple[Machine, Mapping[Shape, float]]:
    """The machine with its limits of now, and the seconds of calls that do not take too long: all in turn."""
    calls: dict[Shape, Candidate] = {}
    if kernel is not None:
        short = (sight.shape for sight in sights if is_short(subject, sight, machine))
        calls = {shape: call_of(kernel, subject.problem(shape)) for shape in short}
    on_all = machine.threads > 1
    peak, reads = peak_probe(subject.work.dtype), uncached_reads(host_target())
    candidates: dict[str, Candidate] = {str(shape): call for shape, call in calls.items()}
    candidates |= {PEAK: partial(peak.run, on_all), BANDWIDTH: partial(reads.run, on_all)}
    rounds = rounds_within(MEASURING_SECONDS, candidates, FEWEST_ROUNDS, MOST_ROUNDS)
    timings = interleave(candidates, rounds, REST_SECONDS if on_all else 0.0)
    # Limits are what the machine can do at best.
    rate = peak.operations / timings[PEAK].best / machine.threads
    limits = replace(
        machine,
        fma_peak=rate * machine.fma_peak / machine.peak(subject.numbers),
        read_bandwidth=reads.bytes / timings[BANDWIDTH].best,
    )
    return limits, {shape: timings[str(shape)].median for shape in calls}


def is_short(subject: _Subject, sight: Sight, machine: Machine) -> bool:
    cost = subject.cost(sight, machine)
    return cost.seconds <= LONGEST_SECONDS and cost.bytes <= MOST_BYTES


def example(shape: Shape) -> Example:
    return Example(shape.batch, shape.queries, shape.keys, seed=0)
