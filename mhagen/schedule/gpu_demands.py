"""What expressions ask of the registers of a GPU, beside those that tiles have."""

from __future__ import annotations

from ..expr.shift import split
from ..expr.tree import Element, Expr, Name, names, walk
from ..ir.fused_ops import StreamedAttention


def reads_arrays(op: StreamedAttention) -> bool:
    """Are arrays read for queries or keys, or to know which are seen? Those of heads cost nothing."""
    return bool(elements(op.keep)) or any({"q", "k"} & set(names(each)) for each in elements(op.modify))


def changes_scores(op: StreamedAttention) -> bool:
    """Are scores changed by more than what rises evenly from key to key, with one slope for all rows?

    Then they need registers; or where the entropy does, which adds up another number for each row.
    """
    if op.modify is None:
        return False
    parts = split(op.modify)
    is_added = parts.cell in (None, Name("score")) and len(parts.factors) <= 1
    return not is_added or any("q" in names(each) for each in parts.factors) or "entropy" in op.statistics


def elements(expr: Expr | None) -> tuple[Element, ...]:
    """What is read of arrays."""
    return () if expr is None else tuple(part for part in walk(expr) if isinstance(part, Element))


def is_of_cell(element: Element) -> bool:
    """Is it another one for each query and each key?"""
    return {"q", "k"} <= set(names(element))
