"""What tuning has found as one HTML page that stands alone: no network, no script, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..runtime.host import host_target
from ..tuning.explanation import Explanation, explain
from ..tuning.result import HEADS, Outcome, Tried, Tuning
from .explained import limits_in_words
from .markup import Element, element
from .page import subject, table, whole_page
from .quantities import seconds
from .roofline import roofline
from .scatter import scatter
from .sensitivity import sensitivities
from .tuned import changes, legend

STYLE = """
.candidate { fill: var(--dot); fill-opacity: .55; }
.best { fill: none; stroke: var(--ring); stroke-width: 2; stroke-linejoin: round; }
svg.scatter { max-width: 44rem; } .small { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; }
svg.sensitivity { width: 17rem; } .candidates td { font-variant-numeric: tabular-nums; }
"""
LINE = "Dots: candidates. The line joins the fastest with each size, whatever its other sizes are."
CHANGED = "what differs from the default"


def tuned_page(found: Tuning, measures: bool = True) -> str:
    """The whole page. The limits of the machine are measured for it, where this is what was tuned for."""
    is_here = found.target == host_target(found.spec.dtype.value)
    return whole_page(f"{found.spec.name}: tuned", content(found, measures and is_here), STYLE)


def content(found: Tuning, measures: bool) -> Iterator[Element]:
    yield element("h1", found.spec.name)
    yield element("p", subject(found.spec), class_="quiet")
    yield element("p", f"{found.headline}.")
    yield element("div", table(HEADS, found.rows(), class_="calls"), class_="scroll")
    yield from (element("p", f"In a cell, {line}.", class_="quiet") for line in legend(found))
    yield element("ul", (element("li", remark) for remark in found.remarks))
    yield element("h2", "Which calls are served by which schedule")
    yield element("div", table_of_ranges(found), class_="scroll")
    yield element("h2", "What the machine allows, and where the calls stand")
    for threads in dict.fromkeys(outcome.call.threads for outcome in found.outcomes):
        yield from place_on_roofline(found, threads, measures)
    for outcome in found.outcomes:
        yield from section(found, outcome)


def table_of_ranges(found: Tuning) -> Element:
    names = ["all calls"] if found.table.is_one else [str(entry.range) for entry in found.table.entries]
    rows = (
        [name, changes(found.default, entry.schedule)]
        for name, entry in zip(names, found.table.entries, strict=True)
    )
    return table(["calls", CHANGED], rows)


def place_on_roofline(found: Tuning, threads: int, measures: bool) -> Iterator[Element]:
    """Where the chosen schedules stand. Of a layer the attention alone can be shown, as it is modelled."""
    placed = explained(found, threads, measures)
    yield element("p", limits_in_words(placed), class_="quiet")
    yield element("div", roofline(placed), class_="scroll")
    yield element("p", points_in_words(placed, found.spec.projections is not None), class_="quiet")


def points_in_words(placed: Explanation, is_layer: bool) -> str:
    rings = "Rings: what the model says of the chosen schedule."
    if any(call.measured is not None for call in placed.calls):
        return f"Dots: measured, with the chosen schedule. {rings}"
    if is_layer:
        return f"{rings} They are of the attention alone, which was not timed apart from the products."
    return f"{rings} How long it takes was not measured."


def explained(found: Tuning, threads: int, measures: bool) -> Explanation:
    """The calls on so many threads, with the table that was found."""
    outcomes = [outcome for outcome in found.outcomes if outcome.call.threads == threads]
    measured = {outcome.call.shape: chosen_seconds(outcome) for outcome in outcomes}
    plain = explain(
        found.spec,
        tuple(measured),
        threads=threads,
        measures=measures,
        times_calls=False,
        target=found.target,
        tune=found.table,
    )
    if found.spec.projections is not None:
        return plain
    calls = tuple(replace(call, measured=measured[call.shape]) for call in plain.calls)
    return replace(plain, calls=calls)


def chosen_seconds(outcome: Outcome) -> float | None:
    return outcome.default_seconds if outcome.kept_default else outcome.seconds


def section(found: Tuning, outcome: Outcome) -> Iterator[Element]:
    """One call: its candidates as points, by their sizes, and as a table."""
    tried = [each for each in found.tried if each.trial.call == outcome.call]
    yield element("h2", str(outcome.call))
    yield element("p", f"{outcome.reason}.")
    if any(each.seconds is not None for each in tried):
        yield element("h3", "Candidates, measured and modelled")
        yield element("div", scatter(outcome, tried), class_="scroll")
        yield element("h3", "What each size matters: time over the default's")
        yield element("p", LINE, class_="quiet")
        yield element("div", sensitivities(tried), class_="small")
    if tried:
        yield element("h3", "All candidates, the fastest first")
        yield element("div", candidates_table(found, tried), class_="scroll")


def candidates_table(found: Tuning, tried: list[Tried]) -> Element:
    ordered = sorted(tried, key=lambda each: (each.ratio is None, each.ratio or 0.0))
    return table(
        ["ratio", "measured", "modelled", "verdict", CHANGED],
        (candidate_cells(found, each) for each in ordered),
        class_="candidates",
    )


def candidate_cells(found: Tuning, each: Tried) -> tuple[str, ...]:
    verdict = f"{each.verdict.value}, from the records" if each.is_recalled else each.verdict.value
    return (
        "-" if each.ratio is None else f"{each.ratio:.3f}",
        "-" if each.seconds is None else seconds(each.seconds),
        seconds(each.modelled),
        f"{verdict}: {each.detail}" if each.detail else verdict,
        changes(found.default, each.trial.schedule),
    )
