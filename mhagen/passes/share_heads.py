"""Query heads read the key/value head of their group where it lies."""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Graph, Node
from ..ir.ops import RepeatHeads, Scores, WeightedValues
from .rewrite import rewrite, splice, sweep


def share_heads(graph: Graph) -> Graph:
    """Let the products read a shared head, so that keys and values are never repeated in memory.

    Before   scores(query, repeat_heads(key, times=4)), weighted_values(weights, repeat_heads(value, times=4))
    After    scores(query, key, group=4), weighted_values(weights, value, group=4)
    Leaves   no repeat_heads in front of a product
    Numbers  none: the same products of the same numbers
    """
    return sweep(rewrite(graph, read_shared_head))


def read_shared_head(graph: Graph, node: Node) -> Graph | None:
    if not isinstance(node.op, Scores | WeightedValues):
        return None
    rows, repeated = node.operands
    match graph.producers.get(repeated):
        case Node(RepeatHeads(times), (shared,)):
            # h // group // times == h // (group * times)
            grouped = replace(node, op=replace(node.op, group=node.op.group * times), operands=(rows, shared))
            return splice(graph, [node], [grouped], at=node)
    return None
