"""The command line: the only place of mhagen that prints or exits."""

from __future__ import annotations

from collections.abc import Sequence

from .exits import Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default this process's own; returns the exit code."""
    try:
        from .run import run  # not before `try`: an interrupt of these imports is one too

        return run(arguments)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
