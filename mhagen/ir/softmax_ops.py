"""The softmax, and what is known of its rows: ops from scores to weights, or to one number a query.

Shapes are those of `ir/ops.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from ..base.dtypes import DType
from ..expr.evaluate import evaluate
from ..expr.tree import Expr
from ..spec.statistic import LEADERS
from .op import Array, Floats, Integers, Op, Results, Types
from .ops import over_scores, positions
from .types import Base, Dimension, TensorType, TypeRuleError, axes


@dataclass(frozen=True)
class RowOp(Op):
    """What is made of a row of scores by a softmax: its weights, or a number that sums it up.

    `base` is the number whose powers are taken of scores. `sink` is one more logit in the denominator, of b,
    h and q: a natural one, whatever the base. Operands are scores; with a sink also query_offset and the
    arrays that it indexes. A sink that reads an array without elements is not there.
    """

    base: Base = Base.E
    sink: Expr | None = None

    def rows(self, scores: TensorType, operands: tuple[TensorType, ...]) -> tuple[Dimension, ...]:
        """The axes of the rows of scores; the operands behind the scores must be those of the sink."""
        if (self.sink is not None) != bool(operands):
            which = "no" if self.sink is None else "a"
            raise TypeRuleError(f"it has {1 + len(operands)} operands and {which} sink")
        if operands:
            over_scores(scores, operands[0])
        return axes(scores, 4, "scores")[:3]

    def logits(self, scores: Floats, operands: tuple[Array, ...]) -> Floats:
        """The sink's logit of each row, in units of the scores; -inf where there is none."""
        rows = (*scores.shape[:3], 1)
        if self.sink is None or any(each.size == 0 for each in operands):
            return np.full(rows, -np.inf)
        offset, *captured = operands
        names = positions(scores, cast(Integers, offset))
        logits = evaluate(self.sink, names, dict(zip(self.captured, captured, strict=True)))
        return np.broadcast_to(logits.astype(np.float64) / self.unit, rows)

    @property
    def unit(self) -> float:
        """What a score of 1 is as a natural logit."""
        return 1.0 if self.base is Base.E else float(np.log(2.0))

    def denominator(self, scores: Floats, operands: tuple[Array, ...]) -> tuple[Floats, Floats, Floats]:
        """A peak for each row, base ** (score - peak), and the sum of these along the row and of the sink's.

        Numbers  a row of nothing but -inf has powers 0, and without a sink the sum 0
        """
        logits = self.logits(scores, operands)
        peak = np.maximum(np.max(scores, axis=3, keepdims=True, initial=-np.inf), logits)
        origin = np.where(peak == -np.inf, 0.0, peak)
        power = np.exp if self.base is Base.E else np.exp2
        powers = power(scores - origin)
        return peak, powers, powers.sum(axis=3, keepdims=True) + power(logits - origin)


@dataclass(frozen=True)
class Softmax(RowOp):
    """Scores along the keys turned into weights that sum to 1, together with that of the sink.

    Meaning  w[b, h, m, n] = base ** s[b, h, m, n] / (sum over j of base ** s[b, h, m, j], + e ** sink)
    Numbers  a score of -inf gets weight 0; any other NaN or infinity makes the weights of its row NaN
    Example
        input %scores: f32[batch, 8, queries, keys]
        input %query_offset: i64[batch]
        input %sink: f32[8]
        %weights: f32[batch, 8, queries, keys] = softmax(%scores, %query_offset, %sink, base=2,
            sink="sink[h]")
    """

    def infer(self, scores: TensorType, *operands: TensorType) -> Types:
        self.rows(scores, operands)
        return (scores,)

    def evaluate(self, scores: Floats, *operands: Array) -> Results:
        _, powers, total = self.denominator(scores, operands)
        return (np.where(scores == -np.inf, 0.0, powers / total),)


@dataclass(frozen=True)
class LogSumExp(RowOp):
    """The natural logarithm of the softmax's denominator.

    Meaning  l[b, h, m] = ln(sum over n of base ** s[b, h, m, n], + e ** sink)
    Numbers  for a row of nothing but -inf the sink's logit, without a sink -inf
    Example
        input %scores: f32[batch, 8, queries, keys]
        %lse: f32[batch, 8, queries] = log_sum_exp(%scores)
    """

    def infer(self, scores: TensorType, *operands: TensorType) -> Types:
        return (TensorType(scores.dtype, self.rows(scores, operands)),)

    def evaluate(self, scores: Floats, *operands: Array) -> Results:
        peak, _, total = self.denominator(scores, operands)
        return ((self.unit * peak + np.log(total))[..., 0],)


@dataclass(frozen=True)
class MaxScore(LogSumExp):
    """The greatest score of a query, as a natural logit; the sink has no part in it.

    Meaning  m[b, h, m] = max over n of s[b, h, m, n] * ln(base)
    Numbers  -inf for a row of nothing but -inf
    Example
        input %scores: f32[batch, 8, queries, keys]
        %max: f32[batch, 8, queries] = max_score(%scores)
    """

    def evaluate(self, scores: Floats, *operands: Array) -> Results:
        return (self.unit * np.max(scores, axis=3, initial=-np.inf),)


