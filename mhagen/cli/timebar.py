"""The time of a call as a picture: its parts in a row, what was measured, and what the machine allows."""

from __future__ import annotations

from collections.abc import Iterator

from ..tuning.explanation import Call
from .markup import Element, element
from .parts import PARTS
from .quantities import seconds

WIDTH, HEIGHT = 860.0, 92.0
LEFT, RIGHT = 84.0, 24.0
BAR, THIN = 30.0, 12.0
TOP = 22.0
LETTER = 7.2  # of a label, on average: one that does not fit is left out, and its colour is in the table


def time_bar(call: Call) -> Element:
    """Two bars on one scale."""
    longest = max(call.cost.seconds, call.seconds, call.limit)
    scale = (WIDTH - LEFT - RIGHT) / longest
    return element(
        "svg",
        element("title", f"modelled {seconds(call.cost.seconds)}"),
        modelled(call, scale),
        measured(call, scale),
        limit(call, scale),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
    )


def modelled(call: Call, scale: float) -> Iterator[Element]:
    yield beside("modelled", TOP + BAR / 2)
    x = LEFT
    for part in PARTS:
        width = part.seconds(call.cost.parts) * scale
        if width <= 0:
            continue
        title = f"{part.field}: {seconds(part.seconds(call.cost.parts))}"
        box = element("rect", element("title", title), x=x, y=TOP, width=width, height=BAR, fill=part.colour)
        yield box
        if width > LETTER * len(part.field) + 6:
            middle, line = x + width / 2, TOP + BAR / 2 + 4
            yield element("text", part.field, x=middle, y=line, text_anchor="middle", class_="inside")
        x += width


def measured(call: Call, scale: float) -> Iterator[Element]:
    y = TOP + BAR + 4
    yield beside("measured", y + THIN / 2)
    if call.measured is None:
        yield element("text", "no", x=LEFT, y=y + THIN - 2, class_="tick")
    else:
        yield element("rect", x=LEFT, y=y, width=call.measured * scale, height=THIN, class_="measured")


def limit(call: Call, scale: float) -> Iterator[Element]:
    """A line where the call would end if nothing but the roofline held it."""
    x, bottom = LEFT + call.limit * scale, TOP + BAR + THIN + 8
    yield element("line", x1=x, x2=x, y1=TOP - 6, y2=bottom, class_="limit")
    words = f"limit {seconds(call.limit)}"
    is_left = x < LEFT + 60
    yield element(
        "text", words, x=x if not is_left else LEFT, y=TOP - 10, text_anchor="start" if is_left else "end"
    )
    times = f"modelled {seconds(call.cost.seconds)}"
    if call.measured is not None:
        times += f", measured {seconds(call.measured)}"
    yield element("text", times, x=LEFT, y=HEIGHT - 6, class_="tick")


def beside(word: str, y: float) -> Element:
    return element("text", word, x=LEFT - 8, y=y + 4, text_anchor="end", class_="tick")
