"""Ops that know heads apart: what is made in several ways is picked head by head, and heads are gated.

Shapes are those of `ir/ops.py`; what is picked or gated has its heads in the second axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .op import Floats, Op, Results, Types
from .types import Dimension, TensorType, TypeRuleError, whole


def heads_of(x: TensorType) -> int:
    if len(x.shape) < 2:
        raise TypeRuleError(f"{x} has no axis of heads")
    return whole(x.shape[1], "heads")


def check_heads(heads: tuple[int, ...], count: Dimension) -> None:
    if any(not 0 <= head < whole(count, "heads") for head in heads):
        raise TypeRuleError(f"there are heads 0 to {whole(count, 'heads') - 1}, not all of {heads}")


@dataclass(frozen=True)
class PickHeads(Op):
    """Each head from one of several tensors of one type.

    Meaning  y[b, h, ...] = x_i[b, h, ...] with i = of[h]
    Example
        input %global: f32[batch, 4, queries, 16]
        input %windowed: f32[batch, 4, queries, 16]
        %out: f32[batch, 4, queries, 16] = pick_heads(%global, %windowed, of=(0, 1, 1, 0))
    """

    of: tuple[int, ...]

    def infer(self, *tensors: TensorType) -> Types:
        first, *others = tensors
        if any(other != first for other in others):
            raise TypeRuleError(f"tensors to pick from differ: {', '.join(map(str, tensors))}")
        if len(self.of) != heads_of(first) or not set(self.of) <= set(range(len(tensors))):
            raise TypeRuleError(
                f"{self.of} does not say of {first} which of {len(tensors)} tensors has a head"
            )
        return (first,)

    def evaluate(self, *tensors: Floats) -> Results:
        picked = [tensors[number][:, head] for head, number in enumerate(self.of)]
        return (np.stack(picked, axis=1),)


@dataclass(frozen=True)
class GateHeads(Op):
    """Heads that are gated off: they have one number, whatever they were.

    Meaning  y[b, h, ...] = fill for h in heads, else x[b, h, ...]
    Example
        input %out: f32[batch, 4, queries, 16]
        %gated: f32[batch, 4, queries, 16] = gate_heads(%out, heads=(1, 3))
    """

    heads: tuple[int, ...]
    fill: float = 0.0

    def infer(self, x: TensorType) -> Types:
        check_heads(self.heads, heads_of(x))
        return (x,)

    def evaluate(self, x: Floats) -> Results:
        gated = x.copy()
        gated[:, list(self.heads)] = self.fill
        return (gated,)
