"""The attention maps of heads side by side as one SVG that stands alone: no script, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from ..tuning.head_weights import HeadMap, Shades
from .markup import Element, element

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1c2330; } .title { font-size: 17px; font-weight: 600; }
.quiet { fill: #5a6475; } .back { fill: #fdfdfc; } .plane { fill: #eceef1; } .weight { fill: #2f6fb3; }
@media (prefers-color-scheme: dark) { text { fill: #e6e9ee; } .quiet { fill: #a3adbb; }
  .back { fill: #14171c; } .plane { fill: #262c35; } .weight { fill: #5b9be0; } }
"""
WIDTH = 840.0
MARGIN, GAP, LINE = 24.0, 22.0, 19.0
MOST_COLUMNS = 4
LEAST_HEIGHT, MOST_HEIGHT = 12.0, 600.0
SHADES = 12  # how finely weights are shown
LETTERS = 110  # of a line of text


@dataclass(frozen=True)
class Frame:
    """Where a map lies in the picture."""

    left: float
    top: float
    width: float
    height: float


def head_maps(name: str, maps: tuple[HeadMap, ...], notes: tuple[str, ...]) -> Element:
    """The picture, with the notes above the maps."""
    lines = [line for note in notes for line in wrap(note, LETTERS)]
    top = MARGIN + 14 + LINE * len(lines) + LINE
    frames = frames_of(maps, top)
    height = max((frame.top + frame.height for frame in frames), default=top) + MARGIN
    return element(
        "svg",
        element("title", f"The attention maps of {name}"),
        element("style", STYLE),
        element("rect", x=0, y=0, width=WIDTH, height=height, class_="back"),
        text(name, MARGIN, MARGIN + 8, "title"),
        (text(line, MARGIN, MARGIN + 14 + LINE * number) for number, line in enumerate(lines, start=1)),
        (part for each, frame in zip(maps, frames, strict=True) for part in one_map(each, frame)),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
    )


def frames_of(maps: tuple[HeadMap, ...], top: float) -> list[Frame]:
    """A frame for each map: rows of a few, all of one size."""
    if not maps:
        return []
    columns = min(len(maps), MOST_COLUMNS)
    queries, keys = maps[0].queries, maps[0].keys
    width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns
    height = min(max(width * queries / max(keys, 1), LEAST_HEIGHT), MOST_HEIGHT)
    places = (divmod(number, columns) for number in range(len(maps)))
    return [
        Frame(MARGIN + column * (width + GAP), top + LINE + row * (height + LINE + GAP), width, height)
        for row, column in places
    ]


def one_map(found: HeadMap, frame: Frame) -> Iterator[Element]:
    """The title of a head, and its weights: opacity is the root of a weight, so that small ones are seen."""
    last = found.first_query + found.queries - 1
    words = f"head {found.head}: queries {found.first_query} to {last}"
    yield text(words if frame.width > 200 else f"head {found.head}", frame.left, frame.top - 6, "quiet")
    yield element("rect", x=frame.left, y=frame.top, width=frame.width, height=frame.height, class_="plane")
    shades = found.shades(SHADES)
    for shade in range(1, SHADES + 1):
        path = "".join(runs(shades, shade, frame))
        if path:
            yield element("path", d=path, class_="weight", fill_opacity=shade / SHADES)


def runs(shades: Shades, shade: int, frame: Frame) -> Iterator[str]:
    """Neighbouring cells of a row that have the shade, as one outline."""
    for row, cells in enumerate(shades):
        top, bottom = (frame.top + frame.height * edge / len(shades) for edge in (row, row + 1))
        first = 0
        for look, group in groupby(cells):
            end = first + len(tuple(group))
            left, right = (frame.left + frame.width * edge / len(cells) for edge in (first, end))
            if look == shade:
                yield f"M{left:.2f} {top:.2f}H{right:.2f}V{bottom:.2f}H{left:.2f}Z"
            first = end


def text(words: str, x: float, y: float, kind: str = "label") -> Element:
    return element("text", words, x=x, y=y, class_=kind)
