"""A spec as the TOML text that means it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .fields import Fields

_WIDTH = 100  # from here on a list has lines of its own


def written(spec: Fields) -> str:
    """The text: every key that is not its default, with the lengths that defaults give resolved.

    Loading it gives an equal spec.
    """
    keys = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return "\n".join(_table((), keys)).lstrip("\n") + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table: its values first, since what follows a header belongs to that."""
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping) or _is_tables(value)}
    for key, value in table.items():
        if key not in inner:
            yield f"{key} = {_value(value)}"
    for key, value in inner.items():
        name = ".".join((*path, key))
        for each in [value] if isinstance(value, Mapping) else value:
            if not isinstance(value, Mapping):
                yield from ("", f"[[{name}]]")
            elif not value or not all(isinstance(part, Mapping) for part in value.values()):
                yield from ("", f"[{name}]")
            yield from _table((*path, key), each)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _value(value: object) -> str:
    # JSON's strings, numbers and booleans are TOML's: NaN, infinities and half characters are in no spec.
    return _list(value) if isinstance(value, list) else json.dumps(value)


def _list(values: Sequence[object]) -> str:
    texts = [_value(value) for value in values]
    line = f"[{', '.join(texts)}]"
    return line if len(line) <= _WIDTH else "[\n" + "".join(f"    {text},\n" for text in texts) + "]"
