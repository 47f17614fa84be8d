"""What a mask always or never says is left out of it."""

from __future__ import annotations

from ..expr.intervals import ALWAYS, INT32, NAME_RANGES, NEVER, Interval, bounds
from ..expr.ranges import range_of
from ..expr.simplify import simplify
from ..expr.tree import Expr, Kind, Literal, replace
from ..ir.graph import Graph, Node
from ..ir.ops import Mask
from .rewrite import redirect, rewrite, splice, with_expression


def simplify_mask(graph: Graph) -> Graph:
    """Replace each condition in keep that has one answer for all positions, heads and inputs by that answer.

    Before   mask(scores, query_offset, keep="k >= 0 and h < 8 and k <= q"), of 8 heads
    After    mask(scores, query_offset, keep="k <= q")
    Leaves   no mask whose keep is True; arrays no longer indexed are no longer operands
    Numbers  none: intervals are sound for every position below 2**30 in magnitude
    """
    return rewrite(graph, simplify_keep)


def simplify_keep(graph: Graph, node: Node) -> Graph | None:
    match node.op:
        case Mask(Literal(True)):
            return splice(redirect(graph, node.result, node.operands[0]), [node], [], at=node)
        case Mask(keep):
            simpler = with_expression(node, simplify(decided(keep, graph, node)))
            return None if simpler == node else splice(graph, [node], [simpler], at=node)
    return None


def decided(keep: Expr, graph: Graph, node: Node) -> Expr:
    """The expression with every condition that has one answer replaced by it."""
    heads = graph.types[node.result].shape[1]
    last_head = heads - 1 if isinstance(heads, int) else INT32.high
    names = {**NAME_RANGES, "h": Interval(0, last_head)}
    arrays = {name: range_of(graph.types[name].dtype) for name in node.op.captured}

    def decide(expr: Expr) -> Expr:
        if expr.kind is not Kind.CONDITION:
            return expr
        answers = bounds(expr, names, arrays)
        return Literal(answers == ALWAYS) if answers in (ALWAYS, NEVER) else expr

    return replace(keep, decide)
