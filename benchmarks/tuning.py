"""What tuning gains, what it costs, and what an exhaustive search would have found.

    python benchmarks/tuning.py --reduced                            12 minutes: five rows, both searches
    python benchmarks/tuning.py --rows P2:float32,P5:float32 --budget 60
    python benchmarks/tuning.py --reduced --json tuning.json --markdown tuning.md
    python benchmarks/tuning.py --reduced --blocks 256 --rows P4:float32      calls of half a second

Each row is tuned from nothing: with an empty cache of kernels and without records. With --reduced both
searches have a part of the space only, the same: first all of it is searched, in a cache of its own, then
`mhagen tune` gets a fifth of the time that this took. At the end the untuned module, the modules that users
get of both searches, and the fastest candidate of all, confirmed or not and alone in a module, take turns in
one process, in many placements of arrays.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from mhagen.base.dtypes import DType
from mhagen.schedule.plan import Schedule
from mhagen.schedule.sight import Shape
from mhagen.schedule.table import ScheduleTable
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec
from mhagen.tuning import campaign, search
from mhagen.tuning.candidates import Subject, decodes, neighbours, space
from mhagen.tuning.grid import Row, row_named
from mhagen.tuning.request import request_of
from mhagen.tuning.result import Tuning
from mhagen.tuning.surroundings import these_surroundings
from mhagen.tuning.timing import measure
from mhagen.tuning.trial import Call
from mhagen.tuning.tune import SHORTEST_BUDGET, tune
from mhagen.tuning.workshop import split

ROWS = "P2:float32,P5:float32,P9:float32,P1:bfloat16,P9:bfloat16"
REDUCED_BLOCKS = "128,256,512"  # with all tasks and tiles: 36 candidates
FIFTH = 0.2  # of the time of the exhaustive search
PLACEMENTS, ROUNDS = 12, 96
COLUMNS = (
    "row",
    "dtype",
    "untuned",
    "tuned",
    "exhaustive",
    "tuned / untuned",
    "tuned / exhaustive",
    "tuned / fastest candidate",
    "searches",
)


@dataclass(frozen=True)
class Searched:
    """One search.  Units: seconds and budget of wall time; candidates: tried, and in the space."""

    seconds: float
    budget: float
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
    fastest_ratio: float | None
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
        found.budget,
        len(found.tried),
        found.space,
        found.end.value,
        outcome.schedule,
        outcome.kept_default,
        outcome.reason,
    )


@contextmanager
def reduced_space(blocks: Sequence[int]) -> Iterator[None]:
    """A space in which a search of everything is affordable: for both searches, in this process.

    Units   blocks are the numbers of keys in a block that are searched
    """

    def is_inside(subject: Subject, call: Call, schedule: Schedule) -> bool:
        return decodes(call, schedule) or schedule.block_keys in blocks

    def part_of_space(subject: Subject, call: Call) -> tuple[Schedule, ...]:
        default, *others = space(subject, call)
        return (default, *(each for each in others if is_inside(subject, call, each)))

    def part_of_neighbours(subject: Subject, call: Call, schedule: Schedule) -> tuple[Schedule, ...]:
        inside = {subject.footprint(call, each) for each in part_of_space(subject, call)}
        near = neighbours(subject, call, schedule)
        return tuple(each for each in near if subject.footprint(call, each) in inside)

    with (
        patch.object(search, "space", part_of_space),
        patch.object(campaign, "space", part_of_space),
        patch.object(search, "neighbours", part_of_neighbours),
    ):
        yield


def line_of(row: Row, dtype: DType, arguments: argparse.Namespace) -> Line:
    spec = load_spec(row.spec(dtype))
    call = Call(Shape(row.batch, row.queries, row.keys, row.keys - row.queries))
    every, budget = None, arguments.budget
    blocks = tuple(map(int, arguments.blocks.split(",")))
    with reduced_space(blocks) if arguments.reduced else nullcontext():
        if arguments.reduced or arguments.exhaustive > 0:
            with empty_cache():
                every = tune(spec, [call.shape], budget=arguments.exhaustive or 600.0, strategy="exhaustive")
            budget = max(SHORTEST_BUDGET, FIFTH * every.seconds)
        with empty_cache():
            found = tune(spec, [call.shape], budget=budget, strategy=arguments.strategy)
    return compared(row, spec, call, found, every, arguments.seconds)


def compared(row: Row, spec: Spec, call: Call, found: Tuning, every: Tuning | None, seconds: float) -> Line:
    """What both searches have found beside the untuned module, in one process."""
    tables = (found.table, *(() if every is None else (every.table, ScheduleTable.of(best_of(every)))))
    request = {
        **request_of(spec, found.target, (found.default,), call, tables),
        "seconds": seconds,
        "most_rounds": ROUNDS,
        "placements": PLACEMENTS,
    }
    timed = measure(request)
    own = {
        number: [median(each) for each in split([mine for mine, _ in pairs], timed["placements"])]
        for number, pairs in timed["seconds"].items()
    }
    return Line(
        row=row.name,
        dtype=spec.dtype.value,
        untuned=median(own["0"]),
        tuned=median(own["1"]),
        exhaustive=None if every is None else median(own["2"]),
        tuned_ratio=ratio(own["1"], own["0"]),
        exhaustive_ratio=None if every is None else ratio(own["1"], own["2"]),
        fastest_ratio=None if every is None else ratio(own["1"], own["3"]),
        search=searched(found),
        exhaustive_search=None if every is None else searched(every),
    )


def best_of(every: Tuning) -> Schedule:
    """The fastest of all that were tried, confirmed or not."""
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
        "-" if line.fastest_ratio is None else f"{line.fastest_ratio:.3f}",
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
    parser.add_argument(
        "--rows", default=ROWS, help="of the grid, each with its format: P1:float32,P4:float32"
    )
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of a search; else a fifth")
    parser.add_argument("--reduced", action="store_true", help="search a part of the space, and all of that")
    parser.add_argument("--blocks", default=REDUCED_BLOCKS, help="of keys, in that part")
    parser.add_argument("--strategy", default="climb")
    parser.add_argument(
        "--exhaustive", type=float, default=0.0, metavar="SECONDS", help="also search everything"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of the comparison at the end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write everything")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="where to write the table as well")
    arguments = parser.parse_args()
    table = [markdown_line(COLUMNS), markdown_line(["---"] * len(COLUMNS))]
    print("\n".join(table), flush=True)
    lines: list[Line] = []
    for each in arguments.rows.split(","):
        name, _, dtype = each.partition(":")
        lines.append(line_of(row_named(name), DType(dtype or "float32"), arguments))
        table.append(markdown_line(cells(lines[-1])))
        print(table[-1], flush=True)
        if arguments.json is not None:  # what is measured stays, whatever comes later
            arguments.json.write_text(json.dumps(document(lines), indent=1, default=str))
    if arguments.markdown is not None:
        arguments.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
