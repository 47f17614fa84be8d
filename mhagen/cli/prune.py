"""`mhagen prune`: how much heads matter, as a table, a picture and a document; smaller layers as files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ..pruning.methods import Method
from ..pruning.prune import prune, suffix_of
from ..pruning.result import Pruning, SmallerLayer
from ..tuning.destinations import require_writable
from .exits import Exit
from .failures import Failure, attempt, failure_document
from .output import Json, columns, document, print_table, results
from .progress import doing
from .prune_picture import head_bars


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it."""

    spec: str
    weights: tuple[str, ...]
    inputs: tuple[str, ...]
    by: str
    keep: int | None
    prune: int | None
    share: float | None
    batch: int
    out: str
    picture: str | None


def prune_heads(request: Request, as_json: bool) -> int:
    """Measure, prune and write; returns the exit code."""
    outcome = attempt(partial(pruned, request)) if as_json else pruned(request)
    if isinstance(outcome, Failure):
        document("prune", outcome.exit_code, {"error": failure_document(outcome.error)})
        return outcome.exit_code
    found, written = outcome
    if as_json:
        document("prune", Exit.GOOD, pruning_document(found, written))
    else:
        print_pruning(found, written)
    return Exit.GOOD


def pruned(request: Request) -> tuple[Pruning, tuple[Path, ...]]:
    """The result, and the files that were written."""
    if request.picture is not None:
        require_writable(Path(request.picture))
    with doing(f"watching the heads of {request.spec}"):
        found = prune(
            request.spec,
            request.weights,
            request.inputs,
            by=request.by,
            keep=request.keep,
            prune=request.prune,
            share=request.share,
            batch=request.batch,
        )
    written = found.save(request.out, suffix_of(request.weights))
    if request.picture is not None:
        picture = Path(request.picture)
        picture.write_text(str(head_bars(found)) + "\n", encoding="utf-8")
        written = (*written, picture)
    return found, written


def print_pruning(found: Pruning, written: tuple[Path, ...]) -> None:
    results().print(found.headline)
    results().print()
    table = columns(*found.columns)
    for row in found.rows():
        table.add_row(*row)
    print_table(table)
    results().print()
    meanings = (f"{method.value}: {method.meaning}" for method in Method)
    for line in (*meanings, "", *found.remarks, *(f"written: {path}" for path in written)):
        results().print(line)


def pruning_document(found: Pruning, written: tuple[Path, ...]) -> Json:
    """Everything, for programs. Measures: by method, layer and head; null of what was pruned before."""
    return {
        "spec": found.spec.name,
        "by": found.by.value,
        "measures": {method.value: [list(row) for row in rows] for method, rows in found.measures.items()},
        "meanings": {method.value: method.meaning for method in Method},
        "layers": [layer_document(layer) for layer in found.layers],
        "written": [str(path) for path in written],
        "error": None,
    }


def layer_document(layer: SmallerLayer) -> Json:
    return {
        "name": layer.spec.name,
        "pruned": list(layer.pruned),
        "heads": asdict(layer.cut) | {"empty": list(layer.cut.empty)},
        "verification": asdict(layer.proof),
    }
