"""Guessing what was meant by a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known name; empty if none is near."""
    near = difflib.get_close_matches(name[:64], list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else ""
