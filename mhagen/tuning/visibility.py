"""Runs the tile code of a kernel on many tiles at once: the very lines that it classifies its tiles with.

So it does with the lines that say where its loops over keys begin and end.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.errors import InternalError
from ..codegen.reach import ReachCode
from ..codegen.tiles import EXTENT_LOADS, EXTENT_OF_RUN, EXTENTS, TileCode

Integers: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[Any]  # int64 or float64

LARGEST = 1e38  # as in the templates


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
    result = results((code.result,), code.lines, names, arrays)[0].astype(np.int64)
    edges = [np.shape(names[edge]) for edge in ("q_low", "q_high", "k_low", "k_high")]
    return np.broadcast_to(result, np.broadcast_shapes(result.shape, *edges))


def reached(
    code: ReachCode, names: Mapping[str, ArrayLike], arrays: Mapping[str, ArrayLike]
) -> tuple[Integers, Integers]:
    """The first key that some queries reach and the one behind the last, for many parts of the queries."""
    first, end = results((code.first, code.end), code.lines, names, arrays)
    return first.astype(np.int64), end.astype(np.int64)


def results(
    texts: tuple[str, ...],
    lines: tuple[str, ...],
    names: Mapping[str, ArrayLike],
    arrays: Mapping[str, ArrayLike],
) -> list[Numbers]:
    """What the texts are behind the lines."""
    flat = {name: _numbers(array).reshape(-1) for name, array in arrays.items()}
    reader = Reader({name: _numbers(value) for name, value in names.items()}, flat)
    with np.errstate(all="ignore"):
        for line in ast.parse("\n".join(lines)).body:
            reader.values.update(reader.assigned(line))
        return [reader.value(ast.parse(text, mode="eval").body) for text in texts]


def _numbers(value: ArrayLike) -> Numbers:
    array = np.asarray(value)
    return array.astype(np.int64 if array.dtype.kind in "biu" else np.float64)


@dataclass
class Reader:
    """Reads lines of tile code, with what their names stand for."""

    values: dict[str, Numbers]
    arrays: Mapping[str, Numbers]

    def assigned(self, line: ast.stmt) -> Iterator[tuple[str, Numbers]]:
        match line:
            case ast.Assign([ast.Name(name)], value):
                yield name, self.value(value)
            case ast.Assign([ast.Tuple([ast.Name(low), ast.Name(high)])], ast.Call(ast.Name(name), parts)):
                yield from zip((low, high), self.pair(name, parts, line), strict=True)
            case _:
                raise _unknown(line)

    def pair(self, name: str, parts: list[ast.expr], line: ast.stmt) -> tuple[Numbers, Numbers]:
        if name == "widened":
            return widened(*(self.value(each).astype(np.float64) for each in parts))
        array, *numbers = parts
        values = [self.value(each) for each in numbers]
        if name == EXTENT_OF_RUN:
            one = np.ones((), np.int64)
            values[1:] = [one, one, values[1], one]
        elif name not in EXTENTS.values():
            raise _unknown(line)
        return extents(self.arrays[ast.unparse(array)], *values)

    def value(self, node: ast.expr) -> Numbers:
        match node:
            case ast.Constant(int() | float() as number):
                return _numbers(number)
            case ast.Name(name):
                return self.values[name]
            case ast.Call(ast.Name(load), [ast.BinOp(ast.Name(array), _, ast.BinOp(right=place))]) if (
                load in EXTENT_LOADS.values()
            ):
                return self.arrays[array][self.value(place)]
            case _:
                return _numbers(_operation(node, [self.value(part) for part in _parts(node)]))


def widened(low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
    """As the function of that name in a kernel."""
    known = (low > -LARGEST) & (low <= high) & (high < LARGEST)
    room = (np.abs(end) * 2.0**-22 + 2.0**-126 for end in (low, high))
    return np.where(known, low - next(room), -np.inf), np.where(known, high + next(room), np.inf)


def extents(
    array: Numbers,
    start: Numbers,
    outer_count: Numbers,
    outer_stride: Numbers,
    count: Numbers,
    stride: Numbers,
) -> tuple[Numbers, Numbers]:
    """The least and the greatest element of each rectangle of an array, its strides counted in elements.

    Numbers  NaN if one of them is not finite
    """
    numbers = np.broadcast_arrays(start, outer_count, outer_stride, count, stride)
    low, high = np.empty(numbers[0].shape, array.dtype), np.empty(numbers[0].shape, array.dtype)
    for place in np.ndindex(low.shape):
        first, rows, row_stride, columns, column_stride = (int(each[place]) for each in numbers)
        offsets = np.add.outer(np.arange(rows) * row_stride, np.arange(columns) * column_stride)
        elements = array[first + offsets]
        strange = 0 * elements.sum(dtype=elements.dtype)
        low[place], high[place] = elements.min() + strange, elements.max() + strange
    return low, high


_SIGNS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
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
    ast.NotEq: operator.ne,
}
_CHOICES: Mapping[str, Callable[..., Any]] = {"min": np.minimum, "max": np.maximum, "abs": np.abs}


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    """The operands, from left to right."""
    parts = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    return (part for part in parts if isinstance(part, ast.expr))


def _operation(node: ast.expr, parts: list[Numbers]) -> Any:
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
            return reduce(_CHOICES[name], parts[1:], parts[0]) if len(parts) > 1 else _CHOICES[name](parts[0])
        case _:
            raise _unknown(node)


def _unknown(node: ast.AST) -> InternalError:
    return InternalError(f"tile code has a line that is not known here: {ast.unparse(node)}")
