"""The command line: the only place of mhagen that prints or exits."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from .exits import Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default this process's own; returns the exit code."""
    began = monotonic()  # a budget is of everything: imports take half a second of a busy machine
    try:
        from .run import run  # not before `try`: an interrupt of these imports is one too

        return run(arguments, began)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    finally:
        # Python remembers an interrupt of text in exec (dataclasses use it), and `python -m` then dies of the
        # signal although the interrupt was caught here; more text in exec makes it forget.
        exec("")
