"""`mhagen bench --backend cuda`: kernels on a GPU beside PyTorch's, or what is known without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from ..backend.acceptance import Example
from ..base.dtypes import DType
from ..base.errors import InputError
from ..base.spelling import did_you_mean
from ..base.target import Gpu, gpu_named
from ..interop.gpu import peers_on_gpu, require_packages, stage_here
from ..spec.load import load_spec
from ..tuning.bench import Pace, problem_of_row
from ..tuning.gpu_bench import bench_for
from ..tuning.gpu_call import problem_on_gpu
from ..tuning.gpu_grid import GPU_DTYPES, GPU_GRID, gpu_rows_named
from ..tuning.gpu_prepared import Work, figures_of_works, prepare, work_of
from ..tuning.gpu_race import (
    GpuTimed,
    NamedCall,
    Operands,
    Stage,
    gpu_targets,
    operands_of_host,
    race,
    targets_for,
)
from ..tuning.ptxas import require_ptxas
from ..tuning.surroundings import these_surroundings
from .bench import DEFAULT_SHAPE, listed, surroundings_document
from .exits import Exit
from .failures import Failure, attempt, failure_document
from .gpu_outcomes import Untimed, known_document, print_known, print_timed, timed_document
from .output import document, results
from .progress import doing
from .shapes import parse_shape

PREPARING_SECONDS = 600.0


@dataclass(frozen=True)
class Request:
    """What is to be measured, as the command line has it: lists are separated by commas."""

    spec: str | None
    shapes: tuple[str, ...]
    rows: str
    dtypes: str
    against: str
    arch: str | None
    pace: Pace


def bench_on_gpu(request: Request, as_json: bool) -> int:
    """Measure, or say what is known, and print a table for each format, or one document."""
    code = attempt(partial(measured, request, as_json)) if as_json else measured(request, as_json)
    if isinstance(code, Failure):
        document("bench", code.exit_code, {"error": failure_document(code.error)})
        return code.exit_code
    return code


def measured(request: Request, as_json: bool) -> int:
    require_packages(listed(request.against))
    calls = list(calls_of(request))
    targets = gpu_targets(None if request.arch is None else gpu_named(request.arch))
    _, nobody = bench_for(targets[0])
    if nobody:
        return tell_what_is_known(calls, targets, nobody, as_json)
    return tell_times(request, calls, targets, as_json)


def calls_of(request: Request) -> Iterator[NamedCall]:
    """The calls, those of one format after the other.  Raises   SpecError, InputError"""
    if request.spec is not None:
        yield from calls_of_spec(request.spec, request.shapes)
        return
    rows = {row.name: row for name in listed(request.rows) for row in gpu_rows_named(name)}
    for dtype in map(format_named, listed(request.dtypes)):
        for row in rows.values() or GPU_GRID:
            yield NamedCall(row.name, row.title, problem_of_row(row, dtype))


def calls_of_spec(path: str, shapes: tuple[str, ...]) -> Iterator[NamedCall]:
    spec = load_spec(path)
    for shape in [parse_shape(text) for text in shapes or (DEFAULT_SHAPE,)]:
        title = f"batch {shape.batch}, {shape.queries} queries, {shape.keys} keys"
        example = Example(shape.batch, shape.queries, shape.keys, seed=0)
        yield NamedCall(spec.name, title, problem_on_gpu(spec, example))


def format_named(name: str) -> DType:
    known = [dtype.value for dtype in GPU_DTYPES]
    if name not in known:
        remedy = did_you_mean(name, known) or "one of " + ", ".join(known)
        raise InputError(f"the grid for GPUs is not measured in {name[:32]!r}: {remedy}")
    return DType(name)


def tell_what_is_known(calls: list[NamedCall], targets: tuple[Gpu, ...], nobody: str, as_json: bool) -> int:
    """Registers, memory and products, by ptxas and the schedules: nothing is timed."""
    require_ptxas()
    known, reason = list(all_known(calls, targets)), f"nothing was timed: {nobody}"
    if as_json:
        rows = [known_document(each) for each in known]
        document("bench", Exit.GOOD, {"gpu": None, "reason": reason, "rows": rows})
    else:
        print_known(known)
        results().print(reason)
    return Exit.GOOD


def all_known(calls: list[NamedCall], targets: tuple[Gpu, ...]) -> Iterator[Untimed]:
    """Kernels that several rows share are compiled once."""
    asked = [
        (named, target, work_of_call(named, target))
        for named in calls
        for target in targets_for(named.problem, targets)
    ]
    works = tuple(dict.fromkeys(work for _, _, work in asked))
    found, figures = [], figures_of_works(works)
    for number in range(len(works)):
        with doing(f"compiling kernel {number + 1} of {len(works)}"):
            found.append(next(figures))
    known = dict(zip(works, found, strict=True))
    for named, target, work in asked:
        yield Untimed(named.row, named.title, named.problem.spec.dtype.value, target, known[work])


def work_of_call(named: NamedCall, target: Gpu) -> Work:
    example = named.problem.example
    return work_of(named.problem.spec, target.name, example.queries, example.keys)


def tell_times(request: Request, calls: list[NamedCall], targets: tuple[Gpu, ...], as_json: bool) -> int:
    stage, peers = stage_here(), peers_on_gpu(listed(request.against))
    surroundings = these_surroundings()
    found: list[GpuTimed] = []
    works = {replace(work_of_call(each, target), is_decoded=False) for each in calls for target in targets}
    with doing(f"compiling {len(works)} modules"):
        prepare(tuple(works), PREPARING_SECONDS)
    for named in calls:
        with doing(f"measuring {named.row} in {named.problem.spec.dtype.value}"):
            found += race(stage, named, operands_of(stage, request, named), targets, peers, request.pace)
    code = Exit.FAILED if any(each.outcome.is_failure for each in found) else Exit.GOOD
    if as_json:
        content = {"gpu": stage.name, "surroundings": surroundings_document(surroundings)}
        document("bench", code, {**content, "rows": [timed_document(each) for each in found]})
    else:
        print_timed(found)
        results().print(f"{stage.name}, {surroundings.date}")
    return code


def operands_of(stage: Stage, request: Request, named: NamedCall) -> Operands:
    """Rows of the grid are large: they are made and judged on the GPU. A spec may be anything."""
    if request.spec is None:
        return stage.operands(named.problem)
    return operands_of_host(stage, named.problem)
