"""`mhagen explain`: where the time of a spec's calls goes, and what the machine would allow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
from rich.text import Text

from ..base.errors import UnsupportedError
from ..schedule.sight import Shape
from ..tuning.explanation import Call, Explanation, explain
from . import quantities
from .disturbance import warn_if_disturbed
from .exits import Exit
from .explained import (
    cells,
    choice_in_words,
    explanation_document,
    limits_in_words,
    served_in_words,
    shape_text,
)
from .output import columns, document, heading, is_utf8, print_exactly, print_table, results
from .page import page
from .parts import PARTS, SMALLEST_SHARE
from .progress import doing
from .shapes import parse_shape

DEFAULT_SHAPES = ("b=1,q=1024,k=1024", "b=1,q=1,k=4096")
BAR = 40  # columns of a call's time, or a quarter of a narrow terminal


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it."""

    spec: str
    shapes: tuple[str, ...]
    threads: int
    measures: bool
    form: str
    out: str | None


def explain_spec(request: Request, as_json: bool) -> int:
    """Explain, as text, as a page or as one document."""
    if as_json and (request.form != "text" or request.out is not None):
        raise click.UsageError("--json is a form of its own: give neither --format nor --out with it.")
    shapes = [shape_of(text) for text in request.shapes or DEFAULT_SHAPES]
    if request.measures:
        warn_if_disturbed([request.threads])
    with doing(f"explaining {request.spec}"):
        found = explain(request.spec, shapes, threads=request.threads, measures=request.measures)
    if as_json:
        document("explain", Exit.GOOD, explanation_document(found))
    elif request.form == "html":
        write(page(found), request.out)
    elif request.out is not None:
        raise UnsupportedError("--out is for --format html: text goes to stdout")
    else:
        print_explanation(found)
    return Exit.GOOD


def shape_of(text: str) -> Shape:
    """The queries are the last positions, as bench has them.

    Raises   InputError
    """
    shape = parse_shape(text)
    return Shape(shape.batch, shape.queries, shape.keys, shape.keys - shape.queries)


def write(text: str, out: str | None) -> None:
    if out is None:
        print_exactly(text)
        return
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    results().print(f"written: {out}")


def print_explanation(found: Explanation) -> None:
    results().print(limits_in_words(found))
    if found.spec.projections is not None:
        results().print("Explained is attention(); the projections of layer() come on top of it.")
    print_calls(found)
    for call in found.calls:
        heading(f"where the time of {shape_text(call.shape)} goes, as modelled")
        print_parts(call)
    for choice in found.choices:
        heading(f"the schedule{served_in_words(found, choice)}, and why")
        table = columns("decision", "value", "reason")
        for decision in choice.decisions:
            table.add_row(decision.name, decision.value, decision.reason)
        print_table(table)
        results().print()
    results().print(choice_in_words(found))


def print_calls(found: Explanation) -> None:
    heading("the calls")
    table = columns(*(name for name, _ in cells(found, found.calls[0])))
    for call in found.calls:
        table.add_row(*(cell for _, cell in cells(found, call)))
    print_table(table)
    results().print()


def print_parts(call: Call) -> None:
    """A bar for each part, the longest as long as its share of the call."""
    sign, length = "█" if is_utf8() else "#", min(BAR, results().width // 4)
    table = columns("part", "time", "share", "", "what is in it")
    for part in PARTS:
        seconds = part.seconds(call.cost.parts)
        share = seconds / call.cost.seconds
        if share >= SMALLEST_SHARE:
            bar = Text(sign * round(share * length), part.colour)
            table.add_row(part.field, quantities.seconds(seconds), f"{share:.1%}", bar, part.meaning)
    print_table(table)
    results().print()
