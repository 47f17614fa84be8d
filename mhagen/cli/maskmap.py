"""A mask and its tiles as one SVG that stands alone: no network, no script, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from ..tuning.tiled import Rows, Tiled
from .markup import Element, element

# Colours stand here twice rather than in variables, which many viewers of pictures do not know.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1c2330; } .title { font-size: 17px; font-weight: 600; }
.quiet { fill: #5a6475; } .back { fill: #fdfdfc; } .plane { fill: #eceef1; }
.seen { fill: #2f6fb3; } .partial { fill: #f0a029; fill-opacity: .55; }
.needless { fill: #d42a3c; fill-opacity: .6; }
.line { stroke: #1c2330; stroke-opacity: .16; stroke-width: .5; fill: none; }
.task { stroke: #1c2330; stroke-opacity: .35; stroke-width: 1; fill: none; }
@media (prefers-color-scheme: dark) { text { fill: #e6e9ee; } .quiet { fill: #a3adbb; }
  .back { fill: #14171c; } .plane { fill: #262c35; } .seen { fill: #5b9be0; }
  .line, .task { stroke: #e6e9ee; } }
"""
PLANE = 680.0  # of the longer of queries and keys
LEAST_PLANE = 96.0
LEFT, RIGHT, TOP = 84.0, 24.0, 30.0
LINE = 19.0
LETTERS = 96  # of a line of text
MOST_TILES = 256  # that are drawn down and across: beyond, neighbours are drawn as one
LEAST_STEP = 5.0  # between lines that can still be told apart
BUCKETS = 5  # how finely shares are shown
TICKS = 4
ROOM = 200.0  # that ticks need for a word between them


@dataclass(frozen=True)
class Plane:
    """Where queries and keys lie in the picture."""

    left: float
    top: float
    width: float
    height: float
    queries: int
    keys: int

    def x(self, key: float) -> float:
        return self.left + self.width * min(key / self.keys, 1.0)

    def y(self, query: float) -> float:
        return self.top + self.height * min(query / self.queries, 1.0)


@dataclass(frozen=True)
class Run:
    """Neighbouring fields of a row that look alike: from and behind the last."""

    row: int
    first: int
    end: int
    look: int


def mask_map(found: Tiled, notes: tuple[str, ...]) -> str:
    """The picture, with the notes below it."""
    head = [found.spec.name, f"keep: {found.spec.way_of(found.head).mask.keep or 'every key'}"]
    lines = [line for note in notes for line in wrap(note, LETTERS)]
    top = TOP + LINE * len(wrap(head[1], LETTERS)) + 2 * LINE + 14
    plane = plane_of(found, top)
    bottom = plane.top + plane.height + 30
    height = bottom + 30 + LINE * len(lines) + 12
    width = LEFT + PLANE + RIGHT
    picture = element(
        "svg",
        element("title", f"The mask of {found.spec.name} and its tiles"),
        element("style", STYLE),
        element("rect", x=0, y=0, width=width, height=height, class_="back"),
        heading(head),
        element("rect", x=plane.left, y=plane.top, width=plane.width, height=plane.height, class_="plane"),
        seen_squares(found, plane),
        tiles(found, plane),
        grid(found, plane),
        ticks(found, plane),
        legend(bottom),
        (text(line, LEFT, bottom + 34 + LINE * number) for number, line in enumerate(lines)),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
    )
    return f"{picture}\n"


def plane_of(found: Tiled, top: float) -> Plane:
    queries, keys = found.shape.queries, found.shape.keys
    longer = max(queries, keys)
    width, height = (max(LEAST_PLANE, PLANE * length / longer) for length in (keys, queries))
    return Plane(LEFT, top, width, height, queries, keys)


def heading(lines: list[str]) -> Iterator[Element]:
    yield text(lines[0], LEFT, TOP, kind="title")
    for number, line in enumerate(wrap(lines[1], LETTERS), start=1):
        yield text(line, LEFT, TOP + LINE * number + 3, kind="quiet")


