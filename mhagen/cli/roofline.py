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
LETTER = 7.0  # of a label, on average
GAP = 14.0  # between a point and its name
TRIES = 20  # lines away that a name may be
STEPS = 60  # that the ceilings are followed in
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
class Box:
    """What something covers, roughly."""

    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: Box) -> bool:
        beside = self.right < other.left or other.right < self.left
        return not (beside or self.bottom < other.top or other.bottom < self.top)


@dataclass(frozen=True)
class Label:
    """A text, and where its baseline begins, ends or has its middle."""

    text: str
    x: float
    y: float
    anchor: str

    @property
    def box(self) -> Box:
        width = LETTER * len(self.text)
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return Box(left, left + width, self.y - LINE + 3, self.y + 3)


def roofline(explanation: Explanation) -> Element:
    """The picture: operations a second over operations for each byte, both by their logarithms."""
    across, up = axes(explanation)
    return element(
        "svg",
        element("title", f"Roofline of {explanation.spec.name}"),
        grid(across, up),
        ceilings(explanation, across, up),
        points(explanation, across, up),
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


def points(found: Explanation, across: Axis, up: Axis) -> Iterator[Element]:
    """For each call a dot where it was measured, and a ring where the model has it."""
    for call in found.calls:
        x, modelled = across.at(call.cost.intensity), up.at(call.cost.operations / call.cost.seconds)
        if call.measured is not None:
            yield element("line", x1=x, x2=x, y1=modelled, y2=up.at(call.rate), class_="between")
            yield element("circle", cx=x, cy=up.at(call.rate), r=DOT, class_="dot")
        yield element("circle", cx=x, cy=modelled, r=DOT + 2, class_="ring")
    for label in labels(found, across, up):
        yield text(label.text, label.x, label.y, label.anchor, "label")


def labels(found: Explanation, across: Axis, up: Axis) -> tuple[Label, ...]:
    """A name for each call, near its point, where it covers nothing."""
    taken = list(covered(found, across, up))
    placed = []
    for call in sorted(found.calls, key=lambda call: -call.rate):
        places = tuple(near(call, across, up))
        inside = Box(across.start, across.end, up.end, up.start)
        free = (label for label in places if is_free(label.box, taken, inside))
        placed.append(next(free, places[0]))
        taken.append(placed[-1].box)
    return tuple(placed)


def near(call: Call, across: Axis, up: Axis) -> Iterator[Label]:
    """Where a name could stand: at the right, at the left, then below and above, farther and farther away."""
    x, y = across.at(call.cost.intensity), up.at(call.rate) + 4
    yield Label(name(call), x + GAP, y, "start")
    yield Label(name(call), x - GAP, y, "end")
    for line in range(1, TRIES):
        for side in (line, -line):
            for anchor, shift in (("start", GAP), ("end", -GAP), ("middle", 0.0)):
                yield Label(name(call), x + shift, y + side * LINE, anchor)


def covered(found: Explanation, across: Axis, up: Axis) -> Iterator[Box]:
    """What names must not hide: points, and both ceilings with the words above them."""
    for call in found.calls:
        for rate in (call.rate, call.cost.operations / call.cost.seconds):
            x, y = across.at(call.cost.intensity), up.at(rate)
            yield Box(x - DOT, x + DOT, y - DOT, y + DOT)
    for step in range(STEPS):
        x = across.start + (across.end - across.start) * step / STEPS
        intensity = across.low * (across.high / across.low) ** (step / STEPS)
        y = up.at(min(found.peak, intensity * found.machine.read_bandwidth))
        yield Box(x - LINE, x, y - 2 * LINE, y + 4)


def is_free(box: Box, taken: Sequence[Box], inside: Box) -> bool:
    fits = inside.left <= box.left and box.right <= inside.right and box.bottom <= inside.bottom
    return fits and not any(box.meets(other) for other in taken)


def name(call: Call) -> str:
    shape = call.shape
    return f"b={shape.batch} q={shape.queries} k={shape.keys}: {giga(call.rate, 'GFLOP/s')}"


def text(words: str, x: float, y: float, anchor: str, kind: str) -> Element:
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=kind)
