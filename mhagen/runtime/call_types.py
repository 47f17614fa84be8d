"""Numba looks through the overloads of a function for each of its calls, again and again.

A kernel has thousands of calls and a few hundred combinations of functions and types.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from numba.core import types

from .standins import standing_in


def calls_typed_once() -> AbstractContextManager[None]:
    """Let Numba type a call once for each combination of types. The code stays the same."""
    kind: Any = types.BaseFunction
    find = kind.get_call_type
    found: dict[tuple[Any, ...], Any] = {}
    held = []  # functions and contexts, so that no other is taken for one of them

    def get_call_type(self: Any, context: Any, args: Any, kws: Mapping[str, Any]) -> Any:
        key = (id(self), id(context), tuple(args), tuple(kws.items()))
        if key not in found:
            found[key] = find(self, context, args, kws)
            held.append((self, context))
        return found[key]

    return standing_in(kind, get_call_type=get_call_type)
