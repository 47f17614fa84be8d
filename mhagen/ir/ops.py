"""The vocabulary of the naive graph: one class for each step of the mathematics of attention.

In all shapes batch, queries and keys are lengths known when the kernel runs. From scores to weights, heads
come before positions. Every operand is of the spec's element type unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from ..expr.evaluate import evaluate
from ..expr.tree import Expr
from .op import Array, Floats, Integers, Op, Results, Types
from .types import TensorType, TypeRuleError, axes, same, whole


@dataclass(frozen=True)
class Linear(Op):
    """A projection: the weights and bias of `torch.nn.Linear`.

    Meaning  y[b, s, o] = sum over i of x[b, s, i] * weight[o, i], + bias[o]
    Example
        input %x: f32[batch, queries, 96]
        input %wq: f32[64, 96]
        input %bq: f32[64]
        %query: f32[batch, queries, 64] = linear(%x, %wq, %bq)
    """

    def infer(self, x: TensorType, weight: TensorType, bias: TensorType | None = None) -> Types:
        batch, length, width = axes(x, 3, "x")
        outputs, inputs = axes(weight, 2, "weight")
        same(width, inputs, "the width of x and of weight")
        if bias is not None:
            same(axes(bias, 1, "bias")[0], outputs, "the length of bias and the outputs of weight")
        return (TensorType(x.dtype, (batch, length, outputs)),)

    def evaluate(self, x: Floats, weight: Floats, bias: Floats | None = None) -> Results:
        product = x @ weight.T
        return (product if bias is None else product + bias,)


@dataclass(frozen=True)
class SplitHeads(Op):
    """The columns of a projection, dealt to the heads in equal runs.

    Meaning  y[b, s, h, d] = x[b, s, h * dim + d]
    Example
        input %query: f32[batch, queries, 64]
        %query_heads: f32[batch, queries, 4, 16] = split_heads(%query, heads=4)
    """

    heads: int

    def infer(self, x: TensorType) -> Types:
        batch, length, width = axes(x, 3, "x")
        dim, rest = divmod(whole(width, "the width of x"), self.heads)
        if rest != 0:
            raise TypeRuleError(f"{width} columns do not split into {self.heads} heads")
        return (TensorType(x.dtype, (batch, length, self.heads, dim)),)

    def evaluate(self, x: Floats) -> Results:
        batch, length, width = x.shape
        return (x.reshape(batch, length, self.heads, width // self.heads),)


@dataclass(frozen=True)
class ConcatHeads(Op):
    """The heads of a position side by side: the inverse of SplitHeads.

    Meaning  y[b, s, h * dim + d] = x[b, s, h, d]
    Example
        input %heads: f32[batch, queries, 4, 16]
        %context: f32[batch, queries, 64] = concat_heads(%heads)
    """

    def infer(self, x: TensorType) -> Types:
        batch, length, heads, dim = axes(x, 4, "x")
        return (TensorType(x.dtype, (batch, length, whole(heads, "heads") * whole(dim, "dim"))),)

    def evaluate(self, x: Floats) -> Results:
        batch, length, heads, dim = x.shape
        return (x.reshape(batch, length, heads * dim),)


def swapped(x: TensorType) -> Types:
    first, second, third, fourth = axes(x, 4, "x")
    return (TensorType(x.dtype, (first, third, second, fourth)),)


@dataclass(frozen=True)
class HeadsFirst(Op):
    """Heads brought before positions: layout bshd to layout bhsd.

    Meaning  y[b, h, s, d] = x[b, s, h, d]
    Example
        input %query: f32[batch, queries, 4, 16]
        %query_heads: f32[batch, 4, queries, 16] = heads_first(%query)
    """

    def infer(self, x: TensorType) -> Types:
        return swapped(x)

    def evaluate(self, x: Floats) -> Results:
        return (x.swapaxes(1, 2),)


@dataclass(frozen=True)
class HeadsLast(Op):
    """Heads brought behind positions: layout bhsd to layout bshd.

    Meaning  y[b, s, h, d] = x[b, h, s, d]
    Example
        input %out: f32[batch, 4, queries, 16]
        %out_rows: f32[batch, queries, 4, 16] = heads_last(%out)
    """

    def infer(self, x: TensorType) -> Types:
        return swapped(x)

    def evaluate(self, x: Floats) -> Results:
        return (x.swapaxes(1, 2),)


@dataclass(frozen=True)
class RepeatHeads(Op):
    """Each key/value head repeated for the query heads that share it.

    Meaning  y[b, h, s, d] = x[b, h // times, s, d]
    Example
        input %key: f32[batch, 2, keys, 16]
        %key_repeated: f32[batch, 8, keys, 16] = repeat_heads(%key, times=4)
    """

    times: int

    def infer(self, x: TensorType) -> Types:
        batch, heads, length, dim = axes(x, 4, "x")
        return (TensorType(x.dtype, (batch, whole(heads, "heads") * self.times, length, dim)),)

    def evaluate(self, x: Floats) -> Results:
        return (np.repeat(x, self.times, axis=1),)


@dataclass(frozen=True)
class Scores(Op):
    """The product of every query with every key of its head.

    Meaning  s[b, h, m, n] = sum over d of query[b, h, m, d] * key[b, h // group, n, d]
    Example
        input %query: f32[batch, 8, queries, 16]
        input %key: f32[batch, 2, keys, 16]
        %scores: f32[batch, 8, queries, keys] = scores(%query, %key, group=4)
    """

    group: int = 1

    def infer(self, query: TensorType, key: TensorType) -> Types:
        batch, heads, queries, dim = axes(query, 4, "query")
        key_batch, key_heads, keys, key_dim = axes(key, 4, "key")
        same(batch, key_batch, "the batch of query and key")
        same(heads, whole(key_heads, "key heads") * self.group, "query heads and key heads * group")
        same(dim, key_dim, "the dim of query and key")
        return (TensorType(query.dtype, (batch, heads, queries, keys)),)

    def evaluate(self, query: Floats, key: Floats) -> Results:
        batch, heads, queries, _ = query.shape
        product = by_group(query, self.group) @ key.swapaxes(2, 3)
        return (product.reshape(batch, heads, queries, key.shape[2]),)


def by_group(x: Floats, group: int) -> Floats:
    """The heads that share a key/value head as one head with all their rows."""
    batch, heads, rows, width = x.shape
    return x.reshape(batch, heads // group, group * rows, width)


@dataclass(frozen=True)
class Scale(Op):
    """A tensor times a number.

    Meaning  y = factor * x
    Example
        input %scores: f32[batch, 8, queries, keys]
        %scaled: f32[batch, 8, queries, keys] = scale(%scores, factor=0.25)
    """

    factor: float

    def infer(self, x: TensorType) -> Types:
        return (x,)

    def evaluate(self, x: Floats) -> Results:
        return (self.factor * x,)


def positions(scores: Floats, query_offset: Integers) -> dict[str, Array]:
    """What the names b, h, q and k stand for, each along its own axis of the scores."""
    batch, heads, queries, keys = (np.arange(length) for length in scores.shape)
    return {
        "b": batch[:, None, None, None],
        "h": heads[:, None, None],
        "q": query_offset[:, None, None, None] + queries[:, None],
        "k": keys,
    }


def over_scores(scores: TensorType, query_offset: TensorType) -> Types:
    same(axes(scores, 4, "scores")[0], axes(query_offset, 1, "query_offset")[0], "the batch of query_offset")
    return (scores,)


@dataclass(frozen=True)
class ModifyScores(Op):
    """An expression applied to every score.

    Meaning  y[b, h, m, n] = expression, where score is scores[b, h, m, n], q is m + query_offset[b], k is n
    Example
        input %scores: f32[batch, 8, queries, keys]
        input %query_offset: i64[batch]
        input %slope: f32[8]
        %modified: f32[batch, 8, queries, keys] = modify_scores(%scores, %query_offset, %slope,
            expression="score + slope[h] * (k - q)")
    """

    expression: Expr

    def infer(self, scores: TensorType, query_offset: TensorType, *captured: TensorType) -> Types:
        return over_scores(scores, query_offset)

    def evaluate(self, scores: Floats, query_offset: Integers, *captured: Array) -> Results:
        if scores.size == 0:  # an input may then have no element to clamp an index to
            return (scores,)
        names = positions(scores, query_offset) | {"score": scores}
        modified = evaluate(self.expression, names, dict(zip(self.captured, captured, strict=True)))
        return (np.broadcast_to(modified.astype(np.float64), scores.shape),)


@dataclass(frozen=True)
class Mask(Op):
    """Scores that a query may not see become -inf, whatever they were.

    Meaning  y[b, h, m, n] = scores[b, h, m, n] if keep else -inf; q is m + query_offset[b], k is n
    Numbers  a hidden NaN or infinity becomes -inf too
    Example
        input %scores: f32[batch, 8, queries, keys]
        input %query_offset: i64[batch]
        %masked: f32[batch, 8, queries, keys] = mask(%scores, %query_offset, keep="k <= q")
    """

    keep: Expr

    def infer(self, scores: TensorType, query_offset: TensorType, *captured: TensorType) -> Types:
        return over_scores(scores, query_offset)

    def evaluate(self, scores: Floats, query_offset: Integers, *captured: Array) -> Results:
        if scores.size == 0:  # an input may then have no element to clamp an index to
            return (scores,)
        names = positions(scores, query_offset)
        visible = evaluate(self.keep, names, dict(zip(self.captured, captured, strict=True)))
        return (np.where(visible, scores, -np.inf),)


@dataclass(frozen=True)
class WeightedValues(Op):
    """The mean of the values under the weights.

    Meaning  y[b, h, m, d] = sum over n of weights[b, h, m, n] * value[b, h // group, n, d]
    Numbers  a weight of 0 contributes nothing, not even of a NaN or an infinity
    Example
        input %weights: f32[batch, 8, queries, keys]
        input %value: f32[batch, 2, keys, 16]
        %out: f32[batch, 8, queries, 16] = weighted_values(%weights, %value, group=4)
    """

    group: int = 1

    def infer(self, weights: TensorType, value: TensorType) -> Types:
        batch, heads, queries, keys = axes(weights, 4, "weights")
        value_batch, value_heads, value_keys, dim = axes(value, 4, "value")
        same(batch, value_batch, "the batch of weights and value")
        same(heads, whole(value_heads, "value heads") * self.group, "query heads and value heads * group")
        same(keys, value_keys, "the keys of weights and value")
        return (TensorType(value.dtype, (batch, heads, queries, dim)),)

    def evaluate(self, weights: Floats, value: Floats) -> Results:
        batch, heads, queries, _ = weights.shape
        grouped = by_group(weights, self.group)
        product = grouped @ np.where(np.isfinite(value), value, 0.0)
        if not np.isfinite(value).all():
            product = product + not_finite_part(grouped, value)
        return (product.reshape(batch, heads, queries, value.shape[3]),)


def not_finite_part(weights: Floats, value: Floats) -> Floats:
    """What the NaNs and infinities among the values add where their weight is not 0."""
    counts = (weights != 0).astype(np.float64)
    infinite = [np.where(counts @ (value == limit) > 0, limit, 0.0) for limit in (np.inf, -np.inf)]
    undefined = np.where(counts @ np.isnan(value) > 0, np.nan, 0.0)
    return cast(Floats, infinite[0] + infinite[1] + undefined)
