"""The textual form of a graph: what `print_graph` writes, `parse_graph` reads back as an equal graph.

```
graph causal {
  layout = bhsd
  align = start
  constant window = 256
  input %query: f32[batch, 8, queries, 64]
  ...
  %scores: f32[batch, 8, queries, keys] = scores(%query, %key)
  %masked: f32[batch, 8, queries, keys] = mask(%scores, %query_offset, keep="k <= q and q - k < window")
  ...
  output out = %out
}
```
An op's fields are written as keywords, unless they have their default. `#` starts a comment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from enum import Enum

from ..expr.tree import Expr, constants, to_text
from .graph import Graph, Node, Value
from .op import Op

LINE_LENGTH = 110


def print_graph(graph: Graph) -> str:
    """The graph as text, one line for each node that fits on one."""
    expressions = (expression for node in graph.nodes for expression in node.op.expressions)
    used = dict.fromkeys(constant for expression in expressions for constant in constants(expression))
    lines = [
        f"layout = {graph.layout.value}",
        f"align = {graph.align.value}",
        *(f"constant {constant.name} = {constant.value!r}" for constant in used),
        *(f"input {_typed(value)}" for value in graph.inputs),
        *(line for node in graph.nodes for line in print_node(node).split("\n")),
        *(f"output {shown} = %{name}" for shown, name in graph.outputs),
    ]
    body = "\n".join(f"  {line}" for line in lines)
    return f"graph {graph.name} {{\n{body}\n}}\n"


def print_node(node: Node) -> str:
    """The node as it stands in a graph's text: one line if it fits, else one for each result and field."""
    results = [_typed(value) for value in node.results]
    arguments = [", ".join(f"%{name}" for name in node.operands), *print_fields(node.op)]
    line = f"{', '.join(results)} = {node.op.mnemonic()}({', '.join(arguments)})"
    if len(line) + 2 <= LINE_LENGTH:
        return line
    made = ",\n".join(results)
    lines = (line for part in arguments for line in f"{_broken(part, node.op)},".split("\n"))
    return "\n".join([f"{made} = {node.op.mnemonic()}(", *(f"  {line}" for line in lines), ")"])


def _broken(argument: str, op: Op) -> str:
    """A field that holds ops, one of them on each line."""
    name = argument.partition("=")[0]
    value = getattr(op, name, None)
    if not isinstance(value, tuple) or not any(isinstance(part, Op) for part in value):
        return argument
    return "\n".join([f"{name}=(", *(f"  {_printed(part)}," for part in value), ")"])


def _typed(value: Value) -> str:
    return f"%{value.name}: {value.type}"


def print_fields(op: Op) -> Iterator[str]:
    """The op's fields as keywords, but for those that have their default."""
    for field in fields(op):
        value = getattr(op, field.name)
        if field.default is MISSING or value != field.default:
            yield f"{field.name}={_printed(value)}"


def _printed(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Op):
        return f"{value.mnemonic()}({', '.join(print_fields(value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_printed, value))}{',' * (len(value) == 1)})"
    return f'"{to_text(value)}"' if isinstance(value, Expr) else str(value)
