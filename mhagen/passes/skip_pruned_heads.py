"""Weights of heads that are not computed are not read."""

from __future__ import annotations

from dataclasses import replace

from ..ir.fused_ops import UNCOMPUTED, GroupedAttention, OutputLinear, ProjectHeads
from ..ir.graph import Graph, Node
from ..ir.head_ops import NormalizeHeads, Rotary
from .rewrite import rewrite, splice


def skip_pruned_heads(graph: Graph) -> Graph:
    """Leave the heads out of the projections that an attention between them does not compute.

    Before   output_linear(grouped_attention(project_heads(x, wq, wk, wv, heads=(4, 2))), of=(0, -1, -1, -1))
    After    the same with project_heads(skips=((1, 2, 3), (1,), (1,))) and output_linear(skips=(1, 2, 3))
    Needs    gather_heads, which knows the heads; drop_concat, whose op reads heads
    Leaves   a key/value head without a query head skipped too
    Numbers  none: what is skipped is nowhere read, or is multiplied with 0
    """
    return rewrite(rewrite(graph, skip_projections), skip_columns)


def skip_projections(graph: Graph, node: Node) -> Graph | None:
    """In the projections in front of an attention."""
    if not isinstance(node.op, ProjectHeads) or node.op.skips:
        return None
    unread = tuple(unread_heads(graph, value.name) for value in node.results)
    if not any(unread):
        return None
    return splice(graph, [node], [replace(node, op=replace(node.op, skips=unread))], at=node)


def unread_heads(graph: Graph, name: str) -> tuple[int, ...]:
    """The heads of a query, key or value that an attention does not compute with."""
    for user in graph.users(name):
        if isinstance(user.op, NormalizeHeads | Rotary) and name == user.operands[0]:
            return unread_heads(graph, user.result)
        if isinstance(user.op, GroupedAttention):
            query_heads = pruned_heads(user.op)
            if name == user.operands[0]:
                return query_heads
            group = user.op.parts[0].group
            served = range(len(user.op.of) // group)
            return tuple(h for h in served if set(range(h * group, (h + 1) * group)) <= set(query_heads))
    return ()


def skip_columns(graph: Graph, node: Node) -> Graph | None:
    """In the projection behind it."""
    if not isinstance(node.op, OutputLinear) or node.op.skips:
        return None
    attention = graph.producers.get(node.operands[0])
    if attention is None or not isinstance(attention.op, GroupedAttention):
        return None
    pruned = pruned_heads(attention.op)
    if not pruned:
        return None
    return splice(graph, [node], [replace(node, op=OutputLinear(pruned))], at=node)


def pruned_heads(op: GroupedAttention) -> tuple[int, ...]:
    return tuple(head for head, number in enumerate(op.of) if number == UNCOMPUTED)
