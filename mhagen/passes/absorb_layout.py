"""The attention reads and writes the axes as they lie."""

from __future__ import annotations

from dataclasses import replace

from ..ir.fused_ops import GroupedAttention, StreamedAttention
from ..ir.graph import Graph, Node
from ..ir.ops import HeadsFirst, HeadsLast
from ..spec.fields import Layout
from .rewrite import rewrite, splice, sweep


def absorb_layout(graph: Graph) -> Graph:
    """Let the attention read and write layout bshd, so that no transposed copy is made.

    Before   out = heads_last(streamed_attention(heads_first(query), heads_first(key), heads_first(value)))
    After    out = streamed_attention(query, key, value, reads=bshd, writes=bshd)
    Needs    gather_heads, which leaves one attention; merge_projections, which writes heads first at no cost
    Leaves   no heads_first in front of the attention, no heads_last behind it
    Numbers  none: only addresses change
    """
    return sweep(rewrite(rewrite(graph, read_rows_first), write_rows_first))


def read_rows_first(graph: Graph, node: Node) -> Graph | None:
    if not isinstance(node.op, StreamedAttention | GroupedAttention) or node.op.reads is Layout.BSHD:
        return None
    turned = [graph.producers.get(name) for name in node.operands[:3]]
    rows = [each.operands[0] for each in turned if each is not None and isinstance(each.op, HeadsFirst)]
    if len(rows) < 3:
        return None
    operands = (*rows, *node.operands[3:])
    reader = replace(node, op=node.op.with_layouts(Layout.BSHD, node.op.writes), operands=operands)
    return splice(graph, [node], [reader], at=node)


def write_rows_first(graph: Graph, node: Node) -> Graph | None:
    if not isinstance(node.op, HeadsLast) or not graph.is_read_once(node.operands[0]):
        return None
    attention = graph.producers.get(node.operands[0])
    if attention is None or not isinstance(attention.op, StreamedAttention | GroupedAttention):
        return None
    results = (*node.results, *attention.results[1:])
    writer = replace(
        attention, op=attention.op.with_layouts(attention.op.reads, Layout.BSHD), results=results
    )
    return splice(graph, [attention, node], [writer], at=attention)