def seen_squares(found: Tiled, plane: Plane) -> Iterator[Element]:
    """The pairs that are seen, the paler the fewer of a square."""
    every = tuple(runs(found.shades(BUCKETS)))
    for bucket in range(1, BUCKETS + 1):
        path = outlines((run for run in every if run.look == bucket), plane, (found.side, found.side))
        if path:
            yield element("path", d=path, class_="seen", fill_opacity=bucket / BUCKETS)


def tiles(found: Tiled, plane: Plane) -> Iterator[Element]:
    """Those that are partial, over the pairs; in red those that need not be."""
    looks, size = found.looks(MOST_TILES)
    every = tuple(runs(looks))
    for look, kind in enumerate(("partial", "needless"), start=1):
        path = outlines((run for run in every if run.look == look), plane, size)
        if path:
            yield element("path", d=path, class_=kind)


def runs(rows: Rows) -> Iterator[Run]:
    for number, row in enumerate(rows):
        first = 0
        for look, fields in groupby(row):
            end = first + len(tuple(fields))
            yield Run(number, first, end, look)
            first = end


def outlines(found: Iterator[Run], plane: Plane, size: tuple[int, int]) -> str:
    return "".join(outline(run, plane, size) for run in found)


def outline(run: Run, plane: Plane, size: tuple[int, int]) -> str:
    left, right = plane.x(run.first * size[1]), plane.x(run.end * size[1])
    top, bottom = plane.y(run.row * size[0]), plane.y((run.row + 1) * size[0])
    return f"M{left:.2f} {top:.2f}H{right:.2f}V{bottom:.2f}H{left:.2f}Z"


def grid(found: Tiled, plane: Plane) -> Iterator[Element]:
    """Lines between tiles, and stronger ones between tasks and blocks; none where they would run together."""
    grid = found.grid
    for kind, queries, keys in (
        ("line", grid.tile_queries, grid.tile_keys),
        ("task", grid.task_queries, grid.block_keys),
    ):
        path = lines_across(plane, queries) + lines_down(plane, keys)
        if path:
            yield element("path", d=path, class_=kind)


def lines_across(plane: Plane, step: int) -> str:
    if plane.height * step / plane.queries < LEAST_STEP:
        return ""
    places = (plane.y(query) for query in range(step, plane.queries, step))
    return "".join(f"M{plane.left:.2f} {y:.2f}h{plane.width:.2f}" for y in places)


def lines_down(plane: Plane, step: int) -> str:
    if plane.width * step / plane.keys < LEAST_STEP:
        return ""
    places = (plane.x(key) for key in range(step, plane.keys, step))
    return "".join(f"M{x:.2f} {plane.top:.2f}v{plane.height:.2f}" for x in places)


def ticks(found: Tiled, plane: Plane) -> Iterator[Element]:
    """Positions of keys above the plane, and of queries at its left."""
    offset = found.shape.query_offset
    for number in range(TICKS + 1):
        key, query = plane.keys * number // TICKS, plane.queries * number // TICKS
        yield text(str(key), plane.x(key), plane.top - 8, "middle", "quiet")
        yield text(str(query + offset), plane.left - 8, plane.y(query) + 4, "end", "quiet")
    if plane.width >= ROOM:
        yield text("key", plane.x(plane.keys / 8), plane.top - 8, "middle", "quiet")
    if plane.height >= ROOM:
        yield text("query", plane.left - 8, plane.y(plane.queries / 8) + 4, "end", "quiet")


def legend(y: float) -> Iterator[Element]:
    names = {
        "seen": "seen",
        "plane": "hidden",
        "partial": "tile in part: masked pair by pair",
        "needless": "called partial without need",
    }
    x = LEFT
    for kind, name in names.items():
        yield element("rect", x=x, y=y - 10, width=13, height=13, rx=2, class_=kind)
        yield text(name, x + 19, y + 1)
        x += 19 + 7.2 * len(name) + 22


def text(words: str, x: float, y: float, anchor: str = "start", kind: str = "label") -> Element:
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=kind)
