"""`mhagen tune`: the search, seen while it goes on, and what it has found."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import InputError
from ..spec.load import load_spec
from ..tuning.records import default_records
from ..tuning.result import Tuning
from ..tuning.t4 import t4_document
from ..tuning.tune import USUAL_SHAPES, tune
from ..tuning.workers import busy
from .bench import listed, thread_count
from .exits import Exit
from .explain import shape_of
from .output import document, notes, results, warn
from .tuned import print_tuning, tuning_document
from .tuned_page import tuned_page
from .watch import watching

BUDGET = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)(s|m|h)?")
UNITS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it."""

    spec: str
    shapes: tuple[str, ...]
    budget: str
    strategy: str
    threads: str
    jobs: int | None
    is_fresh: bool
    saves: bool
    report: str | None
    t4: str | None


def tune_spec(request: Request, as_json: bool) -> int:
    """Tune, show and report. Ctrl-C passes through; what was measured until then is kept."""
    spec = load_spec(request.spec)
    shapes = [shape_of(text) for text in request.shapes] or USUAL_SHAPES
    threads = [thread_count(text) for text in listed(request.threads)]
    if (load := busy()) is not None:
        warn(f"other programs keep this machine busy (load {load:.1f}): gains below that noise are not seen")
    try:
        with watching(spec.name) as observe:
            found = tune(
                request.spec,
                shapes,
                budget=seconds_of(request.budget),
                strategy=request.strategy,
                threads=threads,
                jobs=request.jobs,
                fresh=request.is_fresh,
                save=request.saves,
                observe=observe,
            )
    except KeyboardInterrupt:
        notes().print("interrupted: what was measured is kept, and the next run goes on from there")
        raise
    tell(found, request, as_json)
    return Exit.GOOD


def tell(found: Tuning, request: Request, as_json: bool) -> None:
    if request.report is not None:
        write(request.report, tuned_page(found))
    if request.t4 is not None:
        records = default_records().of_spec(found.circumstances)
        write(request.t4, json.dumps(t4_document(records), indent=1, allow_nan=False) + "\n")
    if as_json:
        document("tune", Exit.GOOD, tuning_document(found))
        return
    print_tuning(found)
    for path in (request.report, request.t4):
        if path is not None:
            results().print(f"written: {path}")


def write(path: str, text: str) -> None:
    """Write a file, in a folder that is made if need be.

    Raises   InputError
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def seconds_of(text: str) -> float:
    """Raises   InputError"""
    found = BUDGET.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(f"--budget {text[:32]!r} is no time: give seconds, as 90 or 90s, or 15m, or 2h")
    return float(found[1]) * UNITS[found[2]]
