"""Names that were meant by others that are not known, and nouns that are counted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known name; empty if none is near."""
    near = difflib.get_close_matches(name[:64], list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else ""


def count(number: int, noun: str) -> str:
    """The number and the noun, which has an s where there is not just one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
