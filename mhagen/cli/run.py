"""Runs a command line: whatever happens becomes text on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import click

from .commands import mhagen
from .exits import Exit
from .failures import Failure, attempt
from .output import warn


def run(arguments: Sequence[str] | None, began: float) -> int:
    """Run the command that the arguments name; returns the exit code.  began: by the monotonic clock"""
    for stream in (sys.stdout, sys.stderr):
        _replace_what_cannot_be_encoded(stream)
    with _warnings_as_lines():
        try:
            outcome = attempt(lambda: command(arguments, began))
            return outcome.exit_code if isinstance(outcome, Failure) else outcome
        except click.Abort:
            return Exit.INTERRUPTED
        except (BrokenPipeError, SystemExit):  # click and rich exit when a pipe is closed, and only then
            return _leave_pipe()


def command(arguments: Sequence[str] | None, began: float) -> int:
    code = mhagen.main(args=arguments, prog_name="mhagen", standalone_mode=False, obj=began)
    sys.stdout.flush()  # a full disk or a closed pipe shows now, not when Python ends
    return int(code or Exit.GOOD)


def _replace_what_cannot_be_encoded(stream: TextIO) -> None:
    # A spec may quote any character, and a terminal may know ASCII only: better a ? than no message.
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: warn(str(message).removeprefix("mhagen: "))
        yield


def _leave_pipe() -> int:
    # Python flushes stdout once more when it ends, and must find a place that takes everything.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return Exit.PIPE_CLOSED
