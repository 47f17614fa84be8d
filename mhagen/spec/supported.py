"""What a spec may ask for and this version cannot make yet."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.errors import Diagnostic
from .model import Spec
from .problems import KeyPath, Problem


def unsupported_keys(spec: Spec) -> Iterator[Problem]:
    """Every key that asks for what this version cannot make."""
    if spec.projections is not None and spec.projections.rotary is not None:
        yield _unsupported(("projections", "rotary"), "rotary positions", "leave the table out")


def _unsupported(path: KeyPath, what: str, remedy: str) -> Problem:
    message = f"this version of mhagen cannot make {what} yet"
    return Problem(path, Diagnostic("not-supported-yet", message, remedy))
