"""The schedules that may serve a call: a grid to begin with, then the neighbours of what was good.

What a call does with a schedule depends on some of its sizes only: one of few queries, say, on none of the
tiles. Two schedules that agree in these are one candidate for that call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from ..base.target import Target
from ..pipeline import compile_to_source
from ..schedule.cost import Cost, modelled
from ..schedule.legal import violations
from ..schedule.machine import Machine, typical_machine
from ..schedule.numbers import Numbers, numbers_of
from ..schedule.plan import SIZES_OF_A_CALL, Schedule
from ..schedule.sight import Sight
from ..schedule.space import fit, schedules, whole
from ..schedule.ways import decodes
from ..schedule.workload import Workload, workload_of
from ..spec.model import Spec
from .looking import sight_of
from .samples import sample_inputs
from .trial import Call

PREFILL = ("tile_queries", "block_keys", "key_rows", "query_vectors", "value_rows", "value_vectors")
DECODE = ("chunk_keys", "decode_rows")
LINEAR = ("linear_rows", "linear_vectors", "linear_block_rows", "linear_depth")
# Fields that are moved together, and where they may go.
Axis = tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]
TILES = tuple(product((4, 5, 6, 8, 10, 12, 14), (2, 3, 4)))
SIZES = {
    "tile_queries": (32, 64, 96, 128, 192, 256, 384, 512),
    "block_keys": (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048),
    "chunk_keys": (128, 256, 512, 1024, 2048, 4096),
    "decode_rows": (1, 2, 4, 8),
    "linear_block_rows": (32, 64, 128, 256, 512),
    "linear_depth": (256, 512, 1024, 2048, 4096),
}
MOST_DECODE_QUERIES = 32  # calls of more are never worth the way of few


@dataclass(frozen=True)
class Subject:
    """What is tuned: a spec on a target, and what an untuned build does with it."""

    spec: Spec
    target: Target
    default: Schedule
    work: Workload

    @cached_property
    def numbers(self) -> Numbers:
        return numbers_of(self.work.dtype, self.target, (self.work.dim,))

    def is_layer(self, call: Call) -> bool:
        """Is the whole layer called? It makes as many keys as queries."""
        return self.spec.projections is not None and call.shape.queries == call.shape.keys

    def is_legal(self, schedule: Schedule) -> bool:
        return not violations(schedule, self.target, self.work.dtype)

    def fields_of(self, call: Call, schedule: Schedule) -> tuple[str, ...]:
        """The sizes that a call under a schedule depends on."""
        own = DECODE if decodes(schedule, call.shape) else PREFILL
        return (*own, *LINEAR) if self.is_layer(call) else own

    def footprint(self, call: Call, schedule: Schedule) -> tuple[tuple[str, int], ...]:
        """What two schedules share that are the same to a call."""
        return tuple((name, getattr(schedule, name)) for name in self.fields_of(call, schedule))


def subject_of(spec: Spec, target: Target) -> Subject:
    """Raises   SpecError, UnsupportedError"""
    spec, program, source = compile_to_source(spec, target=target, tune="never")
    return Subject(spec, target, source.schedule, workload_of(program.attention))


def shared(schedule: Schedule) -> tuple[tuple[str, int], ...]:
    """The sizes that all schedules of a module have in common."""
    return tuple((name, size) for name, size in vars(schedule).items() if name not in SIZES_OF_A_CALL)


class Model:
    """The cost model for the calls of a subject; masks are looked at once a call."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.machine = typical_machine(subject.target)
        self._sights: dict[Call, Sight] = {}

    def seconds(self, call: Call, schedule: Schedule) -> float:
        return self.cost(call, schedule).seconds

    def cost(self, call: Call, schedule: Schedule) -> Cost:
        machine: Machine = replace(self.machine, threads=call.threads)
        return modelled(self.subject.work, schedule, self.sight(call), machine)

    def sight(self, call: Call) -> Sight:
        if call not in self._sights:
            spec, shape = self.subject.spec, call.shape
            inputs = sample_inputs(spec, call.example)
            self._sights[call] = sight_of(
                spec.visible_expression, self.subject.work.query_heads, shape, inputs
            )
        return self._sights[call]


