"""The time of a campaign: what is left of it, and what things have taken so far."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from statistics import fmean
from time import monotonic

# The end of a campaign, where default and winner are timed side by side.
FIRST_RESERVE, MOST_RESERVE = 0.15, 0.45  # of the budget, and of what is left of it for the search
SECONDS_AT_THE_END = 1.5  # besides calls: a process, arrays, the table
CLOSING_SECONDS, CLOSING_SHARE = 0.5, 0.15  # to end processes, keep and print the table, and end Python
USUAL_CHECK_SECONDS = 4.0  # compiling and verifying, before any was seen
USUAL_LOADING_SECONDS = 0.2  # of a compiled candidate, in a process that measures
CALLS_OF_A_START = 5  # of a candidate, before its first round
CALLS_AT_THE_END = 45  # of each that takes part: its start, and in each placement as few rounds as can tell
CANDIDATES_AT_THE_END = 3  # the default twice, and the module that was tuned
CHECKS_AT_THE_END = 1.5  # that module has functions for several schedules
CHECKS_OF_ONE = 1.3  # that the first candidate may take, going by the default's
CACHED_SECONDS = 0.4  # nothing is compiled in less: what takes less was in the cache


@dataclass(frozen=True)
class Estimate:
    """The mean of what was seen, or what is usual."""

    usual: float
    seen: tuple[float, ...] = ()

    @property
    def seconds(self) -> float:
        return fmean(self.seen) if self.seen else self.usual

    def plus(self, seconds: float) -> Estimate:
        return Estimate(self.usual, (*self.seen, seconds)[-16:])


class Budget:
    """Seconds that a campaign may take, from when it began, by the monotonic clock.

    Members  comparison: what is kept for the last one; reserve: that, and what has to be compiled for it
    """

    def __init__(self, seconds: float, began: float | None = None) -> None:
        self.seconds, self.start = seconds, monotonic() if began is None else began
        self.check = Estimate(USUAL_CHECK_SECONDS)
        self.loading = Estimate(USUAL_LOADING_SECONDS)
        self.most_reserve = MOST_RESERVE * seconds
        self.reserve = self.comparison = FIRST_RESERVE * seconds

    @property
    def spent(self) -> float:
        return monotonic() - self.start

    @property
    def left(self) -> float:
        return self.seconds - self.spent - min(CLOSING_SECONDS, CLOSING_SHARE * self.seconds)

    @property
    def left_for_search(self) -> float:
        return self.left - self.reserve

    def begin_search(self) -> None:
        """The default is checked, which may have taken long: of what is left, most is for the search."""
        self.most_reserve = MOST_RESERVE * max(0.0, self.left)

    def keep_for_the_end(self, call_seconds: Collection[float], ends_seconds: float) -> None:
        """Reserve what the last comparison needs, going by how long the calls take."""
        most, calls = self.most_reserve, len(call_seconds)
        each = sum(call_seconds) * CALLS_AT_THE_END + calls * self.loading.seconds
        self.comparison = min(most, SECONDS_AT_THE_END + each * CANDIDATES_AT_THE_END + ends_seconds)
        self.reserve = min(most, self.comparison + CHECKS_AT_THE_END * self.check.seconds)

    @property
    def longest_check(self) -> float:
        """How long one check may well take."""
        return CHECKS_OF_ONE * self.check.seconds

    def make_room(self, timing_seconds: float) -> None:
        """Nothing was tried yet: the end leaves what one candidate takes, but for a short comparison."""
        rest = self.left - self.longest_check - timing_seconds
        self.reserve = min(self.reserve, max(SECONDS_AT_THE_END, rest))

    def checked(self, compile_seconds: float, seconds: float) -> None:
        """A candidate was compiled and checked; one that was in the cache says nothing of others."""
        if compile_seconds > CACHED_SECONDS:
            self.check = self.check.plus(seconds)

    def trial_seconds(self, call_seconds: float, jobs: int) -> float:
        """How long a new candidate takes, roughly."""
        return self.check.seconds / jobs + self.loading.seconds + call_seconds * 2 * CALLS_OF_A_START
