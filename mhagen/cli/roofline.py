"""The roofline of an explanation as a picture: what the machine allows, and where calls stand below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import atan2, ceil, degrees, floor, log10

from ..tuning.explanation import Call, Explanation
from .markup import Element, element
from .quantities import giga

WIDTH, HEIGHT = 860.0, 440.0
LEFT, RIGHT, TOP, BOTTOM = 84.0, 24.0, 30.0, 58.0
DOT = 5.5
LINE = 15.0  # between the baselines of labels
MINOR = (2.0, 5.0)
ROOM = 1.8  # by how much the axes go on behind the outermost points


@dataclass(frozen=True)
class Axis:
    """Numbers from low to high, by their logarithms, on a line from start to end."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Powers of ten, and 2 and 5 times these where there are few."""
        powers = [10.0**power for power in range(floor(log10(self.low)), ceil(log10(self.high)) + 1)]
        factors = (1.0, *MINOR) if len(powers) < 5 else (1.0,)
        every = (power * factor for power in powers for factor in factors)
        return tuple(tick for tick in every if self.low <= tick <= self.high)


@dataclass(frozen=True)
class Label:
    """A text beside a point, and where its baseline is."""

    text: str
    x: float
    y: float
    anchor: str


def roofline(explanation: Explanation) -> Element:
    """The picture: operations a second over operations for each byte, both by their logarithms."""
    across, up = axes(explanation)
    return element(
        "svg",
        element("title", f"Roofline of {explanation.spec.name}"),
        grid(across, up),
        ceilings(explanation, across, up),
        points(explanation.calls, across, up),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        class_="roofline",
    )


def axes(explanation: Explanation) -> tuple[Axis, Axis]:
    calls = explanation.calls
    intensities = [call.cost.intensity for call in calls] + [explanation.ridge]
    rates = [call.rate for call in calls] + [call.cost.operations / call.cost.seconds for call in calls]
    across = Axis(min(intensities) / ROOM**2, max(intensities) * ROOM**2, LEFT, WIDTH - RIGHT)
    low = min(*rates, explanation.peak / 10) / ROOM
    return across, Axis(low, explanation.peak * ROOM, HEIGHT - BOTTOM, TOP)


def grid(across: Axis, up: Axis) -> Iterator[Element]:
    for tick in across.ticks:
        x = across.at(tick)
        yield element("line", x1=x, x2=x, y1=up.start, y2=up.end, class_="grid")
        yield text(f"{tick:g}", x, up.start + 18, "middle", "tick")
    for tick in up.ticks:
        y = up.at(tick)
        yield element("line", x1=across.start, x2=across.end, y1=y, y2=y, class_="grid")
        yield text(f"{tick / 1e9:g}", across.start - 8, y + 4, "end", "tick")
    middle = (across.start + across.end) / 2
    yield text("operations for each byte of the arrays", middle, HEIGHT - 14, "middle", "axis")
    yield text("GFLOP/s", across.start - 8, up.end - 12, "end", "axis")


def ceilings(explanation: Explanation, across: Axis, up: Axis) -> Iterator[Element]:
    """The line of what reading allows, up to the line of what arithmetic allows."""
    bandwidth, peak, ridge = explanation.machine.read_bandwidth, explanation.peak, explanation.ridge
    first = max(across.low, up.low / bandwidth)
    corners = ((first, first * bandwidth), (ridge, peak), (across.high, peak))
    path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in corners)
    yield element("polyline", points=path, class_="ceiling")
    yield text(f"multiply-add peak {giga(peak, 'GFLOP/s')}", across.end, up.at(peak) - 8, "end", "name")
    yield slanted(f"read bandwidth {giga(bandwidth, 'GB/s')}", corners[0], corners[1], across, up)


def slanted(
    words: str, first: tuple[float, float], last: tuple[float, float], across: Axis, up: Axis
) -> Element:
    """A text along a line, above its middle."""
    x1, y1, x2, y2 = across.at(first[0]), up.at(first[1]), across.at(last[0]), up.at(last[1])
    angle = degrees(atan2(y2 - y1, x2 - x1))
    turned = f"translate({(x1 + x2) / 2:.1f} {(y1 + y2) / 2:.1f}) rotate({angle:.1f})"
    return element("text", words, x=0.0, y=-8.0, text_anchor="middle", class_="name", transform=turned)


def points(calls: Sequence[Call], across: Axis, up: Axis) -> Iterator[Element]:
    """For each call a dot where it was measured, and a ring where the model has it."""
    for call in calls:
        x, modelled = across.at(call.cost.intensity), up.at(call.cost.operations / call.cost.seconds)
        if call.measured is not None:
            yield element("line", x1=x, x2=x, y1=modelled, y2=up.at(call.rate), class_="between")
            yield element("circle", cx=x, cy=up.at(call.rate), r=DOT, class_="dot")
        yield element("circle", cx=x, cy=modelled, r=DOT + 2, class_="ring")
    for label in labels(calls, across, up):
        yield text(label.text, label.x, label.y, label.anchor, "label")


def labels(calls: Sequence[Call], across: Axis, up: Axis) -> tuple[Label, ...]:
    """Names beside the points, each below the one before where they would lie on each other."""
    placed: list[Label] = []
    for call in sorted(calls, key=lambda call: -call.rate):
        x, y = across.at(call.cost.intensity), up.at(call.rate) + 4
        is_right = x > (across.start + across.end) / 2
        label = Label(name(call), x - 14 if is_right else x + 14, y + 14, "end" if is_right else "start")
        while any(abs(other.y - label.y) < LINE and other.anchor == label.anchor for other in placed):
            label = Label(label.text, label.x, label.y + LINE, label.anchor)
        placed.append(label)
    return tuple(placed)


def name(call: Call) -> str:
    shape = call.shape
    return f"b={shape.batch} q={shape.queries} k={shape.keys}: {giga(call.rate, 'GFLOP/s')}"


def text(words: str, x: float, y: float, anchor: str, kind: str) -> Element:
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=kind)
