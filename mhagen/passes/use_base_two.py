"""The softmax takes powers of two."""

from __future__ import annotations

import math
from dataclasses import replace

from ..ir.graph import Graph, Node, make_node
from ..ir.op import Op
from ..ir.ops import Scale
from ..ir.softmax_ops import RowOp
from ..ir.types import Base
from .rewrite import fresh_name, rewrite, splice, value

LOG2_E = math.log2(math.e)


def use_base_two(graph: Graph) -> Graph:
    """Take powers of two, because exp2 is what hardware computes: exp would multiply by log2(e) every time.

    Before   softmax(scores), log_sum_exp(scores)
    After    scaled = scale(scores, factor=log2(e)); softmax(scaled, base=2), log_sum_exp(scaled, base=2)
    Leaves   no softmax of base e; fold_scale then makes the multiplication free
    Numbers  one more rounding of the scores: e ** s == 2 ** (s * log2(e))
    """
    return rewrite(graph, scale_rows)


def scale_rows(graph: Graph, node: Node) -> Graph | None:
    if not is_natural(node.op):
        return None
    scores, *_ = node.operands
    readers = [user for user in graph.users(scores) if is_natural(user.op)]
    scaled = make_node(Scale(LOG2_E), [value(graph, scores)], [fresh_name(graph, "log2_scores")])
    graph = splice(graph, [], [scaled], at=readers[0])
    for reader in readers:
        assert isinstance(reader.op, RowOp)
        operands = (scaled.result, *reader.operands[1:])
        moved = replace(reader, op=replace(reader.op, base=Base.TWO), operands=operands)
        graph = splice(graph, [reader], [moved], at=reader)
    return graph


def is_natural(op: Op) -> bool:
    return isinstance(op, RowOp) and op.base is Base.E
