"""Heads that differ become one attention, whose parts are as many as there are kinds of heads."""

from __future__ import annotations

from ..expr.intervals import NEVER, Interval, bounds
from ..expr.ranges import range_of
from ..expr.tree import Expr
from ..ir.fused_ops import UNCOMPUTED, GroupedAttention, StreamedAttention
from ..ir.graph import QUERY_OFFSET, Graph, Node, make_node
from ..ir.pick_ops import GateHeads, PickHeads
from .rewrite import splice, sweep, value

# Where a mask is looked at to see which heads have the most to do: every so many positions.
SAMPLES = range(0, 8192, 512)


def gather_heads(graph: Graph) -> Graph:
    """Make one attention of those that heads are picked from, and leave out the heads that are gated off.

    Before   gate_heads(pick_heads(streamed_attention(keep_0), streamed_attention(keep_1), of=(0, 1)), (2,))
    After    grouped_attention(query, key, value, of=(0, 1, -1), parts=(streamed_attention(keep_0), ...))
    Needs    stream_softmax, and all simplification before it: attentions that mean the same look the same
    Leaves   one attention; of parts, each once, only those that heads have, those with the most to do first;
             no pick_heads, no gate_heads
    Numbers  none: every head is computed as before
    """
    nodes = [node for node in graph.nodes if isinstance(node.op, StreamedAttention)]
    sorting = [node for node in graph.nodes if isinstance(node.op, PickHeads | GateHeads)]
    if not nodes or not sorting:
        return graph
    of, parts = kinds(graph, nodes, sorting)
    first = nodes[0]
    is_plain = len(parts) == 1 and UNCOMPUTED not in of
    op = parts[0] if is_plain else GroupedAttention(of, parts)
    operands = (*first.operands[:3], QUERY_OFFSET, *op.captured)
    results = [last_name(graph, each.name) for each in first.results]
    gathered = make_node(op, [value(graph, name) for name in operands], results)
    # The last of them stands behind all that the attentions read.
    return sweep(splice(graph, [*nodes, *sorting], [gathered], at=nodes[-1]))


def kinds(
    graph: Graph, nodes: list[Node], sorting: list[Node]
) -> tuple[tuple[int, ...], tuple[StreamedAttention, ...]]:
    """Which part each head has, and the parts."""
    heads = graph.types[sorting[0].result].shape[1]
    assert isinstance(heads, int)
    picked: dict[int, Node] = dict.fromkeys(range(heads), nodes[0])
    gated: set[int] = set()
    for node in sorting:
        match node.op:
            case PickHeads(of):
                picked = {head: graph.producers[node.operands[number]] for head, number in enumerate(of)}
            case GateHeads(off):
                gated |= set(off)
    ops = {head: node.op for head, node in picked.items() if head not in gated}
    known = (op for op in dict.fromkeys(ops.values()) if isinstance(op, StreamedAttention))
    parts = tuple(sorted(known, key=lambda op: -share_seen(graph, op.keep)))
    return tuple(parts.index(ops[head]) if head in ops else UNCOMPUTED for head in range(heads)), parts


def share_seen(graph: Graph, keep: Expr | None) -> float:
    """About which share of the pairs of queries and keys is seen; what arrays decide, counts as seen."""
    if keep is None:
        return 1.0
    arrays = {each.name: range_of(each.type.dtype) for each in graph.inputs}
    some = Interval(0, 0)
    places = [
        {"q": Interval(q, q), "k": Interval(k, k), "b": some, "h": some} for q in SAMPLES for k in SAMPLES
    ]
    hidden = sum(bounds(keep, place, arrays) == NEVER for place in places)
    return 1.0 - hidden / len(places)


def last_name(graph: Graph, name: str) -> str:
    """What a result is called when its heads have been picked and gated."""
    for user in graph.users(name):
        if isinstance(user.op, PickHeads | GateHeads):
            return last_name(graph, user.result)
    return name
