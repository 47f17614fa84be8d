"""What is right by itself in a spec that may have mistakes, so that rules between keys can go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .problems import KeyPath


class Given:
    """The keys of a spec; those that are wrong read as absent."""

    def __init__(self, raw: Mapping[str, object], wrong: frozenset[KeyPath]) -> None:
        self._raw = raw
        self._wrong = wrong

    def is_wrong(self, *path: str | int) -> bool:
        """Whether the value, or a part of it, is wrong."""
        return any(wrong[: len(path)] == path for wrong in self._wrong)

    def at(self, *path: str | int) -> object:
        value: object = self._raw
        for length, part in enumerate(path, start=1):
            value = None if path[:length] in self._wrong else _inside(value, part)
        return value

    def integer(self, *path: str | int) -> int | None:
        value = self.at(*path)
        return value if isinstance(value, int) else None

    def text(self, *path: str | int) -> str | None:
        value = self.at(*path)
        return value if isinstance(value, str) else None

    def table(self, *path: str | int) -> Mapping[str, object]:
        value = self.at(*path)
        return value if isinstance(value, Mapping) else {}

    def items(self, *path: str | int) -> Sequence[object]:
        value = self.at(*path)
        return value if isinstance(value, list | tuple) else ()


def _inside(value: object, part: str | int) -> object:
    if isinstance(part, str):
        return value.get(part) if isinstance(value, Mapping) else None
    return value[part] if isinstance(value, list | tuple) and part < len(value) else None
