"""What stands in the output and the statistics of pruned heads."""

from __future__ import annotations

from ..ir.softmax_ops import UNSEEN
from ..spec.statistic import LEADERS
from .facts import OF_SECOND_PASS, VARIABLES
from .gpu_entry import kernel_parameters, signature
from .gpu_facts import GpuLowering
from .gpu_model import ClearModel, StoreModel, TableModel
from .gpu_second_model import LeaderModel
from .order import head_lines


def clear_model(facts: GpuLowering) -> ClearModel:
    """The kernel that writes it, where heads are pruned."""
    pruned, asked = facts.work.pruned_heads, facts.work.op.statistics
    results = (*facts.leading, *(("received",) if facts.receives else ()))
    return ClearModel(
        is_there=bool(pruned),
        table=TableModel(
            "pruned_head_at", "The pruned head that has a place.", tuple(head_lines(pruned)) if pruned else ()
        ),
        signature=signature(facts) + "l" * len(results),
        parameters=(*kernel_parameters(facts), *results),
        has_stores=bool(set(asked) - OF_SECOND_PASS),
        stores=tuple(store(name) for name in asked if name not in OF_SECOND_PASS),
        leading=tuple(LeaderModel(name, LEADERS[name]) for name in facts.leading),
        receives=facts.receives,
        has_rows=bool(set(asked) - {"received"}),
        arguments=("*arguments", *(f"{name}.address" for name in results)),
    )


def store(statistic: str) -> StoreModel:
    """Where the statistic of a query that sees no key goes, and what it is."""
    value = UNSEEN[statistic]
    text = f"float32({value})" if value > -1.0 else "float32(MINUS_INFINITY)"
    return StoreModel(f"uint64({VARIABLES.get(statistic, statistic)} + 4 * row)", text)
