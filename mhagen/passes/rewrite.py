"""How passes change a graph: small edits that leave the operands of every node before the node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeAlias

from ..expr.tree import Expr
from ..ir.graph import Graph, Node, Value
from ..ir.ops import Mask, ModifyScores
from ..ir.softmax_ops import RowOp

# What a rule makes of the graph at a node, or None where it does not apply.
Rule: TypeAlias = Callable[[Graph, Node], Graph | None]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """The graph after the rule has been applied until it applies nowhere."""
    while (changed := apply_once(graph, rule)) is not None:
        graph = changed
    return graph


def apply_once(graph: Graph, rule: Rule) -> Graph | None:
    changes = (rule(graph, node) for node in graph.nodes)
    return next((change for change in changes if change is not None), None)


def splice(graph: Graph, removed: Collection[Node], added: Sequence[Node], at: Node) -> Graph:
    """The graph with `added` in the place of `at`, and without `removed`."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += added if node == at else ()
        nodes += () if node in removed else (node,)
    return replace(graph, nodes=tuple(nodes))


def redirect(graph: Graph, old: str, new: str) -> Graph:
    """The graph whose readers and outputs read `new` where they read `old`."""

    def renamed(name: str) -> str:
        return new if name == old else name

    nodes = tuple(replace(node, operands=tuple(map(renamed, node.operands))) for node in graph.nodes)
    outputs = tuple((shown, renamed(name)) for shown, name in graph.outputs)
    return replace(graph, nodes=nodes, outputs=outputs)


def sweep(graph: Graph) -> Graph:
    """The graph without the nodes that nothing reads."""
    read = {name for _, name in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(value.name in read for value in node.results):
            kept.append(node)
            read.update(node.operands)
    return replace(graph, nodes=tuple(reversed(kept)))


def fresh_name(graph: Graph, wanted: str) -> str:
    """The wanted name, or it with the first number that makes it unused."""
    taken = graph.types
    numbered = (f"{wanted}_{number}" for number in range(1, len(taken) + 2))
    return next(name for name in (wanted, *numbered) if name not in taken)


def value(graph: Graph, name: str) -> Value:
    return Value(name, graph.types[name])


def with_expression(node: Node, expression: Expr) -> Node:
    """The node with another expression, reading only the arrays that this one indexes."""
    op = node.op
    match op:
        case Mask():
            op = Mask(expression)
        case ModifyScores():
            op = ModifyScores(expression)
        case RowOp():
            op = replace(op, sink=expression)
    return replace(node, op=op, operands=node.operands[:2] + op.captured)
