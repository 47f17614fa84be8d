"""What stands in the output and the statistics of pruned heads."""

from __future__ import annotations

from ..ir.softmax_ops import UNSEEN
from .gpu_facts import GpuLowering
from .gpu_model import ClearModel, StoreModel, TableModel
from .order import head_lines


def clear_model(facts: GpuLowering) -> ClearModel:
    """The kernel that writes it, where heads are pruned."""
    pruned = facts.work.pruned_heads
    lines = tuple(head_lines(pruned)) if pruned else ()
    return ClearModel(
        is_there=bool(pruned),
        table=TableModel("pruned_head_at", "The pruned head that has a place.", lines),
        stores=tuple(
            StoreModel(f"uint64({variable} + at)", unseen(name))
            for name, variable in zip(facts.work.op.statistics, facts.statistics, strict=True)
        ),
    )


def unseen(statistic: str) -> str:
    """The text of a statistic of a query that sees no key."""
    value = UNSEEN[statistic]
    return f"float32({value})" if value > -1.0 else "float32(MINUS_INFINITY)"
