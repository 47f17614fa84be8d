"""What a graph asks of a kernel: the sizes that a schedule and the lowering read."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.dtypes import DType
from ..base.errors import InternalError
from ..ir.fused_ops import StreamedAttention
from ..ir.graph import Graph, Node
from ..ir.types import Dimension
from ..spec.fields import Layout


@dataclass(frozen=True)
class Workload:
    """The attention of a graph after all passes."""

    node: Node
    dtype: DType
    op: StreamedAttention
    query_heads: int
    key_value_heads: int
    dim: int
    value_dim: int


def workload_of(graph: Graph) -> Workload:
    """The one streamed attention of the graph.

    Raises   InternalError where it is missing: the pass stream_softmax leaves it.
    """
    found = [node for node in graph.nodes if isinstance(node.op, StreamedAttention)]
    if len(found) != 1:
        raise InternalError(
            f"{graph.name} has {len(found)} streamed attentions; stream_softmax leaves exactly one"
        )
    node = found[0]
    assert isinstance(node.op, StreamedAttention)
    types = graph.types
    query, key, value = (heads_first(types[name].shape, node.op.reads) for name in node.operands[:3])
    return Workload(
        node,
        types[node.operands[0]].dtype,
        node.op,
        integer(query[1]),
        integer(key[1]),
        integer(query[3]),
        integer(value[3]),
    )


def heads_first(shape: tuple[Dimension, ...], layout: Layout) -> tuple[Dimension, ...]:
    return shape if layout is Layout.BHSD else (shape[0], shape[2], shape[1], shape[3])


def integer(size: Dimension) -> int:
    if not isinstance(size, int):
        raise InternalError(f"a head count or dimension is symbolic: {size}")
    return size
