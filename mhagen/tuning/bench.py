"""How fast a kernel is: beside its peers and the machine's limits, all in turn in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..backend.acceptance import Example, first_of
from ..base.dtypes import DType
from ..base.errors import UnsupportedError, VerificationError
from ..pipeline import Kernel, SpecLike, build
from ..runtime.host import host_target
from ..runtime.threads import threads as with_threads
from ..spec.load import load_spec
from .grid import Row, row_named
from .measure import Candidate, Timing, interleave, rounds_within, uncached_reads
from .outcome import Outcome, Role, Timed
from .peer import Absent, Chosen, Peer, best_form
from .probes import peak_probe
from .problem import Array, Problem
from .sampling import allowed_in, reference_error

FEWEST_ROUNDS, MOST_ROUNDS = 5, 101
# Threads of peers spin for a few milliseconds after a call, on the core of who comes next.
REST_SECONDS = 0.01

Peers = Sequence[Peer | Absent]


@dataclass(frozen=True)
class Pace:
    """How long a row is measured: so many rounds, or as many as fit into the seconds."""

    rounds: int | None = None
    seconds: float = 10.0

    def of(self, candidates: dict[str, Candidate]) -> int:
        if self.rounds is not None:
            return self.rounds
        return rounds_within(self.seconds, candidates, FEWEST_ROUNDS, MOST_ROUNDS)


@dataclass(frozen=True)
class Conditions:
    """What all rows of a run share: who takes part, on how many threads, for how long."""

    peers: tuple[Peer | Absent, ...]
    threads: int
    pace: Pace


@dataclass(frozen=True)
class Entrant:
    """A candidate before it is timed; the fields are those of Timed."""

    role: Role
    name: str
    run: Candidate
    form: str = ""
    operations: float = 0.0
    bytes: float = 0.0
    error: float | None = None

    def timed(self, timing: Timing) -> Timed:
        return Timed(self.role, self.name, self.form, self.operations, self.bytes, self.error, timing.rounds)


def bench_row(row: Row, dtype: DType, conditions: Conditions) -> Outcome:
    """Measure a row of the grid. What mhagen cannot do, or does wrong, is told in the outcome."""
    empty = Outcome(row.name, row.title, dtype.value, conditions.threads, row.queries == 1)
    try:
        problem = problem_of_row(row, dtype)
        beside = None if row.beside is None else problem_of_row(row_named(row.beside), dtype)
        empty = replace(empty, is_decoding=problem.is_decoding)
        return measured(empty, build(problem.spec), problem, beside, conditions)
    except (UnsupportedError, VerificationError) as error:
        return replace(empty, problem=str(error), is_failure=isinstance(error, VerificationError))


def bench_spec(given: SpecLike, example: Example, conditions: Conditions) -> Outcome:
    """Measure one call, with these lengths, of the kernel that a build of the spec gives.

    Raises   SpecError, UnsupportedError, VerificationError
    """
    kernel = build(given)
    spec, problem = kernel.spec, Problem(kernel.spec, example)
    title = f"batch {example.batch}, {example.queries} queries, {example.keys} keys"
    empty = Outcome(spec.name, title, spec.dtype.value, conditions.threads, problem.is_decoding)
    return measured(empty, kernel, problem, None, conditions)


def problem_of_row(row: Row, dtype: DType) -> Problem:
    """The call of a row of either grid."""
    return Problem(load_spec(row.spec(dtype)), Example(row.batch, row.queries, row.keys, seed=0))


def measured(
    empty: Outcome, kernel: Kernel, problem: Problem, beside: Problem | None, conditions: Conditions
) -> Outcome:
    """The outcome with everything that was found."""
    with with_threads(conditions.threads):
        ours, expected = our_entrant(kernel, problem)
        found = [entered(peer, problem, expected, conditions.threads) for peer in conditions.peers]
        chosen = [each for each in found if isinstance(each, Chosen)]
        entrants = [ours, *map(peer_entrant, chosen), *limits(problem, conditions.threads)]
        entrants += companions(ours, beside, conditions.threads)
        candidates = {entrant.name: entrant.run for entrant in entrants}
        rest = REST_SECONDS if conditions.threads > 1 else 0.0
        timings = interleave(candidates, conditions.pace.of(candidates), rest)
    return replace(
        empty,
        timed=tuple(entrant.timed(timings[entrant.name]) for entrant in entrants),
        absent=tuple(each for each in found if isinstance(each, Absent)),
        notes=tuple(f"{each.name}: {note}" for each in chosen for note in each.left_out),
        is_failure=any(each.is_fault for each in found),
    )


def our_entrant(kernel: Kernel, problem: Problem) -> tuple[Entrant, Array]:
    """Our kernel, and its result, which is compared with the reference first.

    Raises   VerificationError if it differs
    """
    run = call_of(kernel, problem)
    result = np.asarray(run(), np.float64)
    error = reference_error(problem, result)
    if error is not None and not error <= (allowed := allowed_in(problem, error)):
        raise VerificationError(f"its result differs by {error:.1e}, and {allowed:.0e} is allowed")
    return Entrant(Role.OURS, "mhagen", run, "", problem.operations, problem.key_value_bytes, error), result


def call_of(kernel: Kernel, problem: Problem) -> Callable[[], Any]:
    """The call as a program would write it that makes many: weights are prepared, and `out` is reused."""
    keywords = {**problem.inputs, "query_offset": problem.query_offset}
    if problem.is_layer:
        prepared = kernel.prepare(problem.weights)
        return partial(output, partial(kernel.layer, problem.arguments["x"], prepared, **keywords))
    query, key, value = (problem.arguments[name] for name in ("query", "key", "value"))
    call = partial(kernel.attention, query, key, value, **keywords)
    if problem.spec.outputs.statistics:
        return partial(output, call)
    return partial(call, out=np.empty_like(call()))


def output(call: Callable[[], Any]) -> Any:
    """The output without the statistics."""
    return first_of(call())


def entered(peer: Peer | Absent, problem: Problem, expected: Array, threads: int) -> Chosen | Absent:
    return peer if isinstance(peer, Absent) else best_form(peer, problem, threads, expected)


def peer_entrant(chosen: Chosen) -> Entrant:
    return Entrant(Role.PEER, chosen.name, chosen.run, chosen.form, error=chosen.error)


def limits(problem: Problem, threads: int) -> Iterator[Entrant]:
    """What the machine can do: multiply-adds of what this format is computed in, and reads."""
    on_all = threads > 1
    peak = peak_probe(problem.spec.dtype)
    yield Entrant(Role.PEAK, Role.PEAK.value, partial(peak.run, on_all), peak.name, peak.operations)
    reads = uncached_reads(host_target())
    yield Entrant(Role.BANDWIDTH, Role.BANDWIDTH.value, partial(reads.run, on_all), bytes=reads.bytes)


def companions(ours: Entrant, beside: Problem | None, threads: int) -> Iterator[Entrant]:
    """Other calls of ours that this one is compared with."""
    if beside is not None:
        call = call_of(build(beside.spec), beside)
        yield Entrant(Role.BESIDE, Role.BESIDE.value, call, beside.spec.name, beside.operations)
    if threads > 1:
        yield replace(
            ours, role=Role.ONE_THREAD, name=Role.ONE_THREAD.value, run=partial(on_one_thread, ours.run)
        )


def on_one_thread(run: Candidate) -> object:
    with with_threads(1):
        return run()
