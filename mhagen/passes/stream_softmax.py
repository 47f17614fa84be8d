"""Scores, softmax and values become one online step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from ..ir.fused_ops import StreamedAttention
from ..ir.graph import QUERY_OFFSET, Graph, Node, make_node
from ..ir.op import Op
from ..ir.ops import Mask, ModifyScores, Scale, Scores, WeightedValues
from ..ir.pick_ops import GateHeads, PickHeads
from ..ir.softmax_ops import STATISTICS, Softmax
from ..ir.types import Base
from .rewrite import rewrite, splice, sweep, value

OpKind = TypeVar("OpKind", bound=Op)


@dataclass(frozen=True)
class Scoring:
    """How the scores of a softmax are made: from which query and key, by which part of the fused op."""

    query: str
    key: str
    op: StreamedAttention


def stream_softmax(graph: Graph) -> Graph:
    """Make the whole attention one op, which a kernel computes key block by key block.

    Before   scores = mask(scale(modify_scores(scores(scale(query), key))))
             out = weighted_values(softmax(scores, base=2), value); lse = log_sum_exp(scores, base=2)
    After    out, lse = streamed_attention(query, key, value, query_offset)
    Needs    powers of two (use_base_two), scales folded (fold_scale), heads shared (share_heads)
    Leaves   no value with an axis of queries and one of keys
    Numbers  none in exact arithmetic; a kernel rescales its sums when the running maximum grows
    Source   Milakov and Gimelshein 2018, section 3; Rabe and Staats 2021, section 2
    """
    return sweep(rewrite(graph, stream_attention))


def stream_attention(graph: Graph, node: Node) -> Graph | None:
    match node:
        case Node(WeightedValues(group), (weights, values)):
            softmax = graph.producers.get(weights)
        case _:
            return None
    if softmax is None or not isinstance(softmax.op, Softmax) or not graph.is_read_once(weights):
        return None
    scoring = scoring_of(graph, softmax.operands[0])
    if softmax.op.base is not Base.TWO or scoring is None or scoring.op.group != group:
        return None
    statistics = statistics_of(graph, softmax.operands[0], softmax.op)
    op = replace(scoring.op, sink=softmax.op.sink, statistics=tuple(statistics))
    operands = (scoring.query, scoring.key, values, QUERY_OFFSET, *op.captured)
    results = [node.result, *(each.result for each in statistics.values())]
    streamed = make_node(op, [value(graph, name) for name in operands], results)
    return splice(graph, [node, *statistics.values()], [streamed], at=node)


def scoring_of(graph: Graph, scores: str) -> Scoring | None:
    """How the scores come from one product, read backwards; None if they come in another way."""
    mask, scores = peel(graph, scores, Mask)
    score_scale, scores = peel(graph, scores, Scale)
    modify, scores = peel(graph, scores, ModifyScores)
    match graph.producers.get(scores):
        case Node(Scores(group), (query, key)):
            query_scale, query = peel(graph, query, Scale)
        case _:
            return None
    op = StreamedAttention(
        query_scale=1.0 if query_scale is None else query_scale.factor,
        score_scale=1.0 if score_scale is None else score_scale.factor,
        group=group,
        modify=None if modify is None else modify.expression,
        keep=None if mask is None else mask.keep,
    )
    return Scoring(query, key, op)


def peel(graph: Graph, name: str, kind: type[OpKind]) -> tuple[OpKind | None, str]:
    """The op that made the value and its first operand, if the op is of this kind."""
    node = graph.producers.get(name)
    if node is None or not isinstance(node.op, kind):
        return None, name
    return node.op, node.operands[0]


def statistics_of(graph: Graph, scores: str, softmax: Softmax) -> dict[str, Node]:
    """The nodes that make a statistic of these scores for a caller, by its name."""
    names: dict[Op, str] = {kind(softmax.base, softmax.sink): name for name, kind in STATISTICS.items()}
    readers = (node for node in graph.users(scores) if node.op in names)
    return {names[node.op]: node for node in readers if is_for_callers(graph, node)}


def is_for_callers(graph: Graph, node: Node) -> bool:
    """Does nothing read it but what sorts results by heads?"""
    return all(isinstance(user.op, PickHeads | GateHeads) for user in graph.users(node.result))
