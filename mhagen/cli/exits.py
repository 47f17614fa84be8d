"""What the exit code of a command says."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Whether all is good, and if not, whose fault it is."""

    GOOD = 0
    FAILED = 1
    WRONG = 2
    BUG = 3
    INTERRUPTED = 130  # as shells report a program that Ctrl-C ended
    PIPE_CLOSED = 141  # as shells report a program whose reader went away


MEANINGS = {
    Exit.GOOD: "good",
    Exit.FAILED: "a check, a verification or a tuning gate failed",
    Exit.WRONG: "the command line, a spec or an input is wrong, or asks for what is not supported",
    Exit.BUG: "a bug in mhagen",
    Exit.INTERRUPTED: "interrupted",
}


def worst(codes: Iterable[int]) -> int:
    """The exit code of a command that did several things."""
    return max(codes, default=Exit.GOOD)
