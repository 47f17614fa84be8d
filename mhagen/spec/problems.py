"""A mistake in a spec, known by its key. Where that stands in a file is found later, if there is one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from ..base.errors import Diagnostic
from ..base.source import Span

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value, or with the key itself, at a path.

    Units    column counts characters of the value from 1; 0 stands for all of the value.
    """

    path: KeyPath
    diagnostic: Diagnostic
    on_key: bool = False
    column: int = 0
    length: int = 0
    see: KeyPath | None = None  # another key that the label speaks of


def located(problem: Problem, span: Span | None, seen_line: int | None = None) -> Diagnostic:
    """The diagnostic with all that is known of its place."""
    found = problem.diagnostic
    label = found.label if seen_line is None else f"{found.label} (line {seen_line})"
    return replace(found, label=label, span=span, place=key_text(problem.path))


def key_text(path: KeyPath) -> str:
    """The path as people write it: `heads.key_value`, `groups[0].heads`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shown_key(part)}" for part in path)
    return text.removeprefix(".") or "the spec"


def shown_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key) else shown(key)


def shown(value: object) -> str:
    """A value in an error: short, on one line, and without running code of its own."""
    if not isinstance(value, bool | int | float | str):
        return f"a {type(value).__name__}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return "an integer of over 38 digits"
    text = ascii(value[:40] if isinstance(value, str) else value)
    return f"{text}..." if isinstance(value, str) and len(value) > 40 else text
