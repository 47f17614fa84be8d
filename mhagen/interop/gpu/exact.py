"""Attention written out in float32, of a few queries: what results on a GPU are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...base.errors import UnsupportedError
from ...spec.fields import Layout
from ...tuning.problem import Problem
from ..torch_expressions import value_of

ROWS = 64  # queries at a time
Tensors = Mapping[str, torch.Tensor]


def rows_of(queries: int, count: int) -> tuple[slice, ...]:
    """Some queries at the front, in the middle, across the edges of tiles, and at the end; or all."""
    starts = dict.fromkeys(max(0, each) for each in (0, queries // 2 - 37, queries - count))
    return tuple(slice(start, min(start + count, queries)) for start in starts)


def exact_attention(
    problem: Problem, arrays: Tensors, inputs: Tensors, entry: int, rows: slice
) -> torch.Tensor:
    """Shapes   (heads, queries, value_dim), of one batch entry

    Raises   UnsupportedError for what is not written out here
    """
    spec = problem.spec
    if spec.groups or spec.heads.pruned or spec.softmax.sink is not None:
        raise UnsupportedError("heads that differ or are pruned, and sinks, are not written out for a GPU")
    query, key, value = (heads_first(problem, arrays[name]) for name in ("query", "key", "value"))
    group = spec.heads.query // spec.heads.key_value
    k, v = (each[entry].float().repeat_interleave(group, 0) for each in (key, value))
    scores = (query[entry, :, rows].float() @ k.transpose(1, 2)) * spec.scale
    device = scores.device
    places = {
        "b": torch.tensor(entry, device=device),
        "h": torch.arange(spec.heads.query, device=device)[:, None, None],
        "q": torch.arange(rows.start, rows.stop, device=device)[:, None] + problem.query_offset,
        "k": torch.arange(problem.example.keys, device=device),
    }
    if (modify := spec.score_expression) is not None:
        scores = value_of(modify, {**places, "score": scores}, dict(inputs)).expand_as(scores)
    if (keep := spec.keep_expression) is not None:
        scores = scores.masked_fill(~value_of(keep, places, dict(inputs)), -torch.inf)
    found: torch.Tensor = scores.softmax(-1).nan_to_num() @ v  # a query that sees no key gives zero
    return found


def heads_first(problem: Problem, array: torch.Tensor) -> torch.Tensor:
    """A view (batch, heads, length, dim), whatever the spec's layout."""
    return array if problem.spec.layout is Layout.BHSD else array.transpose(1, 2)
