"""PyTorch's FlexAttention, compiled: it needs a C++ compiler. Mask objects are made before timing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from ...base.errors import UnsupportedError
from ...expr.tree import names
from ...tuning.peer import Form, Ready
from ...tuning.problem import Problem
from ..fused import heads_first
from ..torch_arrays import reader, tensor
from ..torch_expressions import value_of

# Of versions of a compiled function: as many as forms, rows and numbers of threads may need.
MOST_VERSIONS = 1 << 10


def compiled(problem: Problem, threads: int) -> Ready:
    torch.set_num_threads(threads)
    tensors = [tensor(array) for array in heads_first(problem)]
    arrays = {name: tensor(array) for name, array in problem.inputs.items()}
    return Ready(flexible(problem, tensors, arrays), reader(problem))


def flexible(
    problem: Problem, tensors: Sequence[torch.Tensor], arrays: dict[str, torch.Tensor]
) -> Callable[[], torch.Tensor]:
    """FlexAttention of query, key and value, heads first, and of these inputs, wherever they lie.

    Raises   UnsupportedError
    """
    if problem.spec.groups or problem.spec.heads.pruned:
        raise UnsupportedError("it has no heads that differ or are pruned")
    if problem.spec.softmax.sink is not None:
        raise UnsupportedError("it has no softmax sink")
    torch._dynamo.config.recompile_limit = MOST_VERSIONS
    return partial(
        torch.compile(flex_attention, dynamic=False),
        *tensors,
        score_mod=score_function(problem, arrays),
        block_mask=block_mask(problem, arrays, tensors[0].device),
        scale=problem.spec.scale,
        enable_gqa=problem.spec.heads.query != problem.spec.heads.key_value,
    )


def score_function(problem: Problem, arrays: dict[str, torch.Tensor]) -> Callable[..., Any] | None:
    modify, offset = problem.spec.score_expression, problem.query_offset
    if modify is None:
        return None

    def changed(score: Any, b: Any, h: Any, q: Any, k: Any) -> Any:
        return value_of(modify, {"score": score, "b": b, "h": h, "q": q + offset, "k": k}, arrays)

    return changed


def block_mask(problem: Problem, arrays: dict[str, torch.Tensor], device: torch.device) -> BlockMask | None:
    keep, offset = problem.spec.keep_expression, problem.query_offset
    if keep is None:
        return None

    def kept(b: Any, h: Any, q: Any, k: Any) -> Any:
        return value_of(keep, {"b": b, "h": h, "q": q + offset, "k": k}, arrays)

    used, example = names(keep), problem.example
    return create_block_mask(
        kept,
        example.batch if "b" in used else None,
        problem.spec.heads.query if "h" in used else None,
        example.queries,
        example.keys,
        device=device,
    )


FORMS = (Form("compiled", compiled),)
