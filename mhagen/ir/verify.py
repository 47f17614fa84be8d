"""Checks that a graph is one: each value made once, before it is read, with the type its op infers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from ..base.errors import InternalError
from .graph import Graph, Node
from .text import print_node
from .types import TensorType, TypeRuleError


def verify(graph: Graph, stage: str) -> None:
    """Check the graph that `stage`, a pass or another step of the compiler, has left.

    Raises   InternalError that names the stage, the first faulty node and what is wrong with it
    """
    types: dict[str, TensorType] = {}
    for value in graph.inputs:
        if value.name in types:
            _fail(graph, stage, f"input %{value.name}: there are two inputs of this name")
        types[value.name] = value.type
    for node in graph.nodes:
        for problem in _problems(node, types):
            _fail(graph, stage, f"{print_node(node)}\n  {problem}")
        types |= {value.name: value.type for value in node.results}
    for problem in _output_problems(graph, types):
        _fail(graph, stage, problem)


def _fail(graph: Graph, stage: str, problem: str) -> None:
    raise InternalError(f"{stage} left an invalid graph {graph.name}:\n  {problem}")


def _problems(node: Node, types: dict[str, TensorType]) -> Iterator[str]:
    yield from (f"%{name} is read before it is made" for name in node.operands if name not in types)
    names = [value.name for value in node.results]
    yield from (f"%{name} is made twice" for name in names if name in types or names.count(name) > 1)
    captured = node.op.captured
    if captured and node.operands[-len(captured) :] != captured:
        yield f"the last operands are not the arrays that its expressions index: {', '.join(captured)}"
    yield from _type_problems(node, types)


def _type_problems(node: Node, types: dict[str, TensorType]) -> Iterator[str]:
    operands = [types[name] for name in node.operands]
    try:
        inspect.signature(node.op.infer).bind(*operands)
    except TypeError as error:
        yield f"it has {len(operands)} operands: {error}"
        return
    try:
        inferred = node.op.infer(*operands)
    except TypeRuleError as error:
        yield str(error)
        return
    if len(inferred) != len(node.results):
        yield f"it names {len(node.results)} results and makes {len(inferred)}"
    for value, type_ in zip(node.results, inferred, strict=False):
        if value.type != type_:
            yield f"%{value.name} is {type_}, not {value.type}"


def _output_problems(graph: Graph, types: dict[str, TensorType]) -> Iterator[str]:
    yield from (
        f"output {shown}: no value is called %{name}" for shown, name in graph.outputs if name not in types
    )
    names = [shown for shown, _ in graph.outputs]
    yield from (f"output {shown}: there are two of this name" for shown in names if names.count(shown) > 1)
