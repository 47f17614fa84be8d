"""The measures of heads as bars: a panel for each method, a line for each head, pruned ones hollow."""

from __future__ import annotations

from collections.abc import Iterator

from ..pruning.methods import Method
from ..pruning.result import Pruning
from .markup import Element, element
from .roofline import text

LEFT, TOP, BOTTOM = 84.0, 58.0, 14.0
PANEL, GAP = 128.0, 22.0
LINE, BAR, BETWEEN_LAYERS = 14.0, 10.0, 8.0
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #333; }
.title { font-size: 14px; font-weight: 600; }
.name { font-weight: 600; }
.bar { fill: #4477aa; stroke: #4477aa; }
.pruned { fill: #ffffff; stroke: #cc6677; }
.base { stroke: #bbbbbb; }
"""


def head_bars(found: Pruning) -> Element:
    """The picture. Bars of a panel are as long as the measure is, the longest as wide as the panel."""
    places = tuple(lines(found))
    height = places[-1][2] + LINE + BOTTOM
    width = LEFT + len(Method) * (PANEL + GAP)
    return element(
        "svg",
        element("title", found.headline),
        element("style", STYLE),
        text(found.headline, 12.0, 22.0, "start", "title"),
        (text(label(found, layer, head), LEFT - 8, y + BAR - 1, "end", "head") for layer, head, y in places),
        *(panel(found, method, number, places) for number, method in enumerate(Method)),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
    )


def lines(found: Pruning) -> Iterator[tuple[int, int, float]]:
    """Each head, and how far down its line is."""
    y = TOP
    for layer, row in enumerate(found.measures[found.by]):
        for head in range(len(row)):
            yield layer, head, y
            y += LINE
        y += BETWEEN_LAYERS


def label(found: Pruning, layer: int, head: int) -> str:
    return f"head {head}" if len(found.measures[found.by]) == 1 else f"{layer} : {head}"


def panel(
    found: Pruning, method: Method, number: int, places: tuple[tuple[int, int, float], ...]
) -> Iterator[Element]:
    x = LEFT + number * (PANEL + GAP)
    rows = found.measures[method]
    greatest = max((value for row in rows for value in row if value is not None), default=0.0) or 1.0
    yield text(method.value, x, TOP - 10, "start", "name" if method is found.by else "method")
    yield element("line", x1=x, x2=x, y1=TOP - 2, y2=places[-1][2] + LINE, class_="base")
    for layer, head, y in places:
        value = rows[layer][head]
        if value is not None:
            is_pruned = bool(found.layers) and head in found.layers[layer].pruned
            title = element("title", f"layer {layer}, head {head}: {method.value} {value:.4g}")
            kind = "pruned" if is_pruned else "bar"
            length = PANEL * value / greatest
            yield element("rect", title, x=x, y=y, width=length, height=BAR, class_=kind)
