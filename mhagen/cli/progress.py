"""Says what takes over a second: a spinner on a terminal, one line elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from .output import notes

PATIENCE_SECONDS = 1.0


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Tell on stderr what is going on, as long as it is."""
    console = notes()
    if console.is_terminal:
        with console.status(f"{what} ..."):
            yield
        return
    later = Timer(PATIENCE_SECONDS, console.print, [f"{what} ..."])
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
