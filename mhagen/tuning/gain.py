"""Is a schedule faster, or does it only seem so? Ratios to the default, and what may be said of them.

Where arrays happen to lie makes a kernel up to 4 % faster than itself, in all rounds until they are moved. So
rounds of one placement are not independent, and count once: by their median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

CONFIDENCE = 0.95
FEWEST_PLACEMENTS = 6  # fewer cannot say anything with that confidence: 2 ** -5 > 0.025
LEAST_LOSS = 1.01  # what may be slower by so much is not as fast


@dataclass(frozen=True)
class Interval:
    """The median of ratios, one for each placement, and where it lies with 95 % confidence."""

    median: float
    low: float
    high: float
    placements: int

    @property
    def is_telling(self) -> bool:
        return self.placements >= FEWEST_PLACEMENTS

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f}, {self.placements} placements)"


def interval(ratios: Sequence[float]) -> Interval:
    """The sign test turned round: the ratios that it would not reject as the median.

    Numbers  from the least to the greatest where there are too few for the confidence
    Raises   StatisticsError for no ratio at all
    """
    ordered, count = sorted(ratios), len(ratios)
    outside = rank(count)
    return Interval(median(ordered), ordered[outside], ordered[count - 1 - outside], count)


def rank(count: int) -> int:
    """How many of the smallest lie below the interval: so few heads has a fair coin hardly ever, or fewer."""
    place, chance = 0, 1 + count
    while place < (count - 1) // 2 and chance <= (1 - CONFIDENCE) / 2 * 2.0**count:
        place += 1
        chance += comb(count, place + 1)
    return place


def is_gain(ratio: Interval, twin: Interval) -> bool:
    """Is it faster than the default, beyond what the default differs from itself?

    `twin` is the default once more, timed in the same rounds: what it shows is noise. So the whole interval
    has to lie below 1, and below all of the twin's.
    """
    return ratio.is_telling and ratio.high < min(1.0, twin.low)


def loses(ratio: Interval) -> bool:
    """Is it slower than the default, beyond doubt and by more than a trifle?"""
    return ratio.is_telling and ratio.low > 1.0 and ratio.median > LEAST_LOSS


def may_lose(ratio: Interval) -> bool:
    """May it be slower than the default? Doubt counts against it."""
    return not ratio.is_telling or ratio.high > LEAST_LOSS
