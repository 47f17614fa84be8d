"""What a spec may ask for and this version cannot make yet."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.errors import Diagnostic
from .model import Spec
from .problems import KeyPath, Problem


def unsupported_keys(spec: Spec) -> Iterator[Problem]:
    """Every key that asks for what this version cannot make."""
    if spec.heads.pruned:
        yield _unsupported(("heads", "pruned"), "pruned heads", "leave the key out")
    if spec.groups:
        yield _unsupported(("groups",), "groups of heads", "make one spec for each group")


def _unsupported(path: KeyPath, what: str, remedy: str) -> Problem:
    message = f"this version of mhagen cannot make {what} yet"
    return Problem(path, Diagnostic("not-supported-yet", message, remedy))
