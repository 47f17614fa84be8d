"""Every candidate of a call as a point: how long it takes, over how long the model says it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..tuning.result import Outcome, Tried
from .markup import Element, element
from .quantities import seconds
from .roofline import Axis, text

WIDTH, HEIGHT = 620.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 84.0, 24.0, 24.0, 58.0
ROOM = 1.06  # by how much the axes go on behind the outermost points
DOT = 4.5


def scatter(outcome: Outcome, tried: Sequence[Tried]) -> Element:
    """The picture; what failed is not in it. Points on the line are as fast as modelled."""
    timed = [each for each in tried if each.seconds is not None]
    across, up = axes(outcome, timed)
    return element(
        "svg",
        element("title", f"Measured over modelled, {outcome.call}"),
        frame(across, up),
        (point(each, across, up) for each in timed),
        marks(outcome, timed, across, up),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        class_="scatter",
    )


def axes(outcome: Outcome, timed: Sequence[Tried]) -> tuple[Axis, Axis]:
    modelled = [each.modelled for each in timed]
    measured = [each.seconds for each in timed if each.seconds is not None]
    if outcome.default_seconds is not None:
        measured.append(outcome.default_seconds)
    across = Axis(min(modelled) / ROOM, max(modelled) * ROOM, LEFT, WIDTH - RIGHT)
    return across, Axis(min(measured) / ROOM, max(measured) * ROOM, HEIGHT - BOTTOM, TOP)


def frame(across: Axis, up: Axis) -> Iterator[Element]:
    for tick in steps(across):
        x = across.at(tick)
        yield element("line", x1=x, x2=x, y1=up.start, y2=up.end, class_="grid")
        yield text(seconds(tick), x, up.start + 18, "middle", "tick")
    for tick in steps(up):
        y = up.at(tick)
        yield element("line", x1=across.start, x2=across.end, y1=y, y2=y, class_="grid")
        yield text(seconds(tick), across.start - 8, y + 4, "end", "tick")
    yield text("modelled", (across.start + across.end) / 2, HEIGHT - 14, "middle", "axis")
    yield text("measured", across.start - 8, up.end - 10, "end", "axis")
    low, high = max(across.low, up.low), min(across.high, up.high)
    if low < high:  # the line where both are equal
        yield element(
            "line", x1=across.at(low), y1=up.at(low), x2=across.at(high), y2=up.at(high), class_="between"
        )


def steps(axis: Axis, count: int = 4) -> Iterator[float]:
    """So many values, evenly spread over an axis of logarithms."""
    for step in range(count + 1):
        yield axis.low * (axis.high / axis.low) ** (step / count)


def point(each: Tried, across: Axis, up: Axis) -> Element:
    assert each.seconds is not None
    title = f"{seconds(each.seconds)}, modelled {seconds(each.modelled)}: {each.trial.schedule}"
    dot = element("title", title)
    return element(
        "circle", dot, cx=across.at(each.modelled), cy=up.at(each.seconds), r=DOT, class_="candidate"
    )


def marks(outcome: Outcome, timed: Sequence[Tried], across: Axis, up: Axis) -> Iterator[Element]:
    """The default's time as a line, and a ring around the schedule that was chosen."""
    if outcome.default_seconds is not None:
        y = up.at(outcome.default_seconds)
        yield element("line", x1=across.start, x2=across.end, y1=y, y2=y, class_="limit")
        yield text("default", across.end, y - 6, "end", "name")
    for each in timed:
        if each.trial.schedule == outcome.schedule and not outcome.kept_default:
            assert each.seconds is not None
            x, y = across.at(each.modelled), up.at(each.seconds)
            yield element("circle", cx=x, cy=y, r=DOT + 4, class_="ring")
            is_left = x < (across.start + across.end) / 2
            side = DOT + 8 if is_left else -DOT - 8
            yield text("chosen", x + side, y + 4, "start" if is_left else "end", "label")
