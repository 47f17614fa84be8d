"""An explanation as one HTML page that stands alone: no network, no script, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..spec.model import Spec
from ..tuning.explanation import Call, Choice, Explanation
from .explained import cells, choice_in_words, limits_in_words, served_in_words, shape_text
from .markup import Child, Element, element
from .parts import PARTS, SMALLEST_SHARE, Part
from .quantities import seconds as seconds_text
from .roofline import roofline
from .timebar import time_bar

STYLE = """
:root { color-scheme: light dark; --back: #fdfdfc; --text: #1c2330; --quiet: #5a6475; --line: #d9dde3;
  --box: #f3f4f6; --ceiling: #1c2330; --dot: #c2410c; --ring: #2563a8; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --text: #e6e9ee; --quiet: #a3adbb;
  --line: #333a45; --box: #1d222a; --ceiling: #e6e9ee; --dot: #fb923c; --ring: #7cb4f0; } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 3rem; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; font-weight: 600; } p { margin: .4rem 0; }
.quiet { color: var(--quiet); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--quiet); font-weight: 600; } td:first-child, .calls td { white-space: nowrap; }
.parts td { white-space: nowrap; font-variant-numeric: tabular-nums; }
.parts td:nth-child(2) { white-space: normal; min-width: 13rem; } td span.quiet { display: block; }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .5rem;
  vertical-align: -.1rem; }
svg { width: 100%; height: auto; display: block; } svg text { font: 12px system-ui, sans-serif;
  fill: var(--text); }
svg .tick, svg .axis { fill: var(--quiet); } svg .name, svg .label { font-size: 13px; }
svg .name { font-weight: 600; }
svg .label { paint-order: stroke; stroke: var(--back); stroke-width: 4px; stroke-linejoin: round; }
.grid { stroke: var(--line); stroke-width: 1; }
.ceiling { fill: none; stroke: var(--ceiling); stroke-width: 2.5; stroke-linejoin: round; }
.dot { fill: var(--dot); } .ring { fill: none; stroke: var(--ring); stroke-width: 2; }
.between { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 2 2; }
.limit { stroke: var(--text); stroke-width: 2; stroke-dasharray: 4 3; } svg .inside { fill: #fff; }
.measured { fill: var(--dot); }
"""


def page(found: Explanation) -> str:
    """The whole page."""
    return whole_page(f"{found.spec.name}: where the time goes", content(found))


def whole_page(title: str, body: Iterable[Element], style: str = "") -> str:
    """A page of its own, in the one style of all; `style` is added to it."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", STYLE + style),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang='en')}\n"


def content(found: Explanation) -> Iterator[Element]:
    yield element("h1", found.spec.name)
    yield element("p", subject(found.spec), class_="quiet")
    yield element("p", limits_in_words(found))
    yield element("h2", "What the machine allows, and where the calls stand")
    yield element("div", roofline(found), class_="scroll")
    yield element("p", legend(found), class_="quiet")
    yield element("div", calls_table(found), class_="scroll")
    yield element("h2", "Where the time goes")
    for call in found.calls:
        yield element("h3", shape_text(call.shape))
        yield time_bar(call)
    yield element("div", parts_table(found), class_="scroll")
    for choice in found.choices:
        yield element("h2", f"The schedule{served_in_words(found, choice)}, and why")
        yield element("div", decisions_table(choice), class_="scroll")
    yield element("p", choice_in_words(found))


def subject(spec: Spec) -> str:
    """The spec in a line."""
    heads = spec.heads
    parts = [f"{heads.query} query heads on {heads.key_value}", f"dim {heads.dim}"]
    if heads.value_dim != heads.dim:
        parts.append(f"value dim {heads.value_dim}")
    if spec.scores.modify is not None:
        parts.append(f"score = {spec.scores.modify}")
    if spec.mask.keep is not None:
        parts.append(f"keep {spec.mask.keep}")
    if spec.groups:
        parts.append(f"{len(spec.groups)} groups of heads that differ")
    if spec.heads.pruned:
        parts.append(f"{len(spec.heads.pruned)} heads pruned")
    return ", ".join(parts)


def legend(found: Explanation) -> str:
    rings = "Rings: what the model predicts."
    return f"Dots: measured, the median. {rings}" if found.is_measured else f"{rings} Nothing was measured."


def calls_table(found: Explanation) -> Element:
    rows = [tuple(cells(found, call)) for call in found.calls]
    return table([name for name, _ in rows[0]], ([cell for _, cell in row] for row in rows), class_="calls")


def parts_table(found: Explanation) -> Element:
    """The parts of all calls; those that no call has are left out."""
    shown = [part for part in PARTS if any(share(part, call) >= SMALLEST_SHARE for call in found.calls)]
    names = ["part", "what is in it", *(shape_text(call.shape) for call in found.calls)]
    return table(names, (part_row(part, found) for part in shown), class_="parts")


def part_row(part: Part, found: Explanation) -> Iterator[Child]:
    swatch = element("span", class_="swatch", style=f"background: {part.colour}")
    yield element("span", swatch, part.field)
    yield part.meaning
    for call in found.calls:
        yield element("span", part_time(part, call))


def part_time(part: Part, call: Call) -> Iterator[Child]:
    if share(part, call) < SMALLEST_SHARE:
        yield "none"
    else:
        yield seconds_text(part.seconds(call.cost.parts))
        yield element("span", f"{share(part, call):.1%}", class_="quiet")


def share(part: Part, call: Call) -> float:
    return part.seconds(call.cost.parts) / call.cost.seconds


def decisions_table(choice: Choice) -> Element:
    rows = ([decision.name, decision.value, decision.reason] for decision in choice.decisions)
    return table(["decision", "value", "reason"], rows)


def table(names: Iterable[str], rows: Iterable[Iterable[Child]], **attributes: str) -> Element:
    """A table with these headings."""
    head = element("thead", element("tr", (element("th", name) for name in names)))
    body = element("tbody", (element("tr", (element("td", cell) for cell in row)) for row in rows))
    return element("table", head, body, **attributes)
