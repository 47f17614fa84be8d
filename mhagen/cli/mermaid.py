"""A graph as a Mermaid flowchart, which Markdown renderers draw."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.graph import Graph, Node
from ..ir.text import print_fields


def print_mermaid(graph: Graph) -> str:
    """The flowchart: inputs, one box for each node, outputs; arrows carry the types of the values."""
    lines = [*_inputs(graph), *_nodes(graph), *_outputs(graph)]
    return "\n".join(("flowchart TD", *(f"  {line}" for line in lines))) + "\n"


def _inputs(graph: Graph) -> Iterator[str]:
    for value in graph.inputs:
        yield f'{_input_id(value.name)}(["{value.name}"])'


def _nodes(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield f'{_node_id(node)}["{_operation(node)}"]'
        for name in node.operands:
            yield _arrow(graph, name, _node_id(node))


def _outputs(graph: Graph) -> Iterator[str]:
    for shown, name in graph.outputs:
        target = f"output_{shown}"
        yield f'{target}(["{shown}"])'
        yield _arrow(graph, name, target)


def _arrow(graph: Graph, name: str, target: str) -> str:
    source = _node_id(graph.producers[name]) if name in graph.producers else _input_id(name)
    return f'{source} -- "{_quoted(str(graph.types[name]))}" --> {target}'


def _operation(node: Node) -> str:
    return "<br/>".join(_quoted(line) for line in (node.op.mnemonic(), *print_fields(node.op)))


# A name of its own for each kind of box: `end` and `graph` are words of Mermaid's, and names may repeat.
def _input_id(name: str) -> str:
    return f"input_{name}"


def _node_id(node: Node) -> str:
    return f"node_{node.result}"


def _quoted(text: str) -> str:
    return "".join(f"#{ord(character)};" if character in '#"<>&' else character for character in text)
