"""ONNX Runtime: its own attention operators, and the standard one of opset 23, with all memory bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from ...base.dtypes import DType
from ...base.errors import UnsupportedError
from ...tuning.peer import Form, Ready
from ...tuning.problem import Array, Problem
from ..fused import Fused, added, fused, heads_first, in_layout
from ..onnx_models import CONTRIB, open_session

FLOATS = (DType.FLOAT32, DType.FLOAT16)


def multi_head(problem: Problem, threads: int) -> Ready:
    """MultiHeadAttention reads rows of all heads side by side; `unidirectional` is its causal mask."""
    attention = prepare(problem)
    attention.refuse("softcap")
    feeds = dict(zip("qkv", map(side_by_side, heads_first(problem)), strict=True))
    is_flag = attention.is_causal and attention.window is None
    extra = added(problem, attention, with_mask=not is_flag)
    names = ["q", "k", "v", *([] if extra is None else ["", "", "extra"])]
    node = helper.make_node(
        "MultiHeadAttention",
        names,
        ["out"],
        domain=CONTRIB,
        num_heads=problem.spec.heads.query,
        unidirectional=int(is_flag),
        scale=problem.spec.scale,
    )
    return ready(problem, [node], with_extra(problem, feeds, extra), threads, apart)


def grouped_query(problem: Problem, threads: int) -> Ready:
    """GroupQueryAttention with shared caches: the new keys and values are written into them in place."""
    attention = prepare(problem)
    attention.refuse("keep")
    if not (attention.is_causal or problem.is_decoding):
        raise UnsupportedError("it is causal always")
    query, key, value = heads_first(problem)
    new, keys = problem.example.queries, problem.example.keys
    feeds = {
        "q": side_by_side(query),
        "k": side_by_side(key[:, :, keys - new :]),
        "v": side_by_side(value[:, :, keys - new :]),
        "past_key": key.copy(),
        "past_value": value.copy(),
        "last": np.full(problem.example.batch, keys - 1, np.int32),
        "total": np.array([keys], np.int32),
    }
    extra = added(problem, attention, with_mask=False)
    names = [*feeds, *([] if extra is None else ["", "", "", "extra"])]
    node = helper.make_node(
        "GroupQueryAttention",
        names,
        ["out", "present_key", "present_value"],
        domain=CONTRIB,
        num_heads=problem.spec.heads.query,
        kv_num_heads=problem.spec.heads.key_value,
        scale=problem.spec.scale,
        local_window_size=-1 if attention.window is None else attention.window,
        softcap=attention.softcap or 0.0,
    )
    shared = {"present_key": "past_key", "present_value": "past_value"}
    return ready(problem, [node], with_extra(problem, feeds, extra), threads, apart, shared)


def standard(problem: Problem, threads: int) -> Ready:
    """Attention of opset 23, heads first."""
    attention = prepare(problem)
    feeds = dict(zip("qkv", heads_first(problem), strict=True))
    is_flag = attention.is_causal and attention.window is None
    extra = added(problem, attention, with_mask=not is_flag)
    node = helper.make_node(
        "Attention",
        ["q", "k", "v", *([] if extra is None else ["extra"])],
        ["out"],
        is_causal=int(is_flag),
        scale=problem.spec.scale,
        softcap=attention.softcap or 0.0,
    )
    return ready(problem, [node], with_extra(problem, feeds, extra), threads, lambda _, out: out)


def prepare(problem: Problem) -> Fused:
    if problem.spec.dtype not in FLOATS:
        raise UnsupportedError(f"it has no kernel of {problem.spec.dtype.value} on CPUs")
    return fused(problem)


def with_extra(problem: Problem, feeds: dict[str, Array], extra: Array | None) -> dict[str, Array]:
    if extra is None:
        return feeds
    return {**feeds, "extra": extra.astype(feeds["q"].dtype)}


def ready(
    problem: Problem,
    nodes: list[NodeProto],
    feeds: dict[str, Array],
    threads: int,
    shaped: Callable[[Problem, Array], Array],
    shared: dict[str, str] | None = None,
) -> Ready:
    outputs = ["out", *(shared or {})]
    session = open_session(nodes, feeds, {}, outputs, threads, shared)

    def read(result: Any) -> Array:
        return in_layout(problem, shaped(problem, session.read(result))).astype(np.float32)

    return Ready(session.run, read)


def sees_past_alone(problem: Problem) -> bool:
    """Which one query always does, and others under the masks that the operator knows."""
    return not problem.is_layer and (problem.is_decoding or problem.spec.mask.keep is not None)


def has_own_heads(problem: Problem) -> bool:
    return not problem.is_layer and problem.spec.heads.query == problem.spec.heads.key_value


def side_by_side(array: Array) -> Array:
    """(batch, heads, length, dim) as (batch, length, heads * dim)."""
    rows = array.swapaxes(1, 2)
    return np.ascontiguousarray(rows).reshape(*rows.shape[:2], -1)


def apart(problem: Problem, rows: Array) -> Array:
    """(batch, length, heads * dim) as (batch, heads, length, dim)."""
    return rows.reshape(*rows.shape[:2], problem.spec.heads.query, -1).swapaxes(1, 2)


FORMS = (
    Form("MultiHeadAttention", multi_head, has_own_heads),
    Form("GroupQueryAttention", grouped_query, sees_past_alone),
    Form("Attention-23", standard),
)
