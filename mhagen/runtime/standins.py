"""Names of Numba's modules and classes that mean something else for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def standing_in(place: Any, **values: Any) -> Iterator[None]:
    """Let names of a module or a class stand for other values. All threads see it: hold Numba's lock."""
    before = {name: vars(place)[name] for name in values}
    for name, value in values.items():
        setattr(place, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(place, name, value)
