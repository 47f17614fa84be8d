"""The output projection reads the heads where they lie."""

from __future__ import annotations

from ..ir.fused_ops import OutputLinear
from ..ir.graph import Graph, Node, make_node
from ..ir.ops import ConcatHeads, Linear
from .rewrite import rewrite, splice, value


def drop_concat(graph: Graph) -> Graph:
    """Multiply each head by its slice of the output weights, so that no concatenated copy is made.

    Before   linear(concat_heads(heads), wo, bo)
    After    output_linear(heads, wo, bo)
    Leaves   no concat_heads in front of a linear
    Numbers  none: the same dot products
    """
    return rewrite(graph, read_heads)


def read_heads(graph: Graph, node: Node) -> Graph | None:
    if not isinstance(node.op, Linear):
        return None
    x, *parameters = node.operands
    concat = graph.producers.get(x)
    if concat is None or not isinstance(concat.op, ConcatHeads) or not graph.is_read_once(x):
        return None
    operands = [value(graph, name) for name in (*concat.operands, *parameters)]
    output = make_node(OutputLinear(), operands, [node.result])
    return splice(graph, [concat, node], [output], at=node)
