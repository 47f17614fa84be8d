"""Scales meet and move to the query."""

from __future__ import annotations

from ..ir.graph import Graph, Node, make_node
from ..ir.ops import Mask, Scale, Scores
from .rewrite import fresh_name, redirect, rewrite, splice, value


def fold_scale(graph: Graph) -> Graph:
    """Move scales into the query, so that they are applied queries * dim times, not queries * keys times.

    Before   scale(mask(scale(scores(query, key), factor=0.125)), factor=1.4427)
    After    mask(scores(scale(query, factor=0.1803), key))
    Needs    use_base_two, whose scale it folds too
    Leaves   at most one scale before scores and one after modify_scores, none after mask
    Numbers  rounds the query once more instead of the scores; factors are multiplied in float64
    """
    return rewrite(graph, fold_scale_once)


def fold_scale_once(graph: Graph, node: Node) -> Graph | None:
    if not isinstance(node.op, Scale):
        return None
    factor, (source,) = node.op.factor, node.operands
    if factor == 1.0:
        return splice(redirect(graph, node.result, source), [node], [], at=node)
    inner = graph.producers.get(source)
    if inner is None or not graph.is_read_once(source):
        return None
    moved = scale_first(graph, factor, inner, node.result)
    return (
        None if moved is None else splice(redirect(graph, node.result, source), [inner, node], moved, at=node)
    )


def scale_first(graph: Graph, factor: float, inner: Node, scaled: str) -> list[Node] | None:
    """The nodes that make the inner node's result, scaled before it is made; None if that cannot be."""
    first, *others = (value(graph, name) for name in inner.operands)
    match inner.op:
        case Scale(inner_factor):  # factor * (inner_factor * x) -> (factor * inner_factor) * x
            return [make_node(Scale(factor * inner_factor), [first], [inner.result])]
        case Mask() if factor > 0:  # factor * -inf -> -inf
            scale = make_node(Scale(factor), [first], [scaled])
        case Scores():  # factor * <query, key> -> <factor * query, key>
            scale = make_node(Scale(factor), [first], [fresh_name(graph, "scaled_query")])
        case _:
            return None
    return [scale, make_node(inner.op, [*scale.results, *others], [inner.result])]
