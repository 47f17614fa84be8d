"""torch.nn.MultiheadAttention: a whole layer, in evaluation mode and without its weights as a result."""

from __future__ import annotations

from functools import partial

import torch

from ...base.errors import UnsupportedError
from ...tuning.peer import Form, Ready
from ...tuning.problem import Problem
from ..fused import fused
from ..torch_arrays import tensor, widened


def module(problem: Problem, threads: int) -> Ready:
    torch.set_num_threads(threads)
    x = tensor(problem.arguments["x"])
    call = partial(filled(problem), x, x, x, need_weights=False)
    if masks(problem):
        length = problem.example.queries
        causal = torch.nn.Transformer.generate_square_subsequent_mask(length, dtype=x.dtype)
        call = partial(call, attn_mask=causal, is_causal=True)
    return Ready(partial(without_tracking, call), lambda result: widened(result[0]))


def without_tracking(call: partial[object]) -> object:
    """Only so does the module take its fast path."""
    with torch.inference_mode():
        return call()


def masks(problem: Problem) -> bool:
    """Whether the mask is causal; the module knows no other, and adds nothing to scores."""
    attention = fused(problem)
    attention.refuse("window", "softcap", "bias", "keep")
    return attention.is_causal


def filled(problem: Problem) -> torch.nn.MultiheadAttention:
    """The module with the weights of the problem.

    Raises   UnsupportedError for heads that share keys, or widths that it does not have
    """
    spec, weights = problem.spec, {name: tensor(array) for name, array in problem.weights.items()}
    assert spec.projections is not None
    heads, width = spec.heads, spec.projections.model_dim
    if heads.key_value != heads.query or {heads.dim, heads.value_dim} != {width // heads.query}:
        raise UnsupportedError("its heads share no keys, and are as wide as the model together")
    layer = torch.nn.MultiheadAttention(
        width, heads.query, batch_first=True, dtype=weights["wq"].dtype
    ).train(mode=False)
    state = {
        "in_proj_weight": torch.cat([weights[name] for name in ("wq", "wk", "wv")]),
        "in_proj_bias": torch.cat([bias(weights, letter, width) for letter in "qkv"]),
        "out_proj.weight": weights["wo"],
        "out_proj.bias": bias(weights, "o", width),
    }
    layer.load_state_dict(state)
    return layer.requires_grad_(False)


def bias(weights: dict[str, torch.Tensor], letter: str, width: int) -> torch.Tensor:
    return weights.get(f"b{letter}", torch.zeros(width))


def is_layer(problem: Problem) -> bool:
    return problem.is_layer


FORMS = (Form("need_weights=False", module, is_layer),)
