"""Runs the tile code of a kernel on many tiles at once: the very lines that it classifies its tiles with."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from functools import reduce
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.errors import InternalError
from ..codegen.tiles import EXTENTS, TileCode

Integers: TypeAlias = NDArray[np.int64]


class View(IntEnum):
    """What a tile looks like to a kernel."""

    HIDDEN = 0
    PARTIAL = 1
    FULL = 2


def views(code: TileCode, names: Mapping[str, ArrayLike], arrays: Mapping[str, ArrayLike]) -> Integers:
    """The view of each tile.

    Shapes   names: q_low, q_high, k_low, k_high and the other names of the lines, broadcast to the result
    Numbers  int64, as in the kernel
    """
    values: dict[str, Integers] = {name: np.asarray(value, np.int64) for name, value in names.items()}
    flat = {name: np.asarray(array).astype(np.int64).reshape(-1) for name, array in arrays.items()}
    with np.errstate(all="ignore"):
        for line in ast.parse("\n".join(code.lines)).body:
            values.update(_assigned(line, values, flat))
        result = _value(ast.parse(code.result, mode="eval").body, values)
    edges = ("q_low", "q_high", "k_low", "k_high")
    return np.broadcast_to(result, np.broadcast_shapes(result.shape, *(values[edge].shape for edge in edges)))


def _assigned(
    line: ast.stmt, values: Mapping[str, Integers], arrays: Mapping[str, Integers]
) -> Iterator[tuple[str, Integers]]:
    match line:
        case ast.Assign([ast.Name(name)], value):
            yield name, _value(value, values)
        case ast.Assign([ast.Tuple([ast.Name(low), ast.Name(high)])], ast.Call(ast.Name(name), parts)) if (
            name in EXTENTS.values()
        ):
            array, *numbers = parts
            found = extents(arrays[ast.unparse(array)], *(_value(each, values) for each in numbers))
            yield from zip((low, high), found, strict=True)
        case _:
            raise _unknown(line)


def extents(
    array: Integers,
    start: Integers,
    outer_count: Integers,
    outer_stride: Integers,
    count: Integers,
    stride: Integers,
) -> tuple[Integers, Integers]:
    """The least and the greatest element of each rectangle of an array, its strides counted in elements."""
    numbers = np.broadcast_arrays(start, outer_count, outer_stride, count, stride)
    low, high = np.empty(numbers[0].shape, np.int64), np.empty(numbers[0].shape, np.int64)
    for place in np.ndindex(low.shape):
        first, rows, row_stride, columns, column_stride = (int(each[place]) for each in numbers)
        offsets = np.add.outer(np.arange(rows) * row_stride, np.arange(columns) * column_stride)
        elements = array[first + offsets]
        low[place], high[place] = elements.min(), elements.max()
    return low, high


_SIGNS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.Not: np.logical_not,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
}
_CHOICES: Mapping[str, Callable[..., Any]] = {"min": np.minimum, "max": np.maximum}


def _value(node: ast.expr, values: Mapping[str, Integers]) -> Integers:
    match node:
        case ast.Constant(number):
            return np.asarray(number, np.int64)
        case ast.Name(name):
            return values[name]
        case _:
            return np.asarray(_operation(node, [_value(part, values) for part in _parts(node)]), np.int64)


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    """The operands, from left to right."""
    parts = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    return (part for part in parts if isinstance(part, ast.expr))


def _operation(node: ast.expr, parts: list[Integers]) -> Any:
    match node:
        case ast.UnaryOp(sign) | ast.BinOp(op=sign):
            return _SIGNS[type(sign)](*parts)
        case ast.BoolOp(sign):
            return reduce(_SIGNS[type(sign)], parts)
        case ast.Compare(ops=signs):
            tests = (_SIGNS[type(sign)](*pair) for sign, pair in zip(signs, pairwise(parts), strict=True))
            return reduce(np.logical_and, tests)
        case ast.IfExp():
            return np.where(parts[0] != 0, *parts[1:])
        case ast.Call(ast.Name(name)) if name in _CHOICES:
            return reduce(_CHOICES[name], parts)
        case _:
            raise _unknown(node)


def _unknown(node: ast.AST) -> InternalError:
    return InternalError(f"tile code has a line that is not known here: {ast.unparse(node)}")
