"""Attention as it is written in plain NumPy: two products, a softmax between them, all scores in memory.

What a kernel's speed is compared with. It shares no code with kernels, passes or the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..base.dtypes import DType
from ..expr.evaluate import evaluate
from ..spec.fields import Layout
from ..spec.model import Spec
from ..spec.projections import RotaryLayout

Floats: TypeAlias = NDArray[np.floating[Any]]
Array: TypeAlias = NDArray[Any]


class NumpyBaseline:
    """`attention` and `layer` of a spec in NumPy, without statistics.

    Numbers  float64 for float64, else float32: NumPy has no products of 16-bit formats
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.real = np.float64 if spec.dtype is DType.FLOAT64 else np.float32

    def attention(
        self, query: Floats, key: Floats, value: Floats, *, query_offset: int = 0, **inputs: Array
    ) -> Floats:
        """Shapes   as the kernel's, in the spec's layout."""
        if self.spec.layout is Layout.BHSD:
            return self._attend(query, key, value, query_offset, inputs)
        query, key, value = (rows.swapaxes(1, 2) for rows in (query, key, value))
        return self._attend(query, key, value, query_offset, inputs).swapaxes(1, 2)

    def layer(
        self, x: Floats, weights: Mapping[str, Floats], *, query_offset: int = 0, **inputs: Array
    ) -> Floats:
        """Self-attention with its projections.  Shapes   x (batch, queries, model_dim)."""
        heads = self.spec.heads
        x = self._computed(x)
        weights = {name: self._computed(array) for name, array in weights.items()}
        query = split_heads(linear(x, weights, "q"), heads.query)
        key = split_heads(linear(x, weights, "k"), heads.key_value)
        value = split_heads(linear(x, weights, "v"), heads.key_value)
        query = self._placed(query, weights, "q_norm", query_offset, x.shape[1])
        key = self._placed(key, weights, "k_norm", 0, x.shape[1])
        out = self._attend(query, key, value, query_offset, inputs)
        rows = out.swapaxes(1, 2).reshape(*x.shape[:2], -1)
        return linear(rows, weights, "o")

    def _placed(
        self, heads: Floats, weights: Mapping[str, Floats], norm: str, first: int, keys: int
    ) -> Floats:
        """Heads of queries or keys after their norm, turned by their positions."""
        assert self.spec.projections is not None
        qk_norm, rotary = self.spec.projections.qk_norm, self.spec.projections.rotary
        if qk_norm is not None:
            squares = np.mean(heads * heads, axis=-1, keepdims=True)
            heads = heads / np.sqrt(squares + self.real(qk_norm.eps)) * weights[norm]
        if rotary is None:
            return heads
        turning = rotary.turning(self.spec.heads.dim)
        angles = np.outer(np.arange(first, first + heads.shape[2]), turning.rates(keys))
        return turned(heads, angles, turning.attention_factor, rotary.layout)

    def _attend(
        self, query: Floats, key: Floats, value: Floats, query_offset: int, inputs: Mapping[str, Array]
    ) -> Floats:
        ways = self.spec.alike
        if len(ways) == 1 and not self.spec.heads.pruned:
            heads = np.arange(self.spec.heads.query)
            return NumpyBaseline(ways[0].spec)._attend_alike(query, key, value, heads, query_offset, inputs)
        # Each group by itself, its keys beside each other: there is no view that has them so.
        group = self.spec.heads.query // self.spec.heads.key_value
        out = np.zeros((*query.shape[:3], value.shape[3]), self.real)
        for way in ways:
            heads = np.intersect1d(way.heads, self.spec.kept_heads)
            arrays = query[:, heads], key[:, heads // group], value[:, heads // group]
            out[:, heads] = NumpyBaseline(way.spec)._attend_alike(*arrays, heads, query_offset, inputs)
        return out

    def _attend_alike(
        self,
        query: Floats,
        key: Floats,
        value: Floats,
        heads: Array,
        query_offset: int,
        inputs: Mapping[str, Array],
    ) -> Floats:
        """Heads that are all as the spec says. `heads`: their numbers."""
        query, key, value = (self._computed(array) for array in (query, key, value))
        # Heads that share keys: (batch, key/value heads, heads of one, length, dim), a view.
        batch, query_heads, queries, dim = query.shape
        key_value_heads = key.shape[1]
        if query_heads == 0:
            return np.zeros((batch, 0, queries, value.shape[3]), self.real)
        grouped = query.reshape(batch, key_value_heads, query_heads // key_value_heads, queries, dim)
        scaled: Floats = grouped * self.real(self.spec.scale)
        products = scaled @ key[:, :, np.newaxis].swapaxes(-1, -2)
        scores = products.reshape(batch, query_heads, queries, -1)
        names = positions(scores.shape, query_offset) | {"h": heads[:, None, None]}
        visible = self._visible(scores, names, inputs)
        weights = softmax(visible, self._sink(scores.shape, names, inputs)).reshape(products.shape)
        return (weights @ value[:, :, np.newaxis]).reshape(batch, query_heads, queries, -1)

    def _computed(self, array: Array) -> Floats:
        """The array in what is computed in."""
        wide: Floats = array.astype(self.real, copy=False)
        return wide

    def _visible(self, scores: Floats, names: Mapping[str, Array], inputs: Mapping[str, Array]) -> Floats:
        """The scores after `modify`, and -inf where `keep` hides the key."""
        modify, keep = self.spec.score_expression, self.spec.keep_expression
        if modify is not None:
            changed = evaluate(modify, {**names, "score": scores}, inputs, self.real)
            is_whole = changed.shape == scores.shape
            scores = changed if is_whole else np.broadcast_to(changed, scores.shape).copy()
        if keep is not None:
            scores = np.where(evaluate(keep, names, inputs, self.real), scores, self.real(-np.inf))
        return scores

    def _sink(
        self, shape: tuple[int, ...], names: Mapping[str, Array], inputs: Mapping[str, Array]
    ) -> Floats | None:
        """The logit that joins each row of scores."""
        if self.spec.sink_expression is None:
            return None
        logits = evaluate(self.spec.sink_expression, names, inputs, self.real)
        return np.broadcast_to(logits, (*shape[:3], 1)).astype(self.real)


def positions(shape: tuple[int, ...], query_offset: int) -> dict[str, Array]:
    """What b, h, q and k are for scores of this shape, each along its own axis."""
    b, h, q, k = (
        np.arange(length).reshape([-1 if axis == place else 1 for axis in range(4)])
        for place, length in enumerate(shape)
    )
    return {"b": b, "h": h, "q": q + query_offset, "k": k}


def softmax(scores: Floats, sink: Floats | None) -> Floats:
    """Weights over the last axis, written over the scores; a row of -inf alone gives zeros."""
    greatest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    if sink is not None:
        greatest = np.maximum(greatest, sink)
    origin = np.where(np.isneginf(greatest), np.float32(0), greatest)
    np.subtract(scores, origin, out=scores)
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    if sink is not None:
        total += np.exp(sink - origin)
    np.divide(scores, np.where(total == 0, np.float32(1), total), out=scores)
    return scores


def linear(x: Floats, weights: Mapping[str, Floats], letter: str) -> Floats:
    rows: Floats = x @ weights[f"w{letter}"].T
    return rows + weights[f"b{letter}"] if f"b{letter}" in weights else rows


def turned(heads: Floats, angles: Array, factor: float, layout: RotaryLayout) -> Floats:
    """Heads whose first numbers are turned in pairs: (length, pairs) angles."""
    pairs = angles.shape[1]
    half = layout is RotaryLayout.HALF
    firsts = slice(0, pairs) if half else slice(0, 2 * pairs, 2)
    seconds = slice(pairs, 2 * pairs) if half else slice(1, 2 * pairs, 2)
    cosines, sines = ((factor * wave(angles)).astype(heads.dtype) for wave in (np.cos, np.sin))
    result = heads.copy()
    result[..., firsts] = heads[..., firsts] * cosines - heads[..., seconds] * sines
    result[..., seconds] = heads[..., seconds] * cosines + heads[..., firsts] * sines
    return result


def split_heads(rows: Floats, heads: int) -> Floats:
    return rows.reshape(*rows.shape[:2], heads, -1).swapaxes(1, 2)
