"""From bytes to the keys of a spec. What could exhaust a TOML parser is refused before it runs."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from ..base.errors import Diagnostic, SpecError
from ..base.source import Source, Span

# tomllib needs quadratic time and memory for dotted keys: 60 kB of one key took 2 GiB.
MOST_BYTES = 64 * 1024
MOST_LINE_BYTES = 4 * 1024
MOST_DOTS = 8
DEEPEST = 8

# Each alternative takes an unclosed string to the end of its line or text, so no byte is looked at twice.
_OPAQUE = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*(?:"{3,5}|\Z)'
    r"|'''(?:[^']|'(?!''))*(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\.)*"?'
    r"|'[^'\n]*'?"
    r"|\#[^\n]*",
    re.DOTALL,
)
_DOTTED = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MOST_DOTS + 1},}}")
_PLACE = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)$")


def decode(name: str, data: bytes) -> Source:
    """The text of a file.

    Raises   SpecError if it is larger than any spec, or not UTF-8.
    """
    if len(data) > MOST_BYTES:
        raise _too_large(name)
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        shown = Source(name, data.decode("utf-8", "replace"))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise _error("not-utf-8", message, "save the file as UTF-8", _span(shown, len(before))) from None


def _unplaced(name: str, code: str, message: str, label: str) -> SpecError:
    return SpecError((Diagnostic(code, message, label, place=name),))


def _too_large(name: str) -> SpecError:
    return _unplaced(name, "file-too-large", "this is too large for a spec", f"at most {MOST_BYTES} bytes")


def _line_and_column(source: Source, offset: int) -> tuple[int, int]:
    return source.text.count("\n", 0, offset) + 1, offset - source.text.rfind("\n", 0, offset)


def _span(source: Source, offset: int, length: int = 1) -> Span:
    return Span(source, *_line_and_column(source, offset), length)


def parse_toml(source: Source) -> dict[str, Any]:
    """The keys and values of a TOML text.

    Raises   SpecError with the place of what is not TOML, or is beyond the limits of a spec.
    """
    _refuse_extremes(source)
    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(source, str(error)) from None
    except (ValueError, RecursionError):  # tomllib lets these through, of an integer with too many digits
        raise _unplaced(source.name, "toml-syntax", "a value is beyond what TOML allows", "") from None


def _syntax_error(source: Source, text: str) -> SpecError:
    place = _PLACE.search(text)
    message = text[: place.start()].rstrip() if place else text
    line, column = _line_and_column(source, len(source.text.rstrip()))
    if place and place[1]:
        line, column = int(place[1]), int(place[2])
    if message.startswith(("Cannot", "Duplicate")):
        return _duplicate(source, line - (column == 1 and line > 1))
    message = f"this is not TOML: {message[:1].lower()}{message[1:]}"
    return _error("toml-syntax", message, "see https://toml.io", Span(source, line, column))


def _duplicate(source: Source, line: int) -> SpecError:
    # tomllib gives the end of the statement; people look for its key.
    text = source.line(line)
    key = re.match(r"\s*[\[{]*\s*([^\]=]*[^\]=\s])?", text)
    start, end = key.span(1) if key and key[1] else (0, len(text))
    span = Span(source, line, start + 1, end - start)
    return _error("duplicate-key", "this key or table has been given before", "drop one of the two", span)


def _refuse_extremes(source: Source) -> None:
    if _size(source) > MOST_BYTES:
        raise _too_large(source.name)
    for number, line in enumerate(source.text.split("\n"), start=1):
        if len(line.encode()) > MOST_LINE_BYTES:
            advice = f"at most {MOST_LINE_BYTES} bytes"
            raise _error("line-too-long", "this line is too long", advice, Span(source, number, 1))
    code = _OPAQUE.sub(lambda opaque: re.sub(r"[^\n]", "_", opaque[0]), source.text)
    if dotted := _DOTTED.search(code):
        span = _span(source, dotted.start(), dotted.end() - dotted.start())
        raise _error("key-too-deep", "this key has too many dots", f"at most {MOST_DOTS}", span)
    depth = 0
    for offset, character in enumerate(code):
        depth += (character in "[{") - (character in "]}")
        if depth > DEEPEST:
            span = _span(source, offset)
            raise _error("value-too-deep", "values are nested too deep", f"at most {DEEPEST} levels", span)


def _size(source: Source) -> int:
    try:
        return len(source.text.encode())
    except UnicodeEncodeError as error:  # half of a surrogate pair, in a text that was made in Python
        span = _span(source, error.start)
        raise _error("not-utf-8", "this character is not Unicode", "leave it out", span) from None


def _error(code: str, message: str, label: str, span: Span) -> SpecError:
    return SpecError((Diagnostic(code, message, label, span=span),))
