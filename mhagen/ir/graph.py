"""The graph: named, typed values, each made once, and the ops that make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..spec.fields import Align, Layout
from .op import Op
from .types import TensorType

# Positions of the queries: every attention graph has this input, int64[batch].
QUERY_OFFSET = "query_offset"


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: `%name` in the textual form."""

    name: str
    type: TensorType


@dataclass(frozen=True)
class Node:
    """One op applied to values: `results = op(operands)`."""

    op: Op
    operands: tuple[str, ...]
    results: tuple[Value, ...]

    @property
    def result(self) -> str:
        """The name of the first result: what the node is called in messages and rewrites."""
        return self.results[0].name


@dataclass(frozen=True)
class Graph:
    """A straight line of nodes, operands before users.

    `outputs` pairs the name a caller sees with the value it gets. `layout` is the order of axes of the
    caller's query, key, value and out; `align` says where queries stand when no offset is given.
    """

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, str], ...]
    align: Align
    layout: Layout

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """The type of every value, inputs first, in the order they are made."""
        results = tuple(value for node in self.nodes for value in node.results)
        return {value.name: value.type for value in self.inputs + results}

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that makes each value; inputs have none."""
        return {value.name: node for node in self.nodes for value in node.results}

    def up_to(self, outputs: tuple[tuple[str, str], ...]) -> Graph:
        """The part of the graph that makes these outputs, with the inputs that it reads."""
        wanted, nodes = {name for _, name in outputs}, []
        for node in reversed(self.nodes):
            if any(each.name in wanted for each in node.results):
                wanted.update(node.operands)
                nodes.append(node)
        inputs = tuple(each for each in self.inputs if each.name in wanted)
        return replace(self, inputs=inputs, nodes=tuple(reversed(nodes)), outputs=outputs)

    def users(self, name: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if name in node.operands)

    def is_output(self, name: str) -> bool:
        return any(value == name for _, value in self.outputs)

    def is_read_once(self, name: str) -> bool:
        """Whether one node and no output reads the value: a rewrite may absorb it."""
        reads = sum(node.operands.count(name) for node in self.nodes)
        return reads == 1 and not self.is_output(name)


def make_node(op: Op, operands: Sequence[Value], names: Sequence[str]) -> Node:
    """The node that applies the op, its results named and their types inferred."""
    types = op.infer(*(operand.type for operand in operands))
    results = tuple(Value(name, type_) for name, type_ in zip(names, types, strict=True))
    return Node(op, tuple(operand.name for operand in operands), results)
