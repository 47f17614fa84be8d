"""Places in a text, and the picture of one: the line, and a caret under what is meant."""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import east_asian_width

# A terminal is about this wide; of longer lines the part around the caret is shown.
SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class Source:
    """A named text: what a file holds, or what was given in its place."""

    name: str
    text: str

    def line(self, number: int) -> str:
        lines = self.text.split("\n")  # not splitlines(): TOML knows no other line ends
        return lines[number - 1].removesuffix("\r") if number <= len(lines) else ""


@dataclass(frozen=True)
class Span:
    """A stretch of one line of a source.

    Units    line and column count from 1; column and length count characters.
    """

    source: Source
    line: int
    column: int
    length: int = 1

    def picture(self, advice: str) -> str:
        """Draw the place: file:line:column, the line, and carets with the advice beside them."""
        text = "".join(
            character if character.isprintable() else " " for character in self.source.line(self.line)
        )
        before, marked, after = _window(text, self.column - 1, self.length)
        number, carets = str(self.line), "^" * max(1, _width(marked))
        return "\n".join(
            (
                f"  {self.source.name}:{self.line}:{self.column}",
                f"    {number} | {before}{marked}{after}".rstrip(),
                f"    {' ' * len(number)} | {' ' * _width(before)}{carets} {advice}".rstrip(),
            )
        )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _window(text: str, start: int, length: int) -> tuple[str, str, str]:
    if len(text) <= SHOWN_CHARACTERS:
        return text[:start], text[start : start + length], text[start + length :]
    first = max(0, start - SHOWN_CHARACTERS // 3)
    last = first + SHOWN_CHARACTERS
    before = ("..." if first else "") + text[first:start]
    after = text[start + length : last] + ("..." if last < len(text) else "")
    return before, text[start : min(start + length, last)], after


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
