"""Attention as a person would write it in NumPy, in the precision of its arguments.

With the caller's roundings it is the yardstick, in float64 a second oracle beside the reference. It shares
nothing with mhagen: Python's own parser reads the expressions, which have Python's syntax.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from mhagen.spec.fields import Align, Layout
from mhagen.spec.model import Spec

Array = np.ndarray[Any, Any]


class Elementwise(ast.NodeTransformer):
    """Python's logic, which knows one truth only, turned into NumPy's; and each result is rounded."""

    def visit(self, node: ast.AST) -> Any:
        found = super().visit(node)
        is_result = isinstance(node, ast.Constant | ast.BinOp | ast.Call | ast.IfExp)
        return ast.Call(ast.Name("rounded", ast.Load()), [found], []) if is_result else found

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        return joined(
            ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr(), list(map(self.visit, node.values))
        )

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return ast.Call(ast.Name("logical_not", ast.Load()), [operand], [])
        return ast.UnaryOp(node.op, operand)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        branches = [self.visit(each) for each in (node.test, node.body, node.orelse)]
        return ast.Call(ast.Name("where", ast.Load()), branches, [])

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        terms = (node.left, *node.comparators)
        links = [
            ast.Compare(self.visit(left), [operator], [self.visit(right)])
            for (left, right), operator in zip(pairwise(terms), node.ops, strict=True)
        ]
        return joined(ast.BitAnd(), links)


def joined(operator: ast.operator, terms: Sequence[ast.expr]) -> ast.expr:
    return reduce(lambda left, right: ast.BinOp(left, operator, right), terms)


class Clamped:
    """An array whose indices are clamped to their axes; one without elements has 0 wherever it is asked."""

    def __init__(self, array: Array, rounding: Rounding) -> None:
        self.array = array.astype(np.int64) if array.dtype.kind == "i" else rounding(array)

    def __getitem__(self, indices: Any) -> Array:
        places = indices if isinstance(indices, tuple) else (indices,)
        if self.array.size == 0:
            return np.zeros(np.broadcast_shapes(*map(np.shape, places)), self.array.dtype)
        limits = zip(places, self.array.shape, strict=True)
        found: Array = self.array[tuple(np.clip(place, 0, length - 1) for place, length in limits)]
        return found


FUNCTIONS = {
    "where": np.where,
    "logical_not": np.logical_not,
    "abs": np.abs,
    "min": lambda *each: reduce(np.minimum, each),
    "max": lambda *each: reduce(np.maximum, each),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "floor": np.floor,
}


@dataclass(frozen=True)
class Rounding:
    """What a product and an operation of an expression make of their exact results: reals of one format."""

    real: np.dtype[Any]

    def __call__(self, found: Any) -> Array:
        array = np.asarray(found)
        return array.astype(self.real) if is_real(array) else array

    def product(self, query: Array, key: Array) -> Array:
        """The scores of all keys, before they are scaled."""
        found: Array = query @ key.swapaxes(2, 3)
        return found


def value_of(text: str, names: Mapping[str, Any], rounded: Rounding) -> Any:
    tree = ast.fix_missing_locations(Elementwise().visit(ast.parse(text, mode="eval")))
    known = {**FUNCTIONS, **names, "rounded": rounded}
    return eval(compile(tree, "expression", "eval"), {"__builtins__": {}}, known)


def attention(
    spec: Spec,
    query: Array,
    key: Array,
    value: Array,
    query_offset: Any = None,
    rounding: Rounding | None = None,
    **inputs: Array,
) -> dict[str, Array]:
    """`out` and all statistics of a call.

    Numbers  of 16 bits: scores and sums are float32, weights and results are rounded to the format
    """
    found = [
        (way.heads, attention_alike(way.spec, query, key, value, query_offset, rounding, **inputs))
        for way in spec.alike
    ]
    results = {
        name: heads_first(spec, array) if name == "out" else array for name, array in found[0][1].items()
    }
    for heads, results_of_way in found[1:]:
        for name, array in results_of_way.items():
            own = heads_first(spec, array) if name == "out" else array
            results[name][:, list(heads)] = own[:, list(heads)]
    for name, array in results.items():
        array[:, list(spec.heads.pruned)] = -np.inf if name in ("lse", "max") else 0
    return {**results, "out": heads_first(spec, results["out"])}


def attention_alike(
    spec: Spec,
    query: Array,
    key: Array,
    value: Array,
    query_offset: Any,
    rounding: Rounding | None,
    **inputs: Array,
) -> dict[str, Array]:
    """The same where all heads are as the spec says."""
    stored = query.dtype
    query, key, value = (heads_first(spec, computed(each)) for each in (query, key, value))
    times = spec.heads.query // spec.heads.key_value
    key, value = np.repeat(key, times, axis=1), np.repeat(value, times, axis=1)
    rounding = rounding or Rounding(query.dtype)
    with np.errstate(all="ignore"):
        score = spec.scale * rounding.product(query, key)
        names = meanings(spec, score.shape, query_offset, inputs, rounding)
        if spec.scores.modify is not None:
            modified = value_of(spec.scores.modify, {**names, "score": score}, rounding)
            score = np.broadcast_to(modified, score.shape).astype(query.dtype)
        score = np.where(seen(spec, names, rounding), score, -np.inf)
        sink = sink_of(spec, names, score, rounding)
        peak = score.max(axis=3, initial=np.finfo(query.dtype).min, keepdims=True)
        peak = np.maximum(peak, sink)
        weights = np.exp(score - peak)
        total = weights.sum(axis=3, keepdims=True) + np.exp(sink - peak)
        shares = weights.astype(stored).astype(weights.dtype)
        out = np.where(total == 0, 0, (shares @ value) / total).astype(stored).astype(weights.dtype)
        lse = peak + np.log(total)
        greatest = score.max(axis=3, initial=-np.inf)
        spread = np.where(weights > 0, weights * (lse - score), 0).sum(axis=3, keepdims=True) / total
        found = {
            "lse": lse[..., 0],
            "max": greatest,
            "entropy": np.where(greatest == -np.inf, 0, spread[..., 0]),
            "confidence": np.where(greatest == -np.inf, 0, np.exp(greatest - lse[..., 0])),
            "received": np.where(total == 0, 0, weights / total).sum(axis=2),
        }
    return {"out": heads_first(spec, out)} | {name: found[name].astype(query.dtype) for name in found}


def sink_of(spec: Spec, names: Mapping[str, Any], score: Array, rounding: Rounding) -> Array:
    """The logit that joins each row; -inf where there is none, as where it reads an array along no keys."""
    rows, text = (*score.shape[:3], 1), spec.softmax.sink or ""
    read = [each for name, each in names.items() if re.search(rf"\b{name}\b", text)]
    is_there = text and all(each.array.size for each in read if isinstance(each, Clamped))
    logit = value_of(text, names, rounding) if is_there else -np.inf
    return np.broadcast_to(np.asarray(logit, score.dtype), rows)


def computed(array: Array) -> Array:
    """Reals of 16 bits as float32."""
    return array.astype(np.float32) if is_real(array) and array.itemsize == 2 else array


def widened(array: Array) -> Array:
    return array.astype(np.float64) if is_real(array) else array


def is_real(array: Array) -> bool:
    return array.dtype.kind not in "iub"  # NumPy does not know of what kind bfloat16 is


def heads_first(spec: Spec, array: Array) -> Array:
    """A view with axes (batch, heads, length, dim); and back."""
    return array if spec.layout is Layout.BHSD else array.swapaxes(1, 2)


def seen(spec: Spec, names: Mapping[str, Any], rounding: Rounding) -> Array:
    return np.asarray(True if spec.mask.keep is None else value_of(spec.mask.keep, names, rounding))


def visible(spec: Spec, query: Array, key: Array, query_offset: Any, inputs: Mapping[str, Array]) -> Array:
    """Which keys each query sees: (batch, query_heads, queries, keys)."""
    length = 2 if spec.layout is Layout.BHSD else 1
    shape = (len(query), spec.heads.query, query.shape[length], key.shape[length])
    rounding = Rounding(computed(query).dtype)
    kept = np.zeros(shape, bool)
    for way in spec.alike:
        each = seen(way.spec, meanings(spec, shape, query_offset, inputs, rounding), rounding)
        kept[:, list(way.heads)] = np.broadcast_to(each, shape)[:, list(way.heads)]
    kept[:, list(spec.heads.pruned)] = False
    return kept


def meanings(
    spec: Spec,
    shape: tuple[int, ...],
    query_offset: Any,
    inputs: Mapping[str, Array],
    rounding: Rounding,
) -> dict[str, Any]:
    """What the names of an expression stand for, but `score`."""
    b, h, q, k = np.ix_(*map(np.arange, shape))
    if query_offset is None:
        query_offset = shape[3] - shape[2] if spec.mask.align is Align.END else 0
    positions = q + np.broadcast_to(query_offset, shape[0])[:, None, None, None]
    arrays = {name: Clamped(array, rounding) for name, array in inputs.items()}
    numbers = {name: rounding(number) for name, number in spec.constants.items()}
    return {**numbers, **arrays, "b": b, "h": h, "q": positions, "k": k}
