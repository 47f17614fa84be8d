"""What each size of a schedule matters to a call: the best candidate with each of its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from ..schedule.plan import Schedule
from ..tuning.result import Tried
from .markup import Element, element
from .roofline import text

WIDTH, HEIGHT = 270.0, 170.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 28.0, 28.0
DOT = 3.5
DIGIT, GAP = 7.0, 4.0  # how wide a digit of a label is, and what is free between two

Ratios = Mapping[int, Sequence[float]]  # of the candidates with each value


def sensitivities(tried: Sequence[Tried]) -> Iterator[Element]:
    """A picture for each size that was varied."""
    timed = [each for each in tried if each.ratio is not None]
    for field in fields(Schedule):
        ratios = ratios_of(field.name, timed)
        if len(ratios) > 1:
            yield picture(field.name, ratios)


def ratios_of(name: str, timed: Sequence[Tried]) -> Ratios:
    """The ratios of all candidates by their value of a size, small values first."""
    found: dict[int, list[float]] = {}
    for each in timed:
        assert each.ratio is not None
        found.setdefault(getattr(each.trial.schedule, name), []).append(each.ratio)
    return dict(sorted(found.items()))


def picture(name: str, ratios: Ratios) -> Element:
    """Values across, time over the default's up; the line joins the best of each value."""
    every = [1.0, *(ratio for each in ratios.values() for ratio in each)]
    low, high = min(every), max(every)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(ratios) - 1)

    def up(ratio: float) -> float:
        share = (ratio - low) / (high - low) if high > low else 0.5
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    places = {value: LEFT + number * step for number, value in enumerate(ratios)}
    best = " ".join(f"{places[value]:.1f},{up(min(each)):.1f}" for value, each in ratios.items())
    return element(
        "svg",
        element("title", f"Time over the default's by {name}"),
        text(name, WIDTH / 2, 16, "middle", "name"),
        element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=up(1.0), y2=up(1.0), class_="limit"),
        (
            text(f"{ratio:.2f}", LEFT - 8, up(ratio) + 4, "end", "tick")
            for ratio in dict.fromkeys((low, high))
        ),
        (text(str(value), x, HEIGHT - 8, "middle", "tick") for value, x in labelled(places).items()),
        (
            element(
                "circle",
                element("title", f"{name} {value}: {ratio:.3f}"),
                cx=places[value],
                cy=up(ratio),
                r=DOT,
                class_="candidate",
            )
            for value, each in ratios.items()
            for ratio in each
        ),
        element("polyline", points=best, class_="best"),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        class_="sensitivity",
    )


def labelled(places: Mapping[int, float]) -> Mapping[int, float]:
    """The values whose labels find room beside each other: the last one, and from the first on what fits."""
    last = max(places)
    found: dict[int, float] = {}
    end, start_of_last = float("-inf"), places[last] - half(last)
    for value, x in places.items():
        fits = x - half(value) >= end + GAP and x + half(value) + GAP <= start_of_last
        if fits or value == last:
            found[value], end = x, x + half(value)
    return found


def half(value: int) -> float:
    return len(str(value)) * DIGIT / 2
