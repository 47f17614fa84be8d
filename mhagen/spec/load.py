"""From a file, a text or a mapping to a spec: the first arrow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..base.errors import Diagnostic, InputError, SpecError, UnsupportedError
from ..base.source import Source
from ..base.spelling import did_you_mean
from .check import find_problems
from .model import Spec
from .places import Places
from .plain import plain_keys
from .problems import Problem, located
from .supported import unsupported_keys
from .toml import MOST_BYTES, decode, parse_toml

SpecLike: TypeAlias = str | os.PathLike[str] | Mapping[str, object] | Source | Spec


def load_spec(given: SpecLike) -> Spec:
    """The spec that a file, a mapping of the same keys, or a `Source` with TOML text describes.

    Raises   SpecError with every mistake, each with its place in the file or its key; UnsupportedError, also
             with places, for a spec without mistakes that this version cannot serve; InputError if what is
             given is none of these.
    """
    match given:
        case Spec():
            return _served(given, None)
        case Source():
            return _from_text(given)
        case Mapping():
            return _checked(plain_keys(given), None)
        case str() | os.PathLike():
            return _from_text(read_source(given))
        case _:
            raise InputError(f"a spec is a path, a mapping or a mhagen.Spec, not a {type(given).__name__}")


def read_source(path: str | os.PathLike[str]) -> Source:
    """The text of a spec file.

    Raises   SpecError if it cannot be read, is too large for a spec, or is not UTF-8.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            return decode(name, file.read(MOST_BYTES + 1))
    except FileNotFoundError:
        raise _unreadable(name, "file-not-found", "there is no such file", _nearby(name)) from None
    except IsADirectoryError:
        raise _unreadable(name, "not-a-file", "this is a directory", "name the spec file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "this cannot be the name of a file"
        raise _unreadable(name, "file-not-readable", "the file cannot be read", reason) from None


def _unreadable(name: str, code: str, message: str, label: str) -> SpecError:
    return SpecError((Diagnostic(code, message, label, place=ascii(name)[1:-1][:200]),))


def _nearby(name: str) -> str:
    path = Path(name)
    try:
        siblings = [sibling.stem for sibling in path.parent.glob("*.toml")]
    except OSError:
        siblings = []
    near = did_you_mean(path.stem, siblings)
    return near.replace("`?", ".toml`?") or "give the path of a spec file (.toml)"


def _from_text(source: Source) -> Spec:
    return _checked(parse_toml(source), source)


def _checked(raw: Mapping[str, Any], source: Source | None) -> Spec:
    if problems := find_problems(raw):
        raise SpecError(_diagnostics(problems, source))
    return _served(Spec(**raw), source)


def _served(spec: Spec, source: Source | None) -> Spec:
    if problems := tuple(unsupported_keys(spec)):
        raise UnsupportedError(_diagnostics(problems, source))
    return spec


def _diagnostics(problems: tuple[Problem, ...], source: Source | None) -> tuple[Diagnostic, ...]:
    if source is None:
        return tuple(located(problem, None) for problem in problems)
    places = Places(source)
    found = [
        located(problem, places.span(problem), None if problem.see is None else places.line(problem.see))
        for problem in problems
    ]
    return tuple(sorted(found, key=lambda diagnostic: _place(diagnostic)))


def _place(diagnostic: Diagnostic) -> tuple[int, int]:
    return (0, 0) if diagnostic.span is None else (diagnostic.span.line, diagnostic.span.column)
