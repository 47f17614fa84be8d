"""Projections of the same x become one product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..ir.fused_ops import ProjectHeads
from ..ir.graph import Graph, Node, make_node
from ..ir.ops import HeadsFirst, Linear, SplitHeads
from .rewrite import splice, value


@dataclass(frozen=True)
class Projection:
    """One x projected, split into heads and brought heads first: three nodes that only feed each other."""

    x: str
    parameters: tuple[str, ...]
    heads: int
    chain: tuple[Node, Node, Node]


def merge_projections(graph: Graph) -> Graph:
    """Make the projections of one x one product, so that x is read once and heads are written in place.

    Before   query = heads_first(split_heads(linear(x, wq))); key and value the same with wk and wv
    After    query, key, value = project_heads(x, wq, wk, wv)
    Needs    weights that are inputs of the graph, as build_graph leaves them
    Leaves   no linear before the attention; a projection that shares its x with none is project_heads too
    Numbers  none: every column is still one dot product
    """
    found = (projection_ending_at(graph, node) for node in graph.nodes)
    by_source: defaultdict[tuple[str, int], list[Projection]] = defaultdict(list)
    for projection in found:
        if projection is not None:
            by_source[projection.x, len(projection.parameters)].append(projection)
    for projections in by_source.values():
        graph = merged(graph, projections)
    return graph


def projection_ending_at(graph: Graph, last: Node) -> Projection | None:
    if not isinstance(last.op, HeadsFirst):
        return None
    split = graph.producers.get(last.operands[0])
    if split is None or not isinstance(split.op, SplitHeads) or not graph.is_read_once(split.result):
        return None
    linear = graph.producers.get(split.operands[0])
    if linear is None or not isinstance(linear.op, Linear) or not graph.is_read_once(linear.result):
        return None
    x, *parameters = linear.operands
    if any(name in graph.producers for name in parameters):
        return None
    return Projection(x, tuple(parameters), split.op.heads, (linear, split, last))


def merged(graph: Graph, projections: Sequence[Projection]) -> Graph:
    operands = (projections[0].x, *(name for each in projections for name in each.parameters))
    product = make_node(
        ProjectHeads(tuple(each.heads for each in projections)),
        [value(graph, name) for name in operands],
        [each.chain[-1].result for each in projections],
    )
    replaced = [node for each in projections for node in each.chain]
    return splice(graph, replaced, [product], at=projections[0].chain[0])
