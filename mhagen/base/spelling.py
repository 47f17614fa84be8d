"""Names that were meant by others that are not known, nouns that are counted, sizes of memory."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

SHORT = 4  # letters of a name that is told by its first one
MOST_NUMBERED = 2  # names that differ in their numbers alone, of which one may be guessed


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known name; empty if none is near."""
    names = list(known)
    near = [each for each in difflib.get_close_matches(name[:64], names) if is_near(name, each, names)]
    return f"did you mean `{near[0]}`?" if near else ""


def is_near(name: str, other: str, known: Collection[str]) -> bool:
    """Whether a name that looks alike is a guess worth making: `sin` is not `min`, `top_3` not `top_32`."""
    if len(name) <= SHORT and name[:1].lower() != other[:1].lower():
        return False
    (stem, number), (other_stem, other_number) = parted(name), parted(other)
    if not number or stem != other_stem or sorted(number) == sorted(other_number):
        return True
    return sum(parted(each)[0] == stem for each in known) <= MOST_NUMBERED


def parted(name: str) -> tuple[str, str]:
    """What stands before the number at the end of a name, and the number."""
    stem = re.sub(r"[0-9]+$", "", name)
    return stem, name[len(stem) :]


def count(number: int, noun: str) -> str:
    """The number and the noun, which has an s where there is not just one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def memory(size: int) -> str:
    """Bytes of a cache or a buffer, which have powers of two: `48 KiB`."""
    return f"{size / 1024:.3g} KiB" if size < 1 << 20 else f"{size / (1 << 20):.3g} MiB"