def space(subject: Subject, call: Call) -> tuple[Schedule, ...]:
    """The grid of a call: the default first, then each candidate once."""
    default = subject.default
    if decodes(default, call.shape):
        sizes = product(SIZES["chunk_keys"], SIZES["decode_rows"])
        found = [replace(default, chunk_keys=chunk, decode_rows=rows) for chunk, rows in sizes]
    else:
        found = list(schedules(default, subject.work, subject.target))
    return distinct(subject, call, (default, *found))


def distinct(subject: Subject, call: Call, found: Sequence[Schedule]) -> tuple[Schedule, ...]:
    """The legal ones, those that are the same to the call once."""
    first: dict[tuple[tuple[str, int], ...], Schedule] = {}
    for schedule in found:
        if subject.is_legal(schedule):
            first.setdefault(subject.footprint(call, schedule), schedule)
    return tuple(first.values())


def neighbours(subject: Subject, call: Call, schedule: Schedule) -> tuple[Schedule, ...]:
    """The legal schedules that differ in one size or one tile, by one step, where the call depends on it."""
    moved = [each for axis in axes(subject, call, schedule) for each in moves(subject, schedule, axis)]
    return distinct(subject, call, (schedule, *moved))[1:]


def axes(subject: Subject, call: Call, schedule: Schedule) -> Iterator[Axis]:
    if decodes(schedule, call.shape):
        yield from (single(name) for name in DECODE)
    else:
        yield from (single(name) for name in ("tile_queries", "block_keys"))
        yield ("key_rows", "query_vectors"), TILES
        yield ("value_rows", "value_vectors"), TILES
    if 1 < call.shape.queries <= MOST_DECODE_QUERIES:
        # To the other way of computing the call, whichever it is.
        other = call.shape.queries - decodes(schedule, call.shape)
        yield ("decode_queries",), tuple(sorted({(schedule.decode_queries,), (other,)}))
    if subject.is_layer(call):
        yield ("linear_rows", "linear_vectors"), TILES
        yield from (single(name) for name in ("linear_block_rows", "linear_depth"))


def single(name: str) -> Axis:
    return (name,), tuple((size,) for size in SIZES[name])


def moves(subject: Subject, schedule: Schedule, axis: Axis) -> Iterator[Schedule]:
    """One step down and one up for a size; for a tile, each that has about as many sums."""
    names, values = axis
    here = tuple(getattr(schedule, name) for name in names)
    if len(names) == 1:
        below, above = [v for v in values if v < here], [v for v in values if v > here]
        places = (*below[-1:], *above[:1])
    else:
        sums = here[0] * here[1]
        places = tuple(v for v in values if v != here and sums / 2 <= v[0] * v[1] <= sums * 1.5)
    for place in places:
        yield rounded(subject, replace(schedule, **dict(zip(names, place, strict=True))))


def rounded(subject: Subject, schedule: Schedule) -> Schedule:
    """The schedule with sizes that its tiles divide."""
    numbers = subject.numbers
    return fit(
        replace(
            schedule,
            tile_queries=whole(schedule.tile_queries, schedule.query_vectors * numbers.lanes),
            block_keys=whole(schedule.block_keys, schedule.key_rows * numbers.together),
            linear_block_rows=whole(schedule.linear_block_rows, schedule.linear_rows),
        ),
        subject.work,
        numbers,
    )


def with_tiles_of(subject: Subject, schedule: Schedule, other: Schedule) -> Schedule:
    """The schedule's sizes of a call with what the other shares among calls."""
    return rounded(subject, replace(schedule, **dict(shared(other))))
