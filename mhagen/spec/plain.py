"""NumPy's numbers and arrays in the keys of a spec, as the numbers and lists of numbers that they are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

DEEPEST = 4  # projections.rotary.scaling.factor


def plain_keys(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same keys. Where NumPy is not loaded, nothing is of NumPy, and it need not be loaded for this."""
    numpy = sys.modules.get("numpy")
    return keys if numpy is None else plain(dict(keys), (numpy.generic, numpy.ndarray), 0)


def plain(value: Any, types: Any, depth: int) -> Any:
    if isinstance(value, types):
        return value.tolist()
    match value:
        case dict() if depth < DEEPEST:
            return {name: plain(each, types, depth + 1) for name, each in value.items()}
        case list() | tuple() if depth < DEEPEST:
            return [plain(each, types, depth + 1) for each in value]
        case _:
            return value
