"""Constants of modify, keep and sink are computed once, at compile time."""

from __future__ import annotations

from ..expr.simplify import simplify
from ..expr.tree import Name
from ..ir.graph import Graph, Node
from ..ir.ops import Mask, ModifyScores
from ..ir.softmax_ops import RowOp
from .rewrite import redirect, rewrite, splice, with_expression


def simplify_expressions(graph: Graph) -> Graph:
    """Simplify modify, keep and sink by the identities that hold for NaN and infinities too.

    Before   modify_scores(scores, query_offset, expression="score * (2 * 0.5)")
    After    scores
    Leaves   expressions that simplify leaves as they are; arrays no longer indexed are no longer operands;
             no modify_scores whose expression is just score
    Numbers  none: only exact identities are used
    """
    return rewrite(graph, simplify_node)


def simplify_node(graph: Graph, node: Node) -> Graph | None:
    match node.op:
        case ModifyScores(Name("score")):
            return splice(redirect(graph, node.result, node.operands[0]), [node], [], at=node)
        case ModifyScores(expression) | Mask(expression) | RowOp(sink=expression) if expression is not None:
            simpler = with_expression(node, simplify(expression))
            return None if simpler == node else splice(graph, [node], [simpler], at=node)
    return None
