"""`mhagen tune --backend cuda`: what ptxas says of each schedule, and what a GPU says of the rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

from ..spec.load import load_spec
from ..tuning.gpu_result import HEADS, GpuTuning
from ..tuning.gpu_tune import USUAL_GPU_SHAPES, tune_for_gpu
from .exits import Exit
from .explain import shape_of
from .failures import Failure, attempt, failure_document
from .output import Json, columns, document, print_table, results
from .progress import doing
from .tune import seconds_of


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it.  Units: began: seconds, by the monotonic clock."""

    began: float
    spec: str
    arch: str | None
    shapes: tuple[str, ...]
    budget: str
    jobs: int | None


def tune_spec_for_gpu(request: Request, as_json: bool) -> int:
    """Tune and show. Ctrl-C passes through; what was compiled until then is in the cache."""
    outcome = attempt(partial(tuned, request)) if as_json else tuned(request)
    if isinstance(outcome, Failure):
        document("tune", outcome.exit_code, {"error": failure_document(outcome.error)})
        return outcome.exit_code
    if as_json:
        document("tune", Exit.GOOD, tuning_document(outcome))
    else:
        print_tuning(outcome)
    return Exit.GOOD


def tuned(request: Request) -> GpuTuning:
    budget = seconds_of(request.budget)
    shapes = [shape_of(text) for text in request.shapes] or USUAL_GPU_SHAPES
    spec = load_spec(request.spec)
    with doing(f"compiling schedules of {spec.name}"):
        return tune_for_gpu(
            spec, shapes, arch=request.arch, budget=budget, jobs=request.jobs, began=request.began
        )


def print_tuning(found: GpuTuning) -> None:
    """Print a line for each schedule that passes, then what was dropped, and the choice."""
    results().print(found.headline)
    if found.rows():
        results().print()
        table = columns(*HEADS)
        for row in found.rows():
            table.add_row(*row)
        print_table(table)
    results().print()
    for line in found.remarks:
        results().print(line)
    if found.record_path:
        results().print(f"kept: all of this, in {found.record_path}")


def tuning_document(found: GpuTuning) -> Json:
    """Everything, for programs.  Units: seconds."""
    return {
        "spec": found.spec.name,
        "dtype": found.spec.dtype.value,
        "target": found.target.name,
        "circumstances": asdict(found.circumstances),
        "budget": found.budget,
        "seconds": found.seconds,
        **found.document(),
        "record_path": found.record_path or None,
    }
