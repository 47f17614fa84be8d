"""How good the schedule is that a build chooses, and the model that it is chosen by.

    python benchmarks/schedules.py                          all rows of the grid, float32, 12 schedules each
    python benchmarks/schedules.py --rows P1,P5 --dtypes float32,bfloat16 --sample 48
    python benchmarks/schedules.py --target avx2 --json timings.json
    python benchmarks/schedules.py --fit timings.json       the rates that suit these timings best

For each row schedules of the space, the chosen one among them, and a kernel that does nothing but
multiply-adds take turns in one process, on one thread. Rows of few queries are left out: their kernel has no
tiles to choose. The attention of a layer stands for the layer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mhagen.backend import cpu
from mhagen.backend.acceptance import Example
from mhagen.base.dtypes import DType
from mhagen.base.target import Target, target_named
from mhagen.ir.program import build_program
from mhagen.passes import PASSES, run_passes
from mhagen.runtime.host import host_target
from mhagen.runtime.threads import threads
from mhagen.schedule.choose import choose_schedule
from mhagen.schedule.cost import modelled, reading_seconds
from mhagen.schedule.counts import Counts, Tiling, count
from mhagen.schedule.machine import Machine, typical_machine
from mhagen.schedule.numbers import Numbers, numbers_of
from mhagen.schedule.plan import Schedule
from mhagen.schedule.sight import Shape, Sight
from mhagen.schedule.space import schedules
from mhagen.schedule.table import ScheduleTable
from mhagen.schedule.ways import takes_short_way
from mhagen.schedule.workload import Workload, workload_of
from mhagen.spec.load import load_spec
from mhagen.tuning.grid import GRID, Row, row_named
from mhagen.tuning.looking import sight_of
from mhagen.tuning.measure import Candidate, interleave
from mhagen.tuning.probes import peak_probe
from mhagen.tuning.problem import Problem

FREE = 0.5  # how far, relative to itself, a rate may be expected to move
FREE_OF_PRODUCTS = 0.015  # those are known: register tiles run at the peak
ERROR = 0.03  # of a timing
NOT_FITTED = ("load", "latency", "decode_steps", "short_way_seconds")


@dataclass(frozen=True)
class Subject:
    """One row in one format on one target."""

    row: Row
    problem: Problem
    target: Target
    default: Schedule
    work: Workload
    sight: Sight

    def candidate(self, schedule: Schedule) -> Candidate:
        program = build_program(self.problem.spec).map(lambda graph: run_passes(graph, PASSES))
        module = cpu.load(cpu.generate(program, ScheduleTable.of(schedule), self.target))
        arrays = (self.problem.arguments[name] for name in ("query", "key", "value"))
        call = partial(module.attention, *arrays, **self.problem.inputs)
        call = partial(call, query_offset=self.problem.query_offset)
        return partial(call, out=np.empty_like(call()))

    @property
    def numbers(self) -> Numbers:
        return numbers_of(self.work.dtype, self.target, (self.work.dim,))

    def counts(self, schedule: Schedule) -> Counts:
        tiling = Tiling(self.work, schedule, self.numbers, self.sight.shape)
        return count(tiling, self.sight, typical_machine(self.target).rates)


@dataclass(frozen=True)
class Timed:
    """A schedule, its seconds, and those that the model says with the peak of these rounds."""

    schedule: Schedule
    measured: float
    modelled: float


def subject_of(row: Row, dtype: DType, target: Target | None) -> Subject:
    spec = load_spec(row.spec(dtype)).without_projections()
    target = target or host_target(dtype.value)
    graph = build_program(spec).map(lambda graph: run_passes(graph, PASSES)).attention
    work = workload_of(graph)
    problem = Problem(spec, Example(row.batch, row.queries, row.keys, seed=0))
    shape = Shape(row.batch, row.queries, row.keys, problem.query_offset)
    sight = sight_of(spec.keep_expression, work.query_heads, shape, problem.inputs)
    return Subject(row, problem, target, choose_schedule(graph, target), work, sight)


def sampled(subject: Subject, size: int) -> tuple[Schedule, ...]:
    """The chosen schedule, and others evenly spread over the space."""
    chosen, *others = schedules(subject.default, subject.work, subject.target)
    size = min(size - 1, len(others))
    return (chosen, *(others[int((i + 0.5) * len(others) / size)] for i in range(size)))


def timed(subject: Subject, found: Sequence[Schedule], rounds: int) -> tuple[Machine, tuple[Timed, ...]]:
    """The best of the rounds, of schedules and of the peak alike."""
    probe = peak_probe(DType.FLOAT32)
    candidates = {str(number): subject.candidate(schedule) for number, schedule in enumerate(found)}
    timings = interleave({**candidates, "peak": lambda: probe.run(False)}, rounds)
    peak = probe.operations / timings["peak"].best
    machine = replace(typical_machine(subject.target), fma_peak=peak)
    return machine, tuple(
        Timed(
            schedule=schedule,
            measured=timings[str(number)].best,
            modelled=modelled(subject.work, schedule, subject.sight, machine).seconds,
        )
        for number, schedule in enumerate(found)
    )


def rank_correlation(found: Sequence[Timed]) -> float:
    """Spearman's: 1 where the model orders the schedules as the clock does."""
    measured, modelled = (ranks([getattr(each, name) for each in found]) for name in ("measured", "modelled"))
    return float(np.corrcoef(measured, modelled)[0, 1])


