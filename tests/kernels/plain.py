"""Attention as a person would write it in NumPy, in float32: the yardstick of rounding, and a second oracle.

It shares nothing with mhagen: Python's own parser reads the expressions, which have Python's syntax.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from mhagen.spec.fields import Align, Layout
from mhagen.spec.model import Spec

Array = np.ndarray[Any, Any]


class Elementwise(ast.NodeTransformer):
    """Python's logic, which knows one truth only, turned into NumPy's."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        operator = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        return reduce(lambda left, right: ast.BinOp(left, operator, right), map(self.visit, node.values))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return ast.Call(ast.Name("logical_not", ast.Load()), [operand], [])
        return ast.UnaryOp(node.op, operand)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        branches = [self.visit(each) for each in (node.test, node.body, node.orelse)]
        return ast.Call(ast.Name("where", ast.Load()), branches, [])

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        terms = list(map(self.visit, (node.left, *node.comparators)))
        links = [
            ast.Compare(left, [operator], [right])
            for left, operator, right in zip(terms, node.ops, terms[1:], strict=False)
        ]
        return reduce(lambda left, right: ast.BinOp(left, ast.BitAnd(), right), links)


class Clamped:
    """An array whose indices are clamped to their axes."""

    def __init__(self, array: Array) -> None:
        self.array = array.astype(np.int64) if array.dtype.kind == "i" else array

    def __getitem__(self, indices: Any) -> Array:
        places = indices if isinstance(indices, tuple) else (indices,)
        return self.array[tuple(np.clip(i, 0, n - 1) for i, n in zip(places, self.array.shape, strict=True))]


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


def value_of(text: str, names: Mapping[str, Any]) -> Any:
    tree = ast.fix_missing_locations(Elementwise().visit(ast.parse(text, mode="eval")))
    return eval(compile(tree, "expression", "eval"), {"__builtins__": {}}, {**FUNCTIONS, **names})


def attention(
    spec: Spec, query: Array, key: Array, value: Array, query_offset: Any = None, **inputs: Array
) -> dict[str, Array]:
    """`out` and `lse` of a call without NaNs and infinities."""
    if spec.layout is Layout.BSHD:
        query, key, value = (each.swapaxes(1, 2) for each in (query, key, value))
    times = spec.heads.query // spec.heads.key_value
    key, value = np.repeat(key, times, axis=1), np.repeat(value, times, axis=1)
    names = dict(spec.constants) | {name: Clamped(array) for name, array in inputs.items()}
    with np.errstate(all="ignore"):
        score = np.float32(spec.scale) * (query @ key.swapaxes(2, 3))
        names |= positions(spec, score.shape, query_offset)
        if spec.scores.modify is not None:
            score = np.asarray(value_of(spec.scores.modify, {**names, "score": score}), np.float32)
        seen = np.asarray(True if spec.mask.keep is None else value_of(spec.mask.keep, names))
        score = np.where(seen, score, np.float32(-np.inf))
        peak = score.max(axis=3, initial=np.finfo(np.float32).min, keepdims=True)
        weights = np.exp(score - peak)
        total = weights.sum(axis=3, keepdims=True)
        out = np.where(total > 0, (weights @ value) / total, 0)
        lse = (peak + np.log(total))[..., 0]
    return {"out": out if spec.layout is Layout.BHSD else out.swapaxes(1, 2), "lse": lse}


def positions(spec: Spec, shape: tuple[int, ...], query_offset: Any) -> dict[str, Array]:
    b, h, q, k = np.ix_(*map(np.arange, shape))
    if query_offset is None:
        query_offset = shape[3] - shape[2] if spec.mask.align is Align.END else 0
    return {"b": b, "h": h, "q": q + np.broadcast_to(query_offset, shape[0])[:, None, None, None], "k": k}
