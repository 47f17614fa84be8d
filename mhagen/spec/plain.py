"""NumPy's numbers and arrays in the keys of a spec, as the numbers and lists of numbers that they are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

DEEPEST = 4  # projections.rotary.scaling.factor


def plain_keys(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same keys; where NumPy is not loaded, nothing can be of NumPy."""
    return keys if "numpy" not in sys.modules else {name: plain(each, 1) for name, each in keys.items()}


def plain(value: Any, depth: int) -> Any:
    import numpy as np

    match value:
        case np.generic() | np.ndarray():
            return value.tolist()
        case dict() if depth < DEEPEST:
            return {name: plain(each, depth + 1) for name, each in value.items()}
        case list() | tuple() if depth < DEEPEST:
            return [plain(each, depth + 1) for each in value]
        case _:
            return value
