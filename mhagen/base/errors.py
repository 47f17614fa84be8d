"""What mhagen says when something is wrong: one family of exceptions whose class tells whose fault it is.

Imports the standard library only: a copy travels with generated kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from .source import Span


# A text of more is read by nobody, and a hostile file could ask for millions of lines.
SHOWN_DIAGNOSTICS = 50


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: what, where, why, what to do, and a code that never changes.

    `str()` gives the text with its caret, or with `place` (a key such as `heads.dim`, or a file) where no
    source text is known.
    """

    code: str
    message: str
    label: str = ""
    remedy: str = ""
    span: Span | None = None
    place: str = ""

    @property
    def advice(self) -> str:
        return ": ".join(part for part in (self.label, self.remedy) if part)

    def __str__(self) -> str:
        headline = f"error[{self.code}]: {self.message}"
        if self.span is not None:
            return f"{headline}\n{self.span.picture(self.advice)}"
        lines = [headline, f"  {self.place}", f"    {self.advice}"]
        return "\n".join(line for line in lines if line.strip())


class MhagenError(Exception):
    """Base of every error that mhagen raises on purpose; `str()` is the full readable text."""

    exit_code: ClassVar[int] = 3

    def __init__(self, problem: str | tuple[Diagnostic, ...]) -> None:
        super().__init__(problem)
        self.diagnostics = () if isinstance(problem, str) else problem

    def __str__(self) -> str:
        if self.diagnostics:
            shown = [str(diagnostic) for diagnostic in self.diagnostics[:SHOWN_DIAGNOSTICS]]
            left_out = len(self.diagnostics) - len(shown)
            return "\n\n".join([*shown, f"and {left_out} more"] if left_out else shown)
        return str(self.args[0])


class SpecError(MhagenError):
    """A spec has mistakes; all that were found are in `diagnostics`."""

    exit_code = 2


class InputError(MhagenError, ValueError):
    """An argument of a call cannot be used: the message names it, what it has and what it needs."""

    exit_code = 2


class UnsupportedError(MhagenError):
    """A known limit: the request makes sense, and this version or this machine cannot serve it."""

    exit_code = 2


class VerificationError(MhagenError):
    """A kernel was checked against the reference and is not close enough."""

    exit_code = 1


class InternalError(MhagenError):
    """A bug in mhagen: something that its own code promises does not hold."""

    exit_code = 3