def ranks(numbers: Sequence[float]) -> list[int]:
    order = sorted(numbers)
    return [order.index(number) for number in numbers]


def tiles(schedule: Schedule) -> str:
    score = f"{schedule.key_rows}x{schedule.query_vectors}"
    value = f"{schedule.value_rows}x{schedule.value_vectors}"
    return f"{schedule.tile_queries}/{schedule.block_keys} {score} {value}"


def table_line(subject: Subject, found: Sequence[Timed]) -> str:
    best, chosen = min(found, key=lambda each: each.measured), found[0]
    by_model = min(found, key=lambda each: each.modelled)
    error = median(each.modelled / each.measured for each in found)
    return (
        f"{subject.row.name:10} {tiles(chosen.schedule):22} {tiles(best.schedule):22} "
        f"{chosen.measured / best.measured:6.3f} {by_model.measured / best.measured:9.3f} "
        f"{max(each.measured for each in found) / best.measured:7.3f} "
        f"{rank_correlation(found):6.2f} {error:9.3f}"
    )


HEAD = (
    f"{'row':10} {'chosen':22} {'best':22} {'ratio':>6} {'by model':>9} {'worst':>7} {'rank':>6} "
    f"{'modelled':>9}"
)


def entry(subject: Subject, machine: Machine, each: Timed) -> dict[str, Any]:
    """What --fit needs of a timing."""
    counts = asdict(subject.counts(each.schedule))
    return {
        "row": subject.row.name,
        "dtype": subject.work.dtype.value,
        "target": subject.target.name,
        "schedule": asdict(each.schedule),
        "measured": each.measured,
        "modelled": each.modelled,
        "step_seconds": machine.step_seconds,
        "reading_seconds": reading_seconds(subject.work, subject.sight, machine),
        "takes_short_way": takes_short_way(subject.work, each.schedule, subject.numbers, subject.sight.shape),
        "counts": counts,
    }


def measure(arguments: argparse.Namespace) -> None:
    target = None if arguments.target is None else target_named(arguments.target)
    rows = [row_named(name) for name in arguments.rows.split(",")] if arguments.rows else GRID
    entries: list[dict[str, Any]] = []
    for dtype in (DType(name) for name in arguments.dtypes.split(",")):
        print(f"{dtype.value}, one thread; ratios are of times, to the best measured\n{HEAD}")
        for row in rows:
            subject = subject_of(row, dtype, target)
            if row.queries <= subject.default.decode_queries:
                continue
            with threads(1):
                machine, found = timed(subject, sampled(subject, arguments.sample), arguments.rounds)
            print(table_line(subject, found), flush=True)
            entries += (entry(subject, machine, each) for each in found)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(entries, indent=1))


def fit(path: Path) -> None:
    """Least squares of relative errors, drawn towards the rates of today; none becomes negative."""
    entries = json.loads(path.read_text())
    for target in dict.fromkeys(entry["target"] for entry in entries):
        own = [entry for entry in entries if entry["target"] == target]
        print(f"{target}, {len(own)} timings")
        for name, before, after in fitted(own, target):
            print(f"    {name:16} {before:10.4g} -> {after:10.4g}")


def fitted(entries: Sequence[dict[str, Any]], target: str) -> Iterator[tuple[str, float, float]]:
    rates = typical_machine(target_named(target)).rates
    names = [field.name for field in fields(rates) if field.name not in NOT_FITTED]
    today = np.array([getattr(rates, name) for name in names])
    moves = np.array([FREE_OF_PRODUCTS if name.endswith("_steps") else FREE for name in names]) * today
    seconds = np.array([[seconds_of(name, entry) for name in names] for entry in entries])
    rest = [entry["counts"]["modified_steps"] * entry["step_seconds"] for entry in entries]
    measured = np.array([entry["measured"] for entry in entries])
    rows = np.vstack((seconds / measured[:, np.newaxis] / ERROR, np.diag(1 / moves)))
    wanted = np.concatenate(((measured - rest) / measured / ERROR, today / moves))
    yield from zip(names, today.tolist(), not_negative(rows, wanted).tolist(), strict=True)


def seconds_of(name: str, entry: dict[str, Any]) -> float:
    """How long a call takes of what has this rate, were the rate 1."""
    match name:
        case "call_seconds":
            return 0.0 if entry["takes_short_way"] else 1.0
        case "exposed":
            return float(entry["reading_seconds"])
        case _:
            return float(entry["counts"][name] * entry["step_seconds"])


def not_negative(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Least squares without the columns that would get less than 0."""
    kept = np.ones(rows.shape[1], bool)
    while True:
        found = np.zeros(rows.shape[1])
        found[kept] = np.linalg.lstsq(rows[:, kept], wanted, rcond=None)[0]
        if (found >= 0).all():
            return found
        kept &= found >= 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", default="", help="of the grid: P1,P4")
    parser.add_argument("--dtypes", default="float32")
    parser.add_argument("--target", help="instead of this CPU's widest")
    parser.add_argument("--sample", type=int, default=12, help="schedules of a row")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all timings")
    parser.add_argument("--fit", type=Path, metavar="FILE", help="fit rates to timings; measures nothing")
    arguments = parser.parse_args()
    if arguments.fit is not None:
        fit(arguments.fit)
    else:
        measure(arguments)


if __name__ == "__main__":
    main()
