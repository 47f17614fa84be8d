"""torch.nn.functional.scaled_dot_product_attention."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa

from ...tuning.peer import Form, Ready
from ...tuning.problem import Problem
from ..fused import Fused, added, fused, heads_first
from ..torch_arrays import reader, tensor


def flagged(problem: Problem, threads: int) -> Ready:
    """No mask, or is_causal."""
    attention = prepare(problem, threads)
    attention.refuse("window", "bias", "keep")
    query, key, value = (tensor(array) for array in heads_first(problem))
    flags = {"is_causal": attention.is_causal, "enable_gqa": is_grouped(problem)}
    return ready(problem, query, key, value, **flags)


def masked(problem: Problem, threads: int) -> Ready:
    """Bias and mask in one array that is added: the form that its CPU kernel takes without a copy."""
    attention = prepare(problem, threads)
    extra = added(problem, attention, with_mask=True)
    assert extra is not None
    query, key, value = (tensor(array) for array in heads_first(problem))
    mask = tensor(extra).to(query.dtype)
    return ready(problem, query, key, value, attn_mask=mask, enable_gqa=is_grouped(problem))


def folded(problem: Problem, threads: int) -> Ready:
    """The query heads of a group as more queries of one head: for one query that sees all keys."""
    prepare(problem, threads).refuse("window", "bias", "keep")
    query, key, value = (tensor(array) for array in heads_first(problem))
    batch, key_value_heads = key.shape[:2]
    made = ready(problem, query.view(batch, key_value_heads, -1, query.shape[-1]), key, value)
    return Ready(made.run, lambda result: made.read(result.reshape(*query.shape[:3], -1)))


def prepare(problem: Problem, threads: int) -> Fused:
    torch.set_num_threads(threads)
    attention = fused(problem)
    attention.refuse("softcap")
    return attention


def ready(
    problem: Problem, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any
) -> Ready:
    with torch.inference_mode():  # tensors made here are never tracked, which saves time in each call
        query, key, value = query.clone(), key.clone(), value.clone()
    return Ready(partial(sdpa, query, key, value, scale=problem.spec.scale, **options), reader(problem))


def has_mask(problem: Problem) -> bool:
    spec = problem.spec
    return not problem.is_layer and (spec.mask.keep is not None or spec.scores.modify is not None)


def is_grouped_decoding(problem: Problem) -> bool:
    return problem.is_decoding and is_grouped(problem)


def is_grouped(problem: Problem) -> bool:
    return problem.spec.heads.query != problem.spec.heads.key_value


FORMS = (
    Form("is_causal", flagged),
    Form("attn_mask", masked, has_mask),
    Form("groups as queries", folded, is_grouped_decoding),
)
