"""ONNX Runtime's models of a whole layer: products, an attention operator, a product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, helper

from ...base.dtypes import DType
from ...base.errors import UnsupportedError
from ...tuning.peer import Form, Ready
from ...tuning.problem import Array, Problem
from ..fused import fused
from ..onnx_models import CONTRIB, open_session


def packed(problem: Problem, threads: int) -> Ready:
    """Attention of com.microsoft: one product for query, key and value inside the operator."""
    heads = problem.spec.heads
    is_causal = masks(problem)
    node = helper.make_node(
        "Attention",
        ["x", "wqkv", "bqkv"],
        ["rows"],
        domain=CONTRIB,
        num_heads=heads.query,
        unidirectional=int(is_causal),
        scale=problem.spec.scale,
        qkv_hidden_sizes=[heads.query * heads.dim, heads.query * heads.dim, heads.query * heads.value_dim],
    )
    return ready(problem, [node, *last_product()], together(problem), threads)


def single(problem: Problem, threads: int) -> Ready:
    """A product for each of query, key and value, then MultiHeadAttention."""
    products = [
        node
        for letter in "qkv"
        for node in (
            helper.make_node("MatMul", ["x", f"w{letter}"], [f"p{letter}"]),
            helper.make_node("Add", [f"p{letter}", f"b{letter}"], [letter]),
        )
    ]
    attention = helper.make_node(
        "MultiHeadAttention",
        ["q", "k", "v"],
        ["rows"],
        domain=CONTRIB,
        num_heads=problem.spec.heads.query,
        unidirectional=int(masks(problem)),
        scale=problem.spec.scale,
    )
    return ready(problem, [*products, attention, *last_product()], transposed(problem), threads)


def masks(problem: Problem) -> bool:
    """Whether the mask is causal.

    Raises   UnsupportedError for what these operators lack
    """
    if problem.spec.dtype is not DType.FLOAT32:
        raise UnsupportedError(f"it has no kernel of {problem.spec.dtype.value} on CPUs")
    if problem.spec.heads.query != problem.spec.heads.key_value:
        raise UnsupportedError("it has no grouped heads")
    attention = fused(problem)
    attention.refuse("window", "softcap", "bias", "keep")
    return attention.is_causal


def transposed(problem: Problem) -> dict[str, Array]:
    """The weights as MatMul takes them, (inputs, outputs); zeros where the layer has no bias."""
    weights = problem.weights
    products = {name: np.ascontiguousarray(weights[name].T) for name in ("wq", "wk", "wv", "wo")}
    biases = {
        f"b{name[1]}": weights.get(f"b{name[1]}", np.zeros(array.shape[1], array.dtype))
        for name, array in products.items()
    }
    return products | biases


def together(problem: Problem) -> dict[str, Array]:
    """As transposed, with query, key and value side by side in one."""
    each = transposed(problem)
    return {
        "wqkv": np.concatenate([each[f"w{letter}"] for letter in "qkv"], axis=1),
        "bqkv": np.concatenate([each[f"b{letter}"] for letter in "qkv"]),
        "wo": each["wo"],
        "bo": each["bo"],
    }


def last_product() -> tuple[NodeProto, ...]:
    product = helper.make_node("MatMul", ["rows", "wo"], ["product"])
    return product, helper.make_node("Add", ["product", "bo"], ["out"])


def ready(problem: Problem, nodes: Sequence[NodeProto], weights: dict[str, Array], threads: int) -> Ready:
    session = open_session(nodes, {"x": problem.arguments["x"]}, weights, ["out"], threads)
    return Ready(session.run, session.read)


def is_layer(problem: Problem) -> bool:
    return problem.is_layer


FORMS = (
    Form("layer of Attention", packed, is_layer),
    Form("layer of MultiHeadAttention", single, is_layer),
)
