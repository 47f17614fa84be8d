"""What the heads of a layer do with its inputs. A float64 kernel computes it: no scores lie in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np

from ..backend.acceptance import numpy_dtype
from ..base.dtypes import DType
from ..ir.evaluate import run_graph
from ..ir.graph import QUERY_OFFSET
from ..ir.op import Floats
from ..pipeline import Kernel, build
from ..spec.fields import Layout, Outputs, Statistic
from ..spec.model import Spec
from .seen import SeenLayer


@dataclass(frozen=True, eq=False)
class Observed:
    """What each head does.

    Shapes   contexts (batch, heads, queries, value_dim): what a head gives to the output linear, whose part
             for it is output_weights (heads, model_dim, value_dim); entropy, confidence (batch, heads,
             queries); output, gradient (batch, queries, model_dim)
    Numbers  the gradient is 0 at tokens that do not count
    """

    seen: SeenLayer
    contexts: Floats
    entropy: Floats
    confidence: Floats
    output_weights: Floats
    output: Floats
    gradient: Floats

    @property
    def heads(self) -> tuple[int, ...]:
        """Those that are not pruned already."""
        return self.seen.spec.kept_heads

    def contribution(self, head: int) -> Floats:
        """What the head adds to the output."""
        return cast(Floats, self.contexts[:, head] @ self.output_weights[head].T)

    def sensitivities(self) -> Iterator[tuple[int, Floats]]:
        """For each head (batch, queries): what each token adds to the loss's derivative by its gate.

        Source   Michel et al. 2019, section 4.1: the product of a head's output and the loss's gradient there
        """
        counted = self.seen.counted[..., np.newaxis]
        for head in self.heads:
            carried = self.gradient @ self.output_weights[head]
            context = np.where(counted, self.contexts[:, head], 0.0)  # a NaN times a gradient of 0 is NaN
            yield head, np.einsum("bqd,bqd->bq", context, carried)


def watching_kernel(spec: Spec) -> Kernel:
    """The kernel that watches heads: the spec's attention in float64, with entropy and confidence."""
    statistics = Outputs(statistics=(Statistic.ENTROPY, Statistic.CONFIDENCE))
    changes = {"dtype": DType.FLOAT64, "layout": Layout.BHSD, "outputs": statistics, "projections": None}
    return build(spec.model_copy(update=changes), tune="never")


def observe(seen: SeenLayer, kernel: Kernel) -> Observed:
    """Watch the heads of a layer."""
    spec, arrays = seen.spec, seen.arrays
    operands = run_graph(seen.graph, arrays)
    captured = {name: arrays[name].astype(numpy_dtype(each.dtype)) for name, each in spec.inputs.items()}
    found = kernel.attention(**operands, **captured, query_offset=arrays[QUERY_OFFSET])
    width, heads = arrays["wo"].shape[0], spec.heads
    output_weights = cast(Floats, arrays["wo"]).reshape(width, heads.query, heads.value_dim).swapaxes(0, 1)
    rows = found.out.swapaxes(1, 2).reshape(*found.out.shape[::2], -1)
    output = rows @ arrays["wo"].T + arrays.get("bo", 0.0)
    loss_gradient = output if seen.gradient is None else seen.gradient
    return Observed(
        seen,
        found.out,
        found.entropy,
        found.confidence,
        output_weights,
        output,
        np.where(seen.counted[..., np.newaxis], loss_gradient, 0.0),
    )
