"""`mhagen tune`: the search, seen while it goes on, and what it has found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic

from ..base.errors import InputError
from ..spec.load import load_spec
from ..tuning.destinations import require_writable
from ..tuning.records import default_records
from ..tuning.result import Tuning
from ..tuning.t4 import t4_document
from ..tuning.tune import LONGEST_BUDGET, SHORTEST_BUDGET, USUAL_SHAPES, tune
from .bench import listed, thread_count
from .disturbance import warn_if_disturbed
from .exits import worst
from .explain import shape_of
from .failures import Failure, attempt, failure_document
from .output import document, results
from .tuned import print_tuning, tuning_document
from .tuned_page import tuned_page
from .watch import watching

BUDGET = re.compile(r"(\d{1,20}(?:\.\d{1,20})?(?:e\d{1,2})?)(s|m|h)?", re.ASCII)
# For a page, of the budget; and what measuring the limits of the machine for it takes.
PAGE_SECONDS, PAGE_SHARE, LIMITS_SECONDS = 4.0, 0.1, 3.0
UNITS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it.  Units: began: seconds, by the monotonic clock."""

    began: float
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

    @property
    def files(self) -> tuple[str, ...]:
        """Those that are to be written."""
        return tuple(path for path in (self.report, self.t4) if path is not None)


def tune_spec(request: Request, as_json: bool) -> int:
    """Tune, show and report. Ctrl-C passes through; what was measured until then is kept."""
    outcome = attempt(partial(tuned, request)) if as_json else tuned(request)
    if isinstance(outcome, Failure):
        document("tune", outcome.exit_code, {"error": failure_document(outcome.error)})
        return outcome.exit_code
    return tell(outcome, request, as_json)


def tuned(request: Request) -> Tuning:
    """Look at all that is asked for, and only then begin."""
    budget = seconds_of(request.budget)
    shapes = [shape_of(text) for text in request.shapes] or USUAL_SHAPES
    threads = [thread_count(text) for text in listed(request.threads)]
    for path in request.files:
        require_writable(Path(path))
    spec = load_spec(request.spec)
    warn_if_disturbed(threads, "gains below that noise are not seen")
    with watching(spec.name) as observe:
        found = tune(
            request.spec,
            shapes,
            budget=budget - page_seconds(request, budget),
            strategy=request.strategy,
            threads=threads,
            jobs=request.jobs,
            fresh=request.is_fresh,
            save=request.saves,
            observe=observe,
            began=request.began,
        )
    return replace(found, budget=budget)


def page_seconds(request: Request, budget: float) -> float:
    """What is kept of the budget for a page; what is left of it decides whether limits are measured."""
    if request.report is None:
        return 0.0
    return min(PAGE_SECONDS, PAGE_SHARE * budget, max(0.0, budget - SHORTEST_BUDGET))


def tell(found: Tuning, request: Request, as_json: bool) -> int:
    """The result first; then the files, so that one that cannot be written takes nothing away."""
    if not as_json:
        print_tuning(found)
    written = [attempt(partial(write, path, text)) for path, text in files(found, request)]
    code = worst(each.exit_code for each in written if isinstance(each, Failure))
    if as_json:
        document("tune", code, tuning_document(found))
        return code
    for each in written:
        if not isinstance(each, Failure):
            results().print(f"written: {each}")
    return code


def files(found: Tuning, request: Request) -> Iterator[tuple[str, Callable[[], str]]]:
    """Where to, and what."""
    if request.report is not None:
        left = request.began + found.budget - monotonic()
        yield request.report, partial(tuned_page, found, measures=left > LIMITS_SECONDS)
    if request.t4 is not None:
        yield request.t4, partial(t4_text, found)


def t4_text(found: Tuning) -> str:
    records = default_records().of_spec(found.circumstances)
    return json.dumps(t4_document(records), indent=1, allow_nan=False) + "\n"


def write(path: str, text: Callable[[], str]) -> str:
    """Write a file; returns its path.

    Raises   InputError
    """
    content = text()
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def seconds_of(text: str) -> float:
    """Raises   InputError"""
    found = BUDGET.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(f"--budget {text[:32]!r} is no time: give seconds, as 90 or 90s, or 15m, or 2h")
    seconds = float(found[1]) * UNITS[found[2]]
    if seconds > LONGEST_BUDGET:
        raise InputError(f"--budget {text[:32]!r} is too long: {LONGEST_BUDGET / 3600:.0f}h is the most")
    return seconds
