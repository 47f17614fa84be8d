"""A call to measure, with its arguments, and how much work it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from ..backend.acceptance import Example
from ..base.dtypes import DType
from ..expr.evaluate import evaluate
from ..expr.parse import parse_expression
from ..expr.tree import Expr, names
from ..spec.model import Spec
from .samples import sample_inputs

Array = NDArray[Any]

CAUSAL = parse_expression("k <= q", constants={}, arrays={})
PAIRS_AT_A_TIME = 1 << 20  # of which a mask is evaluated: 8 MB for each step of its expression


@dataclass(frozen=True)
class Problem:
    """One call of a spec's layer, or of its attention where it has none.

    The queries are the last positions, whatever the spec's default: one query sees all keys before.

    Shapes   arguments and weights as the kernel takes them, in the spec's dtype
    """

    spec: Spec
    example: Example

    @property
    def is_layer(self) -> bool:
        return self.spec.projections is not None

    @property
    def query_offset(self) -> int:
        return self.example.keys - self.example.queries

    @property
    def is_decoding(self) -> bool:
        """One query: its time is that of reading the keys and values."""
        return self.example.queries == 1 and not self.is_layer

    @cached_property
    def arguments(self) -> Mapping[str, Array]:
        """query, key and value, or x."""
        arrays = {"x": self.example.x(self.spec)} if self.is_layer else self.example.attention(self.spec)
        return {name: as_dtype(array, self.spec.dtype) for name, array in arrays.items()}

    @cached_property
    def weights(self) -> Mapping[str, Array]:
        if not self.is_layer:
            return {}
        weights = self.example.weights(self.spec)
        return {name: as_dtype(array, self.spec.dtype) for name, array in weights.items()}

    @cached_property
    def inputs(self) -> Mapping[str, Array]:
        return sample_inputs(self.spec, self.example)

    @property
    def pairs(self) -> int:
        """Queries and keys of all heads."""
        example = self.example
        return example.batch * self.spec.heads.query * example.queries * example.keys

    @cached_property
    def visible_pairs(self) -> float:
        """Those that the mask shows; by custom exactly half of them under a plain causal mask."""
        keep = self.spec.visible_expression
        if keep is None:
            return self.pairs
        if keep == CAUSAL and self.query_offset == 0:
            return self.pairs / 2
        seen = sum(int(rows.sum()) * self.repeats(rows) for rows in self.masks(keep))
        return float(seen)

    def masks(self, keep: Expr) -> Iterator[Array]:
        """What `keep` is, for some queries at a time: (batch or 1, heads or 1, queries, keys)."""
        example = self.example
        told_apart = names(keep)
        batch = example.batch if "b" in told_apart else 1
        heads = self.spec.heads.query if "h" in told_apart else 1
        at_a_time = max(1, PAIRS_AT_A_TIME // max(1, batch * heads * example.keys))
        for first in range(0, example.queries, at_a_time):
            queries = np.arange(first, min(first + at_a_time, example.queries))
            places = self.places(queries)
            kept = evaluate(keep, places, self.inputs)
            yield np.broadcast_to(kept, np.broadcast_shapes(kept.shape, (1, 1, len(queries), example.keys)))

    def places(self, queries: Array) -> dict[str, Array]:
        """What b, h, q and k are for these queries, each along its own axis."""
        example = self.example
        axes = {
            "b": np.arange(example.batch),
            "h": np.arange(self.spec.heads.query),
            "q": queries + self.query_offset,
            "k": np.arange(example.keys),
        }
        shapes = ((-1, 1, 1, 1), (-1, 1, 1), (-1, 1), (-1,))
        return {name: axis.reshape(shape) for (name, axis), shape in zip(axes.items(), shapes, strict=True)}

    def repeats(self, rows: Array) -> int:
        """How many batch entries and heads share a mask of this shape."""
        batch, heads = rows.shape[:2]
        return self.example.batch * self.spec.heads.query // int(batch * heads)

    @property
    def operations(self) -> float:
        """Multiplications and additions: both products of the visible pairs, and those of a layer."""
        heads = self.spec.heads
        return 2 * self.visible_pairs * (heads.dim + heads.value_dim) + self._operations_of_projections

    @property
    def _operations_of_projections(self) -> float:
        if self.spec.projections is None:
            return 0
        heads, tokens = self.spec.heads, self.example.batch * self.example.queries
        kept = self.spec.kept_heads
        read = {head // (heads.query // heads.key_value) for head in kept}
        width = (len(kept) + len(read)) * (heads.dim + heads.value_dim)
        return 2 * tokens * width * self.spec.projections.model_dim

    @property
    def key_value_bytes(self) -> int:
        """What a call must read at least when it decodes."""
        heads, example = self.spec.heads, self.example
        rows = example.batch * heads.key_value * example.keys
        return rows * (heads.dim + heads.value_dim) * self.spec.dtype.bytes


def as_dtype(array: Array, dtype: DType) -> Array:
    """The array rounded to the format."""
    return array.astype(bfloat16 if dtype is DType.BFLOAT16 else dtype.value, copy=False)