@dataclass(frozen=True)
class Entropy(LogSumExp):
    """How widely the weights of a query are spread, in natural units; the share of the sink is not a weight.

    Meaning  e[b, h, m] = -(sum over n of w[b, h, m, n] * ln(w[b, h, m, n])), of the softmax's weights w
    Numbers  a weight of 0 adds 0: a row of nothing but -inf has entropy 0
    Example
        input %scores: f32[batch, 8, queries, keys]
        %entropy: f32[batch, 8, queries] = entropy(%scores)
    """

    def evaluate(self, scores: Floats, *operands: Array) -> Results:
        (weights,) = Softmax(self.base, self.sink).evaluate(scores, *operands)
        terms = weights * np.log(np.where(weights == 0.0, 1.0, weights))
        return (0.0 - terms.sum(axis=3),)


@dataclass(frozen=True)
class Confidence(LogSumExp):
    """The greatest weight of a query.

    Meaning  c[b, h, m] = max over n of w[b, h, m, n], of the softmax's weights w
    Numbers  0 for a row of nothing but -inf
    Source   Voita et al. 2019, section 4
    Example
        input %scores: f32[batch, 8, queries, keys]
        %confidence: f32[batch, 8, queries] = confidence(%scores)
    """

    def evaluate(self, scores: Floats, *operands: Array) -> Results:
        (weights,) = Softmax(self.base, self.sink).evaluate(scores, *operands)
        return (np.max(weights, axis=3, initial=0.0),)


@dataclass(frozen=True)
class Received(RowOp):
    """The weight that each key receives in total, from all queries of a head.

    Meaning  r[b, h, n] = sum over m of w[b, h, m, n], of the softmax's weights w
    Shapes   (batch, heads, keys)
    Numbers  0 for a key that no query sees
    Example
        input %scores: f32[batch, 8, queries, keys]
        %received: f32[batch, 8, keys] = received(%scores)
    """

    def infer(self, scores: TensorType, *operands: TensorType) -> Types:
        self.rows(scores, operands)
        return (TensorType(scores.dtype, (*scores.shape[:2], scores.shape[3])),)

    def evaluate(self, scores: Floats, *operands: Array) -> Results:
        (weights,) = Softmax(self.base, self.sink).evaluate(scores, *operands)
        return (weights.sum(axis=2),)


@dataclass(frozen=True)
class TopKeys(RowOp):
    """The keys with the greatest scores of a query, by their numbers; the sink has no part in it.

    Meaning  t[b, h, m, i] = n such that s[b, h, m, n] is the i-th greatest; of equals, the lowest first
    Shapes   (batch, heads, queries, count), integers
    Numbers  -1 where there are fewer; neither NaN nor -inf is a score that is greater than another
    Example
        input %scores: f32[batch, 8, queries, keys]
        %top_4: i64[batch, 8, queries, 4] = top_keys(%scores, count=4)
    """

    count: int = 1

    def infer(self, scores: TensorType, *operands: TensorType) -> Types:
        return (TensorType(DType.INT64, (*self.rows(scores, operands), self.count)),)

    def evaluate(self, scores: Floats, *operands: Array) -> Results:
        ranked = np.where(np.isnan(scores), -np.inf, scores)
        order = np.argsort(-ranked, axis=3, kind="stable")[..., : self.count]
        found = np.full((*scores.shape[:3], self.count), -1.0)
        is_there = np.take_along_axis(ranked, order, axis=3) > -np.inf
        found[..., : order.shape[3]] = np.where(is_there, order, -1)
        return (found,)


@dataclass(frozen=True)
class ArgMax(RowOp):
    """The key with the greatest score of a query, by its number.

    Meaning  a[b, h, m] = n such that s[b, h, m, n] is the greatest; of equals, the lowest
    Shapes   (batch, heads, queries), integers
    Numbers  as TopKeys
    Example
        input %scores: f32[batch, 8, queries, keys]
        %argmax: i64[batch, 8, queries] = arg_max(%scores)
    """

    def infer(self, scores: TensorType, *operands: TensorType) -> Types:
        return (TensorType(DType.INT64, self.rows(scores, operands)),)

    def evaluate(self, scores: Floats, *operands: Array) -> Results:
        (found,) = TopKeys(self.base, self.sink).evaluate(scores, *operands)
        return (found[..., 0],)


# The op that defines each statistic an attention can return.
STATISTICS: Mapping[str, Callable[..., RowOp]] = {
    "lse": LogSumExp,
    "max": MaxScore,
    "entropy": Entropy,
    "confidence": Confidence,
    "received": Received,
    "argmax": ArgMax,
    **{name: partial(TopKeys, count=count) for name, count in LEADERS.items() if name != "argmax"},
}
# The output and the statistics of a head that sees no key and has no sink.
UNSEEN: Mapping[str, float] = {
    "out": 0.0,
    "lse": -np.inf,
    "max": -np.inf,
    "entropy": 0.0,
    "confidence": 0.0,
    "received": 0.0,
    **dict.fromkeys(LEADERS, -1.0),
}
