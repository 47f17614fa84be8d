"""Why a budget was too short to try any candidate, and how long it should be."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

STEP_SECONDS = 5  # budgets are round numbers
MORE_TIMES = 3  # the budget in which not even the default was checked


@dataclass(frozen=True)
class Shortage:
    """What was missing.

    Units    seconds; of one: a candidate, compiled, compared and timed, going by the default, or None where
             the default was not checked in what was left; enough: of a budget in which some can be tried
    """

    of_one: float | None
    left: float
    enough: float

    @classmethod
    def of_the_default(cls, left: float, budget: float) -> Shortage:
        """Of a run that ended while the default was checked."""
        return cls(None, left, MORE_TIMES * budget)

    def __str__(self) -> str:
        budget = STEP_SECONDS * ceil(self.enough / STEP_SECONDS)
        return f"{self.cause}; give a budget of {budget} s or more"

    @property
    def cause(self) -> str:
        if self.of_one is None:
            return f"the default was not compiled and compared in the {self.left:.1f} s that were left for it"
        one = f"one takes about {self.of_one:.1f} s to compile, compare and time here"
        if self.of_one <= self.left:
            return f"{one}, and did not end in time, with {self.left:.1f} s left for it and for the end"
        return f"{one}, and {self.left:.1f} s were left"
