"""Graph to the short ways into a kernel, which read the headers of arrays themselves."""

from __future__ import annotations

from ..spec.fields import Align, Layout
from .facts import Lowering
from .model import DirectModel, WayModel
from .order import bundles, most_members

AXIS = 8  # bytes of a length or a stride


def ways(facts: Lowering) -> tuple[WayModel, ...]:
    return (
        WayModel("attention_direct", "a small call", "is_small", "attention_tasks", "", (), ()),
        WayModel(
            name="decode_direct",
            doc="a short call of few queries",
            fits="is_short",
            runs="decode_tasks",
            more_memory=", arrivals, partials",
            memory_lines=(
                f"row_blocks = (queries * {most_members(facts)} + ROWS_OF_TASK - 1) // ROWS_OF_TASK",
                "arrivals = scratch + DECODE_SCRATCH_BYTES",
                f"partials = arrivals + 8 * batch * {bundles(facts)} * row_blocks",
                "for place in range(arrivals, partials, 8):",
                "    store_int64(place, 0)",
            ),
            more_arguments=("partials", "arrivals"),
        ),
    )


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
        length_place=length,
        default_offset="keys - queries" if facts.graph.align is Align.END else "0",
        arrays=("query", "key", "value", "out"),
        more_arguments=("QUERY_HEADS",) if facts.packs_heads else (),
        ways=ways(facts),
    )
