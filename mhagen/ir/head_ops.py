"""What may happen to queries and keys between their projections and their product, head by head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.turning import Turning
from ..spec.projections import RotaryLayout
from .op import Floats, Integers, Op, Results, Types
from .types import TensorType, TypeRuleError, axes, same, whole


@dataclass(frozen=True)
class NormalizeHeads(Op):
    """The RMS norm of every head at every position, with a weight for each of its numbers.

    Meaning  y[b, h, s, d] = x[b, h, s, d] / sqrt(mean over d of x[b, h, s, d] ** 2, + eps) * weight[d]
    Example
        input %query: f32[batch, 8, queries, 16]
        input %q_norm: f32[16]
        %query_normal: f32[batch, 8, queries, 16] = normalize_heads(%query, %q_norm, eps=1e-06)
    """

    eps: float

    def infer(self, x: TensorType, weight: TensorType) -> Types:
        same(axes(x, 4, "x")[3], axes(weight, 1, "weight")[0], "the dim of x and the length of weight")
        return (x,)

    def evaluate(self, x: Floats, weight: Floats) -> Results:
        squares = np.mean(x * x, axis=-1, keepdims=True)
        return (x / np.sqrt(squares + self.eps) * weight,)


@dataclass(frozen=True)
class Rotary(Turning, Op):
    """Rotary positions: the first `dim` numbers of a head turn in pairs, the further the later the position.

    Meaning  with the angle a = position * rate of pair i (base/turning.py), and f the attention factor:
             y[first of i] = f * (x[first of i] * cos(a) - x[second of i] * sin(a)),
             y[second of i] = f * (x[second of i] * cos(a) + x[first of i] * sin(a)).
             Layout half: first of i is i, second is i + dim / 2; interleaved: 2 * i and 2 * i + 1.
             Keys stand at their index, queries at index + query_offset
    Shapes   operands are the keys; or the queries, query_offset and the keys, whose length may count
    Example
        input %query: f32[batch, 8, queries, 16]
        input %key: f32[batch, 2, keys, 16]
        input %query_offset: i64[batch]
        %query_turned: f32[batch, 8, queries, 16] = rotary(%query, %query_offset, %key, dim=8, base=500000.0,
            layout=interleaved)
    """

    layout: RotaryLayout = RotaryLayout.HALF

    def infer(
        self, x: TensorType, query_offset: TensorType | None = None, key: TensorType | None = None
    ) -> Types:
        batch, _, _, dim = axes(x, 4, "x")
        if self.dim > whole(dim, "the dim of x") or self.dim % 2:
            raise TypeRuleError(f"{self.dim} numbers of {dim} do not turn in pairs")
        if query_offset is not None:
            same(batch, axes(query_offset, 1, "query_offset")[0], "the batch of query_offset")
        if key is not None:
            same(batch, axes(key, 4, "key")[0], "the batch of key")
        return (x,)

    def evaluate(self, x: Floats, query_offset: Integers | None = None, key: Floats | None = None) -> Results:
        batch, _, length, _ = x.shape
        offset = np.zeros(batch, np.int64) if query_offset is None else query_offset
        positions = offset[:, np.newaxis] + np.arange(length)
        angles = positions[:, np.newaxis, :, np.newaxis] * self.rates((x if key is None else key).shape[2])
        cosines, sines = self.attention_factor * np.cos(angles), self.attention_factor * np.sin(angles)
        firsts, seconds = self.pairs()
        y = x.copy()
        y[..., firsts] = x[..., firsts] * cosines - x[..., seconds] * sines
        y[..., seconds] = x[..., seconds] * cosines + x[..., firsts] * sines
        return (y,)

    def pairs(self) -> tuple[slice, slice]:
        """Where the first and the second number of each pair are."""
        if self.layout is RotaryLayout.HALF:
            return slice(0, self.dim // 2), slice(self.dim // 2, self.dim)
        return slice(0, self.dim, 2), slice(1, self.dim, 2)
