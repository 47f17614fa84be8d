"""Lengths of a call as they are written on the command line: `b=1,q=128,k=4096`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..base.errors import InputError

NAMES = {"b": "batch", "s": "queries and keys", "q": "queries", "k": "keys"}
GREATEST = 1 << 24


@dataclass(frozen=True)
class Shape:
    """The lengths of a call."""

    batch: int
    queries: int
    keys: int


def parse_shape(text: str) -> Shape:
    """Read a shape: `s` stands for q and k alike, k is as q and b is 1 where they are left out.

    Raises   InputError
    """
    parts = [parse_length(part) for part in text.split(",")]
    lengths = dict(parts)
    if len(lengths) < len(parts):
        raise wrong(text, "it says a length twice")
    if not {"s", "q"} & set(lengths):
        raise wrong(text, "it has no q, the number of queries")
    if "s" in lengths and len({"q", "k"} & set(lengths)) == 2:
        raise wrong(text, "s says what q and k say")
    return shape_of(lengths)


def shape_of(lengths: Mapping[str, int]) -> Shape:
    queries = lengths.get("q", lengths.get("s", 1))
    return Shape(lengths.get("b", 1), queries, lengths.get("k", lengths.get("s", queries)))


def parse_length(part: str) -> tuple[str, int]:
    name, _, number = (each.strip() for each in part.partition("="))
    if name not in NAMES:
        known = ", ".join(f"{name} ({meaning})" for name, meaning in NAMES.items())
        raise wrong(part, f"it needs one of {known}, and a length")
    if not (number.isascii() and number.isdigit() and len(number) < 9 and 1 <= int(number) <= GREATEST):
        raise wrong(part, f"a length is an integer from 1 to {GREATEST}")
    return name, int(number)


def wrong(text: str, why: str) -> InputError:
    return InputError(f"--shape {text[:64]!r} cannot be used: {why}")
