"""What PyTorch has for attention on a GPU: FlashAttention-2, cuDNN, and FlexAttention, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention as sdpa

from ...spec.fields import Layout
from ...tuning.gpu_grid import CUDNN, FLASH, FLEX, SDPA, is_plain
from ...tuning.gpu_race import GpuPeer
from ...tuning.measure import Candidate
from ...tuning.problem import Problem
from ..fused import fused
from ..peers.torch_flex import flexible
from .exact import heads_first

Tensors = Mapping[str, Any]


def of_backends(backends: tuple[SDPBackend, ...], problem: Problem, arrays: Tensors) -> Candidate:
    """What SDPA does by one of these; without any, by what it chooses itself.

    Raises   UnsupportedError for more than a causal mask
    """
    attention = fused(problem)
    attention.refuse("window", "softcap", "bias", "keep")
    query, key, value = tensors(problem, arrays)
    call = partial(
        sdpa,
        query,
        key,
        value,
        is_causal=attention.is_causal,
        scale=problem.spec.scale,
        enable_gqa=problem.spec.heads.query != problem.spec.heads.key_value,
    )

    def chosen() -> torch.Tensor:
        with sdpa_kernel(list(backends)):
            return call()

    return in_layout(problem, chosen if backends else call)


def of_flex(problem: Problem, arrays: Tensors) -> Candidate:
    inputs = {name: arrays[name] for name in problem.inputs}
    return in_layout(problem, flexible(problem, tensors(problem, arrays), inputs))


def tensors(problem: Problem, arrays: Tensors) -> tuple[torch.Tensor, ...]:
    return tuple(heads_first(problem, arrays[name]) for name in ("query", "key", "value"))


def in_layout(problem: Problem, call: Callable[[], torch.Tensor]) -> Candidate:
    """With a result in the spec's layout: a view, if it is another one than (batch, heads, length, dim)."""
    return call if problem.spec.layout is Layout.BHSD else lambda: call().transpose(1, 2)


def always(problem: Problem) -> bool:
    return True


def decodes(problem: Problem) -> bool:
    return problem.is_decoding


PEERS = (
    GpuPeer(FLASH, partial(of_backends, (SDPBackend.FLASH_ATTENTION,)), is_plain),
    GpuPeer(CUDNN, partial(of_backends, (SDPBackend.CUDNN_ATTENTION,)), is_plain),
    GpuPeer(FLEX, of_flex, always),
    GpuPeer(SDPA, partial(of_backends, ()), decodes),
)
