"""Is a schedule faster, or does it only seem so? Ratios of rounds, and what may be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

CONFIDENCE = 0.95
FEWEST_ROUNDS = 6  # fewer cannot say anything with that confidence: 2 ** -5 > 0.025


@dataclass(frozen=True)
class Interval:
    """The median of ratios, and where it lies with 95 % confidence whatever their distribution."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def is_telling(self) -> bool:
        return self.rounds >= FEWEST_ROUNDS

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f}, {self.rounds} rounds)"


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


def is_loss(ratio: Interval, twin: Interval) -> bool:
    """Is it slower than the default, as far as can be told? Doubt counts against it."""
    return not ratio.is_telling or ratio.low > 1.0 or ratio.median > max(1.0, twin.high)
