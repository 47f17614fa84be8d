"""What a spec may ask for and this version cannot make yet."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.dtypes import DType
from ..base.errors import Diagnostic
from .fields import Statistic
from .model import Spec
from .problems import KeyPath, Problem

_INPUT_DTYPES = (DType.FLOAT32, DType.INT32, DType.INT64, DType.BOOL)


def unsupported_keys(spec: Spec) -> Iterator[Problem]:
    """Every key that asks for what this version cannot make."""
    if spec.dtype is not DType.FLOAT32:
        yield _unsupported(("dtype",), f"{spec.dtype.value} kernels", "write float32")
    if spec.heads.pruned:
        yield _unsupported(("heads", "pruned"), "pruned heads", "leave the key out")
    if spec.softmax.sink is not None:
        yield _unsupported(("softmax", "sink"), "a softmax sink", "leave the key out")
    if spec.groups:
        yield _unsupported(("groups",), "groups of heads", "make one spec for each group")
    if spec.projections is not None and spec.projections.rotary is not None:
        yield _unsupported(("projections", "rotary"), "rotary positions", "leave the table out")
    yield from _unsupported_entries(spec)


def _unsupported_entries(spec: Spec) -> Iterator[Problem]:
    for name, array in spec.inputs.items():
        if array.dtype not in _INPUT_DTYPES:
            remedy = "write " + ", ".join(dtype.value for dtype in _INPUT_DTYPES)
            yield _unsupported(("inputs", name, "dtype"), f"an input of {array.dtype.value}", remedy)
    for index, statistic in enumerate(spec.outputs.statistics):
        if statistic is not Statistic.LSE:
            path = ("outputs", "statistics", index)
            yield _unsupported(path, f"the statistic {statistic.value}", "write lse, or none")


def _unsupported(path: KeyPath, what: str, remedy: str) -> Problem:
    message = f"this version of mhagen cannot make {what} yet"
    return Problem(path, Diagnostic("not-supported-yet", message, remedy))
