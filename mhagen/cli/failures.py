"""From an exception to what a user reads, what a program reads, and the exit code."""

from __future__ import annotations

import platform
import shlex
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from ..base import settings
from ..base.errors import Diagnostic, InternalError, MhagenError
from ..base.version import __version__
from .exits import Exit
from .output import Json, complain, notes

Result = TypeVar("Result")

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Failure:
    """What has gone wrong, after it was reported."""

    error: Exception

    @property
    def exit_code(self) -> int:
        return exit_code(self.error)


def attempt(work: Callable[[], Result]) -> Result | Failure:
    """The result of the work, or why there is none, which is then told on stderr.

    What stops the whole command passes through: an interrupt, and a reader that went away.
    """
    try:
        return work()
    except (BrokenPipeError, click.Abort):
        raise
    except Exception as error:
        report(error)
        return Failure(error)


def exit_code(error: Exception) -> int:
    """Whose fault the error is."""
    match error:
        case MhagenError():
            return error.exit_code
        case click.ClickException() | OSError():
            return Exit.WRONG
        case _:
            return Exit.BUG


def report(error: Exception) -> None:
    """Say on stderr what went wrong."""
    if settings.debug():
        notes().print("".join(traceback.format_exception(error)), end="")
    if exit_code(error) == Exit.BUG:
        complain(bug_report(error))
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        complain(message(error))


def message(error: Exception) -> str:
    """The error in words."""
    if isinstance(error, OSError):
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror or error}"
    return str(error)


def bug_report(error: Exception) -> str:
    """The lines that a developer needs, without a traceback."""
    what = str(error) if isinstance(error, InternalError) else f"{type(error).__name__}: {error}"
    return "\n".join(
        (
            f"a bug in mhagen: {what}",
            f"  at    {_place(error)}",
            f"  with  mhagen {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"  by    mhagen {shlex.join(sys.argv[1:])}",
            "This is no mistake of yours. Please report these lines, with the spec if you can share it.",
            f"{settings.DEBUG.name}=1 adds the traceback.",
        )
    )


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if PACKAGE in Path(frame.filename).parents]
    if not own:
        return "an unknown place"
    where = Path(own[-1].filename).relative_to(PACKAGE.parent).as_posix()
    return f"{where}:{own[-1].lineno} in {own[-1].name}"


def failure_document(error: Exception) -> Json:
    """The error for a program: its exit code, and its diagnostics if it has places."""
    diagnostics = error.diagnostics if isinstance(error, MhagenError) else ()
    return {
        "kind": type(error).__name__,
        "message": message(error),
        "diagnostics": [diagnostic_document(each) for each in diagnostics],
    }


def diagnostic_document(diagnostic: Diagnostic) -> Json:
    """One mistake, its place taken apart."""
    span = diagnostic.span
    return {
        "code": diagnostic.code,
        "message": diagnostic.message,
        "label": diagnostic.label,
        "remedy": diagnostic.remedy,
        "file": diagnostic.place if span is None else span.source.name,
        "line": None if span is None else span.line,
        "column": None if span is None else span.column,
        "length": None if span is None else span.length,
    }
