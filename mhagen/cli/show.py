"""`mhagen show`: a spec, and every value on its way to a kernel."""

from __future__ import annotations

import ast
import re
from dataclasses import fields

import click

from ..backend import cpu
from ..base.spelling import did_you_mean
from ..base.target import target_named
from ..ir.graph import Graph
from ..ir.program import build_program
from ..ir.text import print_graph
from ..passes import PASSES, run_passes
from ..pipeline import compile_to_source
from ..spec.load import load_spec
from ..spec.model import Spec
from ..tuning.coverage import require_head
from ..tuning.explanation import explain
from .exits import Exit
from .explain import DEFAULT_SHAPES, shape_of
from .mermaid import print_mermaid
from .output import columns, heading, is_utf8, print_exactly, print_table, results
from .page import page
from .picture import ASCII, UNICODE, mask_picture
from .resolved import describe

NAIVE = "build_graph"
GRAPHS = (NAIVE, *(stage.name for stage in PASSES))
STAGES = ("spec", *GRAPHS, "schedule", "source")


def show_spec(path: str, stage: str | None, form: str, target: str | None, head: int | None) -> int:
    """Show one stage, or all that fits on a page or two; the mask is that of a head."""
    require_stage(stage, form)
    if target is not None and (form == "mermaid" or stage in ("spec", *GRAPHS)):
        raise click.UsageError("specs and graphs are of no target: leave --target out.")
    if head is not None and (form != "text" or stage not in (None, "spec")):
        raise click.UsageError("--head is for pictures of the mask: text, alone or --after spec, and svg.")
    spec = load_spec(path)
    head = 0 if head is None else head
    require_head(spec, head)
    if form == "html":
        print_exactly(modelled_page(path, target))
    elif form == "mermaid":
        print_exactly(print_mermaid(graph_after(spec, GRAPHS[-1] if stage is None else stage)))
    elif stage is None:
        show_all(spec, head, source_of(path, target))
    else:
        show_stage(path, spec, head, stage, target)
    return Exit.GOOD


def require_stage(stage: str | None, form: str) -> None:
    """Refuse a stage that there is not, or that has no such form."""
    if stage is not None and stage not in STAGES:
        guess = did_you_mean(stage, STAGES)
        raise click.UsageError(f"{stage!r} is none of {', '.join(STAGES)}; {guess}".rstrip("; "))
    if form == "html" and stage is not None:
        raise click.UsageError("html shows the kernel as a whole: leave --after out.")
    if form == "mermaid" and stage is not None and stage not in GRAPHS:
        raise click.UsageError(f"{stage!r} is not a graph; mermaid shows one of: {', '.join(GRAPHS)}.")


def show_stage(path: str, spec: Spec, head: int, stage: str, target: str | None) -> None:
    match stage:
        case "spec":
            show_resolved(spec, head)
        case "schedule":
            show_schedule(source_of(path, target))
        case "source":
            print_exactly(source_of(path, target).text)
        case _:
            print_exactly(print_graph(graph_after(spec, stage)))


def show_all(spec: Spec, head: int, source: cpu.Source) -> None:
    heading("spec")
    show_resolved(spec, head)
    heading(f"{NAIVE}: one op for each step of the mathematics")
    results().print(print_graph(graph_after(spec, NAIVE)))
    heading("passes, in their order")
    show_passes(spec)
    heading(f"{GRAPHS[-1]}: what is left after all passes")
    results().print(print_graph(graph_after(spec, GRAPHS[-1])))
    heading(f"schedule for {source.target.name}")
    show_schedule(source)


def show_resolved(spec: Spec, head: int) -> None:
    results().print(describe(spec))
    picture = mask_picture(spec, head, UNICODE if is_utf8() else ASCII)
    results().print(f"\n{picture}\n" if picture else "")


def show_passes(spec: Spec) -> None:
    table = columns("pass", "ops", "reason for its place")
    before = graph_after(spec, NAIVE)
    table.add_row(NAIVE, str(len(before.nodes)), "")
    for stage in PASSES:
        after = graph_after(spec, stage.name)
        table.add_row(stage.name, "as before" if after == before else str(len(after.nodes)), stage.reason)
        before = after
    print_table(table)
    results().print()


def show_schedule(source: cpu.Source) -> None:
    """The schedule in the words of the module it shapes, then its numbers."""
    words = re.search(r"(?ms)^Schedule: .*?(?=\n\n)", ast.get_docstring(ast.parse(source.text)) or "")
    if words is not None:
        results().print(words.group(), end="\n\n")
    table = columns("size", "value")
    for field in fields(source.schedule):
        table.add_row(field.name, str(getattr(source.schedule, field.name)))
    print_table(table)


def graph_after(spec: Spec, stage: str) -> Graph:
    """The graph that a stage leaves; later passes do not run, so a mistake in one does not matter."""
    return run_passes(build_program(spec).main, PASSES[: GRAPHS.index(stage)])


def modelled_page(path: str, target: str | None) -> str:
    """What `mhagen explain` shows of the default calls, with nothing measured: the same page every time."""
    shapes = [shape_of(text) for text in DEFAULT_SHAPES]
    chosen = None if target is None else target_named(target)
    return page(explain(path, shapes, measures=False, target=chosen))


def source_of(path: str, target: str | None) -> cpu.Source:
    """What a build of the file gives, schedules beside it included."""
    return compile_to_source(path, target=None if target is None else target_named(target))[-1]
