"""`mhagen bench`: how fast kernels are, beside their peers and the limits of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

from ..backend.acceptance import Example
from ..base.dtypes import DType
from ..base.errors import InputError
from ..base.spelling import did_you_mean
from ..interop.peers import peers_of
from ..spec.load import load_spec
from ..tuning.bench import Conditions, Pace, bench_row, bench_spec
from ..tuning.grid import DTYPES, GRID, row_named
from ..tuning.outcome import Outcome
from ..tuning.surroundings import Surroundings, these_surroundings
from .disturbance import warn_if_disturbed
from .exits import Exit
from .failures import Failure, attempt, failure_document
from .outcomes import outcome_document, print_outcomes
from .output import Json, document, results
from .progress import doing
from .shapes import parse_shape

DTYPES_OF_GRID, PEERS = "float32,bfloat16", "torch,onnxruntime,openvino,numpy"
DEFAULT_SHAPE = "b=1,q=1024,k=1024"
MOST_THREADS = 1024


@dataclass(frozen=True)
class Request:
    """What is to be measured, as the command line has it: lists are separated by commas."""

    spec: str | None
    shapes: tuple[str, ...]
    rows: str
    dtypes: str
    against: str
    threads: str
    pace: Pace


def bench(request: Request, as_json: bool) -> int:
    """Measure, and print a table for each format and number of threads, or one document."""
    code = attempt(partial(measured, request, as_json)) if as_json else measured(request, as_json)
    if isinstance(code, Failure):
        document("bench", code.exit_code, {"error": failure_document(code.error)})
        return code.exit_code
    return code


def measured(request: Request, as_json: bool) -> int:
    threads = [thread_count(text) for text in listed(request.threads)]
    peers = tuple(peers_of(listed(request.against)))
    warn_if_disturbed(threads)
    surroundings, outcomes = these_surroundings(), []
    for count in threads:
        for group in groups(request, Conditions(peers, count, request.pace)):
            found = list(group)
            outcomes += found
            if not as_json:
                print_outcomes(found)
    code = Exit.FAILED if any(outcome.is_failure for outcome in outcomes) else Exit.GOOD
    if as_json:
        rows = [outcome_document(outcome) for outcome in outcomes]
        document("bench", code, {"surroundings": surroundings_document(surroundings), "rows": rows})
    else:
        results().print(f"{surroundings.processor.model}, {surroundings.date}")
    return code


def groups(request: Request, conditions: Conditions) -> Iterator[Iterator[Outcome]]:
    """The outcomes that share a table, measured when they are asked for."""
    if request.spec is not None:
        yield outcomes_of_spec(request.spec, request.shapes, conditions)
        return
    for dtype in map(format_named, listed(request.dtypes)):
        yield outcomes_of_grid(request.rows, dtype, conditions)


def outcomes_of_grid(rows: str, dtype: DType, conditions: Conditions) -> Iterator[Outcome]:
    for row in [row_named(name) for name in listed(rows)] or GRID:
        with doing(f"measuring {row.name} in {dtype.value}, {threads_in_words(conditions.threads)}"):
            yield bench_row(row, dtype, conditions)


def outcomes_of_spec(path: str, shapes: tuple[str, ...], conditions: Conditions) -> Iterator[Outcome]:
    spec = load_spec(path)
    for shape in [parse_shape(text) for text in shapes or (DEFAULT_SHAPE,)]:
        if spec.projections is not None and shape.queries != shape.keys:
            raise InputError("a layer makes its keys from x: q and k of --shape must be equal")
        with doing(f"measuring {spec.name}, {threads_in_words(conditions.threads)}"):
            example = Example(shape.batch, shape.queries, shape.keys, seed=0)
            yield bench_spec(path, example, conditions)


def listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def format_named(name: str) -> DType:
    known = [dtype.value for dtype in DTYPES]
    if name not in known:
        remedy = did_you_mean(name, known) or "one of " + ", ".join(known)
        raise InputError(f"the grid is not measured in {name[:32]!r}: {remedy}")
    return DType(name)


def thread_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST_THREADS):
        raise InputError(f"--threads has {text[:32]!r}; needs integers from 1 to {MOST_THREADS}, as 1,2")
    return int(text)


def threads_in_words(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def surroundings_document(surroundings: Surroundings) -> Json:
    return {**asdict(surroundings), "versions": dict(surroundings.versions)}
