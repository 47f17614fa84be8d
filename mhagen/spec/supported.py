"""What a spec may ask for and this version cannot make yet."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.errors import Diagnostic
from ..expr.tree import arrays
from .fields import Axis, Statistic
from .model import Spec
from .problems import KeyPath, Problem


def unsupported_keys(spec: Spec) -> Iterator[Problem]:
    """Every key that asks for what this version cannot make."""
    if len(set(sinks_along_keys(spec))) > 1 and Statistic.LSE in spec.outputs.statistics:
        what = (
            "a log-sum-exp of groups of which some have sinks that read arrays along the keys, and others not"
        )
        yield _unsupported(("groups",), what, "leave lse out, or make one spec for each group")


def sinks_along_keys(spec: Spec) -> Iterator[bool]:
    """Of each sink: does it read an array along the keys? Where there are none, there is no such sink."""
    for way in spec.alike:
        if way.spec.sink_expression is not None:
            shapes = (spec.inputs[name].shape for name in arrays(way.spec.sink_expression))
            yield any(Axis.KEYS.value in shape for shape in shapes)


def _unsupported(path: KeyPath, what: str, remedy: str) -> Problem:
    message = f"this version of mhagen cannot make {what} yet"
    return Problem(path, Diagnostic("not-supported-yet", message, remedy))
