"""What tuning gains, what it costs, and what an exhaustive search would have found.

    python benchmarks/tuning.py                                      some rows, float32 and bfloat16
    python benchmarks/tuning.py --rows P2,P5 --dtypes float32 --budget 60
    python benchmarks/tuning.py --exhaustive 600 --json tuning.json --markdown tuning.md

Each row is tuned from nothing: with an empty cache of kernels and without records. With --exhaustive SECONDS
the whole space is searched as well, in a cache of its own, where that much time lasts for it. At the end the
untuned schedule and both winners take turns in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mhagen.base.dtypes import DType
from mhagen.schedule.plan import Schedule
from mhagen.schedule.sight import Shape
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec
from mhagen.tuning.grid import Row, row_named
from mhagen.tuning.request import request_of
from mhagen.tuning.result import Tuning
from mhagen.tuning.surroundings import these_surroundings
from mhagen.tuning.timing import measure
from mhagen.tuning.trial import Call
from mhagen.tuning.tune import tune

ROWS = "P1,P2,P5,P6,P7"
COLUMNS = (
    "row",
    "dtype",
    "untuned",
    "tuned",
    "exhaustive",
    "tuned / untuned",
    "tuned / exhaustive",
    "searches",
)


@dataclass(frozen=True)
class Searched:
    """One search.  Units: seconds of wall time; candidates: tried, and in the space."""

    seconds: float
    candidates: int
    space: int
    end: str
    schedule: Schedule
    kept_default: bool
    reason: str


@dataclass(frozen=True)
class Line:
    """One row in one format.  Units: seconds of a call, medians of the same rounds; ratios are medians."""

    row: str
    dtype: str
    untuned: float
    tuned: float
    exhaustive: float | None
    tuned_ratio: float
    exhaustive_ratio: float | None
    search: Searched
    exhaustive_search: Searched | None


@contextmanager
def empty_cache() -> Iterator[None]:
    before = os.environ.get("MHAGEN_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MHAGEN_CACHE_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["MHAGEN_CACHE_DIR"]
            if before is not None:
                os.environ["MHAGEN_CACHE_DIR"] = before


def searched(found: Tuning) -> Searched:
    (outcome,) = found.outcomes
    return Searched(
        found.seconds,
        len(found.tried),
        found.space,
        found.end.value,
        outcome.schedule,
        outcome.kept_default,
        outcome.reason,
    )


def line_of(row: Row, dtype: DType, arguments: argparse.Namespace) -> Line:
    spec = load_spec(row.spec(dtype))
    call = Call(Shape(row.batch, row.queries, row.keys, row.keys - row.queries))
    common = {"shapes": [call.shape], "threads": 1}
    with empty_cache():
        found = tune(spec, budget=arguments.budget, strategy=arguments.strategy, **common)
    every = None
    if arguments.exhaustive > 0:
        with empty_cache():
            every = tune(spec, budget=arguments.exhaustive, strategy="exhaustive", **common)
    return compared(row, spec, call, found, every, arguments.seconds)


def compared(row: Row, spec: Spec, call: Call, found: Tuning, every: Tuning | None, seconds: float) -> Line:
    """The winners beside the default, in one process."""
    winners = [found.outcomes[0].schedule, *([] if every is None else [best_of(every)])]
    request = {
        **request_of(spec, found.target, (found.default, *winners), call),
        "seconds": seconds,
        "most_rounds": 101,
        "keeps_all": True,
    }
    rounds = measure(request)["seconds"]
    own = {number: [mine for mine, _ in pairs] for number, pairs in rounds.items()}
    return Line(
        row=row.name,
        dtype=spec.dtype.value,
        untuned=median(own["0"]),
        tuned=median(own["1"]),
        exhaustive=None if every is None else median(own["2"]),
        tuned_ratio=ratio(own["1"], own["0"]),
        exhaustive_ratio=None if every is None else ratio(own["1"], own["2"]),
        search=searched(found),
        exhaustive_search=None if every is None else searched(every),
    )


def best_of(every: Tuning) -> Schedule:
    """The fastest of all that were tried, confirmed or not: the bar is what was there to be found."""
    timed = [each for each in every.tried if each.ratio is not None]
    best = min(timed, key=lambda each: each.ratio or 0.0, default=None)
    return every.default if best is None or (best.ratio or 0.0) > 1 else best.trial.schedule


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    return median(a / b for a, b in zip(over, under, strict=True))


def cells(line: Line) -> tuple[str, ...]:
    every = line.exhaustive_search
    return (
        line.row,
        line.dtype,
        milliseconds(line.untuned),
        milliseconds(line.tuned),
        milliseconds(line.exhaustive),
        f"{line.tuned_ratio:.3f}",
        "-" if line.exhaustive_ratio is None else f"{line.exhaustive_ratio:.3f}",
        search_in_words(line.search) + ("" if every is None else f"; exhaustive {search_in_words(every)}"),
    )


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.3g} ms"


def search_in_words(search: Searched) -> str:
    return f"{search.candidates} of {search.space} in {search.seconds:.0f} s"


def markdown_line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def document(lines: Sequence[Line]) -> dict[str, Any]:
    return {"surroundings": asdict(these_surroundings()), "rows": [asdict(line) for line in lines]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", default=ROWS, help="of the grid: P1,P4")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of a search")
    parser.add_argument("--strategy", default="climb")
    parser.add_argument("--exhaustive", type=float, default=0.0, metavar="SECONDS", help="at most; 0: none")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the comparison at the end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write everything")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="where to write the table as well")
    arguments = parser.parse_args()
    table = [markdown_line(COLUMNS), markdown_line(["---"] * len(COLUMNS))]
    print("\n".join(table), flush=True)
    lines: list[Line] = []
    for name in arguments.rows.split(","):
        for dtype in map(DType, arguments.dtypes.split(",")):
            lines.append(line_of(row_named(name), dtype, arguments))
            table.append(markdown_line(cells(lines[-1])))
            print(table[-1], flush=True)
            if arguments.json is not None:  # what is measured stays, whatever comes later
                arguments.json.write_text(json.dumps(document(lines), indent=1, default=str))
    if arguments.markdown is not None:
        arguments.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
