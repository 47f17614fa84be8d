"""What a graph asks of a kernel: the sizes that a schedule and the lowering read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from ..base.dtypes import DType
from ..base.errors import InternalError
from ..ir.fused_ops import UNCOMPUTED, GroupedAttention, StreamedAttention
from ..ir.graph import Graph, Node
from ..ir.types import Dimension
from ..spec.fields import Layout
from .gpu_demands import changes_scores, reads_arrays


@dataclass(frozen=True)
class Workload:
    """The attention of a graph after all passes, or one part of it where heads differ.

    Terms    of: which part computes each query head, -1 where none does; bundle: query heads of one part that
             share a key/value head, and so can be computed together
    """

    node: Node
    dtype: DType
    op: StreamedAttention  # of the part
    query_heads: int
    key_value_heads: int
    dim: int
    value_dim: int
    of: tuple[int, ...]
    parts: tuple[StreamedAttention, ...]

    @property
    def is_plain(self) -> bool:
        """Are all heads computed in one way?"""
        return set(self.of) == {0}

    @cached_property
    def heads_of_parts(self) -> tuple[tuple[int, ...], ...]:
        numbers = range(len(self.parts))
        return tuple(tuple(head for head, of in enumerate(self.of) if of == number) for number in numbers)

    @cached_property
    def kept_heads(self) -> tuple[int, ...]:
        """The heads that are computed, part by part: their places in the order of tasks."""
        return tuple(head for heads in self.heads_of_parts for head in heads)

    @property
    def pruned_heads(self) -> tuple[int, ...]:
        return tuple(head for head, of in enumerate(self.of) if of == UNCOMPUTED)

    @property
    def bundles(self) -> tuple[tuple[int, ...], ...]:
        """The heads of each bundle, in the order of their places."""
        together = (groupby(heads, lambda head: head // self.op.group) for heads in self.heads_of_parts)
        return tuple(tuple(bundle) for part in together for _, bundle in part)

    @property
    def most_members(self) -> int:
        return max(map(len, self.bundles))

    @property
    def read_heads(self) -> int:
        """Key/value heads that some query head reads."""
        return len({head // self.op.group for head in self.kept_heads})

    @property
    def most_demanding(self) -> Workload:
        """As that part sees it whose expressions ask most of the registers of a GPU: arrays, then changes."""
        demands = [
            (reads_arrays(op), changes_scores(op), op.modify is not None, bool(op.expressions))
            for op in self.parts
        ]
        return self.part(demands.index(max(demands)))

    def part(self, number: int) -> Workload:
        """As one part sees it."""
        return replace(self, op=self.parts[number])


def workload_of(graph: Graph) -> Workload:
    """The one attention of the graph, as its first part sees it.

    Raises   InternalError where it is missing: the passes stream_softmax and gather_heads leave it.
    """
    found = [node for node in graph.nodes if isinstance(node.op, StreamedAttention | GroupedAttention)]
    if len(found) != 1:
        raise InternalError(f"{graph.name} has {len(found)} attentions; gather_heads leaves exactly one")
    node = found[0]
    types = graph.types
    layout = parts_of(node)[0].reads
    query, key, value = (heads_first(types[name].shape, layout) for name in node.operands[:3])
    heads = integer(query[1])
    return Workload(
        node=node,
        dtype=types[node.operands[0]].dtype,
        op=parts_of(node)[0],
        query_heads=heads,
        key_value_heads=integer(key[1]),
        dim=integer(query[3]),
        value_dim=integer(value[3]),
        of=node.op.of if isinstance(node.op, GroupedAttention) else (0,) * heads,
        parts=parts_of(node),
    )


def parts_of(node: Node) -> tuple[StreamedAttention, ...]:
    match node.op:
        case StreamedAttention():
            return (node.op,)
        case GroupedAttention():
            return node.op.parts
        case _:
            raise InternalError(f"{node.op.mnemonic()} is no attention")


def heads_first(shape: tuple[Dimension, ...], layout: Layout) -> tuple[Dimension, ...]:
    return shape if layout is Layout.BHSD else (shape[0], shape[2], shape[1], shape[3])


def integer(size: Dimension) -> int:
    if not isinstance(size, int):
        raise InternalError(f"a head count or dimension is symbolic: {size}")
    return size
