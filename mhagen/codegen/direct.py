"""Graph to the short way into a kernel, which reads the headers of arrays itself."""

from __future__ import annotations

from ..spec.fields import Align, Layout
from .facts import Lowering
from .model import DirectModel

AXIS = 8  # bytes of a length or a stride


def has_direct(facts: Lowering) -> bool:
    """Is the output made like the query, and is nothing else asked for?"""
    work = facts.work
    return work.dim == work.value_dim and not facts.inputs and not work.op.statistics


def direct_model(facts: Lowering) -> DirectModel:
    heads, length = (1, 2) if facts.graph.layout is Layout.BHSD else (2, 1)
    return DirectModel(
        is_there=has_direct(facts),
        bytes=facts.numbers.stored.bytes,
        heads_axis=AXIS * heads,
        length_axis=AXIS * length,
        default_offset="keys - queries" if facts.graph.align is Align.END else "0",
        arrays=("query", "key", "value", "out"),
    )
