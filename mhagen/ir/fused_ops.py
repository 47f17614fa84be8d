"""The vocabulary that passes leave: each op is one kernel that a backend can generate.

Meaning is still defined here, in float64, out of the naive vocabulary: a fused op computes what the ops it
replaced computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ..expr.tree import Expr
from ..spec.fields import Layout
from .op import Array, Floats, Integers, Op, Results, Types
from .ops import (
    ConcatHeads,
    Linear,
    Mask,
    ModifyScores,
    Scores,
    SplitHeads,
    WeightedValues,
    swapped,
)
from .softmax_ops import STATISTICS, UNSEEN, Softmax
from .types import Base, TensorType, TypeRuleError

Operand = TypeVar("Operand")
# The number of the part of a head that is not computed at all.
UNCOMPUTED = -1


@dataclass(frozen=True)
class ProjectHeads(Op):
    """Projections of one x as one product, whose columns are written head by head.

    Meaning  for each i: y_i[b, h, s, d] = sum over j of x[b, s, j] * weight_i[h * dim_i + d, j], + bias_i
    Shapes   operands are x, then weight_0, weight_1, ... or weight_0, bias_0, weight_1, bias_1, ...;
             weight_i has heads[i] * dim_i rows
    Numbers  the heads of skips[i] are not made, and nobody may read them: they are NaN
    Example
        input %x: f32[batch, queries, 96]
        input %wq: f32[64, 96]
        input %wk: f32[32, 96]
        %query: f32[batch, 4, queries, 16], %key: f32[batch, 2, queries, 16] = project_heads(%x, %wq, %wk,
            heads=(4, 2), skips=((0, 1), (0,)))
    """

    heads: tuple[int, ...]
    skips: tuple[tuple[int, ...], ...] = ()

    def infer(self, x: TensorType, *parameters: TensorType) -> Types:
        if len(self.skips) not in (0, len(self.heads)):
            raise TypeRuleError(f"skips speaks of {len(self.skips)} of {len(self.heads)} projections")
        rows = (Linear().infer(x, *projection)[0] for projection in self.projections(parameters))
        return tuple(
            swapped(*SplitHeads(heads).infer(row))[0] for heads, row in zip(self.heads, rows, strict=True)
        )

    def evaluate(self, x: Floats, *parameters: Floats) -> Results:
        rows = (Linear().evaluate(x, *projection)[0] for projection in self.projections(parameters))
        results = tuple(
            SplitHeads(heads).evaluate(row)[0].swapaxes(1, 2)
            for heads, row in zip(self.heads, rows, strict=True)
        )
        for result, skipped in zip(results, self.skips, strict=False):
            result[:, list(skipped)] = np.nan
        return results

    def projections(self, parameters: tuple[Operand, ...]) -> tuple[tuple[Operand, ...], ...]:
        """The operands after x, grouped by projection: (weight,) or (weight, bias) each."""
        each, rest = divmod(len(parameters), len(self.heads))
        if rest != 0 or each not in (1, 2):
            raise TypeRuleError(f"{len(self.heads)} projections cannot share {len(parameters)} parameters")
        starts = range(0, len(parameters), each)
        return tuple(parameters[start : start + each] for start in starts)


@dataclass(frozen=True)
class StreamedAttention(Op):
    """Scores, modify, mask, softmax and values in one online step: no row of scores is ever stored.

    Meaning  s = score_scale * modify(query_scale * <query, key>), -inf where not keep; w = 2 ** s / (sum of
             2 ** s, + e ** sink); out = sum of w * value. Scores are in units of log2, the sink is a natural
             logit. The results are out, then the statistics in their order.
    Shapes   query, key and value have the axes of `reads`, out those of `writes`; statistics are
             (batch, heads, queries)
    Numbers  as Mask, Softmax, the ops of statistics and WeightedValues
    Example
        input %query: f32[batch, 8, queries, 16]
        input %key: f32[batch, 2, keys, 16]
        input %value: f32[batch, 2, keys, 16]
        input %query_offset: i64[batch]
        %out: f32[batch, 8, queries, 16], %lse: f32[batch, 8, queries] = streamed_attention(%query, %key,
            %value, %query_offset, query_scale=0.36, group=4, keep="k <= q", statistics=(lse,))
    """

    query_scale: float = 1.0
    score_scale: float = 1.0
    group: int = 1
    modify: Expr | None = None
    keep: Expr | None = None
    sink: Expr | None = None
    statistics: tuple[str, ...] = ()
    reads: Layout = Layout.BHSD
    writes: Layout = Layout.BHSD

    def with_layouts(self, reads: Layout, writes: Layout) -> StreamedAttention:
        """The same attention of arrays that lie in another way."""
        return replace(self, reads=reads, writes=writes)

    def infer(
        self,
        query: TensorType,
        key: TensorType,
        value: TensorType,
        query_offset: TensorType,
        *captured: TensorType,
    ) -> Types:
        if self.reads is Layout.BSHD:
            query, key, value = (swapped(x)[0] for x in (query, key, value))
        (scores,) = Scores(self.group).infer(query, key)
        (out,) = WeightedValues(self.group).infer(scores, value)
        statistics = (STATISTICS[name]().infer(scores)[0] for name in self.statistics)
        return (swapped(out)[0] if self.writes is Layout.BSHD else out, *statistics)

    def evaluate(
        self, query: Floats, key: Floats, value: Floats, query_offset: Integers, *captured: Array
    ) -> Results:
        if self.reads is Layout.BSHD:
            query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
        arrays = dict(zip(self.captured, captured, strict=True))
        scores = self.scores(query, key, query_offset, arrays)
        softmax = Softmax(Base.TWO, self.sink)
        rows = () if self.sink is None else (query_offset, *(arrays[name] for name in softmax.captured))
        (weights,) = softmax.evaluate(scores, *rows)
        (out,) = WeightedValues(self.group).evaluate(weights, value)
        statistics = (
            STATISTICS[name](Base.TWO, self.sink).evaluate(scores, *rows)[0] for name in self.statistics
        )
        return (out.swapaxes(1, 2) if self.writes is Layout.BSHD else out, *statistics)

    def scores(
        self, query: Floats, key: Floats, query_offset: Integers, captured: dict[str, Array]
    ) -> Floats:
        """The scores in units of log2, -inf where hidden."""
        (scores,) = Scores(self.group).evaluate(self.query_scale * query, key)
        if self.modify is not None:
            modify = ModifyScores(self.modify)
            (scores,) = modify.evaluate(scores, query_offset, *(captured[name] for name in modify.captured))
        scores = self.score_scale * scores
        if self.keep is not None:
            mask = Mask(self.keep)
            (scores,) = mask.evaluate(scores, query_offset, *(captured[name] for name in mask.captured))
        return scores


@dataclass(frozen=True)
class GroupedAttention(Op):
    """Attention whose heads differ: each as one of several streamed attentions has it, or not at all.

    Meaning  results[b, h, ...] = those of parts[of[h]]; where of[h] is -1, out is 0 and statistics are those
             of a query that sees no key
    Shapes   as StreamedAttention; parts agree in group, statistics, reads and writes
    Example
        input %query: f32[batch, 4, queries, 16]
        input %key: f32[batch, 2, keys, 16]
        input %value: f32[batch, 2, keys, 16]
        input %query_offset: i64[batch]
        %out: f32[batch, 4, queries, 16], %lse: f32[batch, 4, queries] = grouped_attention(%query, %key,
            %value, %query_offset, of=(0, 1, 1, -1), parts=(streamed_attention(group=2, statistics=(lse,)),
            streamed_attention(group=2, keep="k <= q", statistics=(lse,))))
    """

    of: tuple[int, ...]
    parts: tuple[StreamedAttention, ...]

    @property
    def expressions(self) -> tuple[Expr, ...]:
        return tuple(expression for part in self.parts for expression in part.expressions)

    @property
    def reads(self) -> Layout:
        return self.parts[0].reads

    @property
    def writes(self) -> Layout:
        return self.parts[0].writes

    def with_layouts(self, reads: Layout, writes: Layout) -> GroupedAttention:
        """The same attention of arrays that lie in another way."""
        return replace(self, parts=tuple(part.with_layouts(reads, writes) for part in self.parts))

    def infer(self, query: TensorType, *operands: TensorType) -> Types:
        heads = query.shape[2 if self.reads is Layout.BSHD else 1]
        if len(self.of) != heads or not set(self.of) <= {UNCOMPUTED, *range(len(self.parts))}:
            raise TypeRuleError(
                f"{self.of} does not say of {heads} heads which of {len(self.parts)} parts has them"
            )
        found = {part.infer(query, *operands) for part in self.parts}
        if len(found) != 1 or len({(each.statistics, each.reads, each.writes) for each in self.parts}) != 1:
            raise TypeRuleError("parts differ in what they read or give")
        return found.pop()

    def evaluate(
        self, query: Floats, key: Floats, value: Floats, query_offset: Integers, *captured: Array
    ) -> Results:
        arrays = dict(zip(self.captured, captured, strict=True))
        results = [
            part.evaluate(query, key, value, query_offset, *(arrays[name] for name in part.captured))
            for part in self.parts
        ]
        names = ("out", *self.parts[0].statistics)
        return tuple(self.joined(name, parts) for name, *parts in zip(names, *results, strict=True))

    def joined(self, name: str, parts: list[Floats]) -> Floats:
        axis = 2 if name == "out" and self.writes is Layout.BSHD else 1
        heads = [np.take(parts[number], head, axis) for head, number in enumerate(self.of)]
        gated = [
            np.full_like(each, UNSEEN[name]) if number == UNCOMPUTED else each
            for each, number in zip(heads, self.of, strict=True)
        ]
        return np.stack(gated, axis)


@dataclass(frozen=True)
class OutputLinear(Op):
    """The output projection, reading the heads of a position where they lie.

    Meaning  y[b, s, o] = sum over h, d of heads[b, s, h, d] * weight[o, h * dim + d], + bias[o]; heads of
             `skips` have no part in it
    Example
        input %heads: f32[batch, queries, 4, 16]
        input %wo: f32[96, 64]
        %y: f32[batch, queries, 96] = output_linear(%heads, %wo, skips=(1,))
    """

    skips: tuple[int, ...] = ()

    def infer(self, heads: TensorType, weight: TensorType, bias: TensorType | None = None) -> Types:
        (rows,) = ConcatHeads().infer(heads)
        return Linear().infer(rows, weight, bias)

    def evaluate(self, heads: Floats, weight: Floats, bias: Floats | None = None) -> Results:
        columns = np.array([head not in self.skips for head in range(heads.shape[2])]).repeat(heads.shape[3])
        (rows,) = ConcatHeads().evaluate(heads)
        return Linear().evaluate(rows[..., columns], weight[:, columns], bias)
