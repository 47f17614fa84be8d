"""Arguments of a call: values, strides and offsets; and what right results look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mhagen import reference
from mhagen.backend.acceptance import numpy_dtype
from mhagen.base.dtypes import DType
from mhagen.spec.fields import Layout
from mhagen.spec.model import Spec

from . import plain
from .specs import Case

Array = np.ndarray[Any, Any]
Call = dict[str, Any]
# Of 16 bits, half of what one rounding of 1 may take away; else what a sum of some hundred terms gathers.
ROOM = {DType.FLOAT32: 1e-5, DType.FLOAT64: 2e-14, DType.BFLOAT16: 2.0**-9, DType.FLOAT16: 2.0**-12}
# Weights of 16 bits are powers from polynomials with as many digits as are kept: lse is the log of their sum.
EXP2_ERROR = {DType.BFLOAT16: 2e-4, DType.FLOAT16: 1e-5}


@dataclass(frozen=True)
class Shape:
    """The lengths of a call, and how large its scores are."""

    batch: int
    queries: int
    keys: int
    seed: int = 0
    scores: float = 1.0

    def random(self, case: Case) -> Call:
        """Every argument but query_offset, contiguous, in the spec's layout."""
        heads, rng = case.spec.heads, np.random.default_rng(self.seed)
        call = {
            "query": self.scores * normal(rng, self.heads(case.spec, heads.query, self.queries, heads.dim)),
            "key": normal(rng, self.heads(case.spec, heads.key_value, self.keys, heads.dim)),
            "value": normal(rng, self.heads(case.spec, heads.key_value, self.keys, heads.value_dim)),
        }
        call = {name: array.astype(numpy_dtype(case.spec.dtype)) for name, array in call.items()}
        return call | {name: self.input(case, name, rng) for name in case.spec.inputs}

    def heads(self, spec: Spec, count: int, length: int, dim: int) -> tuple[int, ...]:
        places = (count, length) if spec.layout is Layout.BHSD else (length, count)
        return (self.batch, *places, dim)

    def input(self, case: Case, name: str, rng: np.random.Generator) -> Array:
        """Reals are multiples of 1/8: steps of floor, // and % fall where all formats agree."""
        declared, heads = case.spec.inputs[name], case.spec.heads
        lengths = {"batch": self.batch, "queries": self.queries, "keys": self.keys}
        lengths |= {"query_heads": heads.query, "key_value_heads": heads.key_value}
        shape = tuple(axis if isinstance(axis, int) else lengths[axis] for axis in declared.shape)
        match declared.dtype:
            case DType.BOOL:
                return rng.random(shape) < 0.5
            case DType.INT32 | DType.INT64:
                low, high = case.ranges[name]
                return rng.integers(low, high, shape, declared.dtype.value, endpoint=True)
            case _:
                return (np.round(8 * rng.standard_normal(shape)) / 8).astype(numpy_dtype(declared.dtype))


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, np.float32)


def poison(dtype: np.dtype[Any]) -> Any:
    """What lies in the gaps of strided arrays: whoever reads it shows it."""
    match dtype.kind:
        case "i" | "u":
            return np.iinfo(dtype).max
        case "b":
            return True
        case _:
            return np.nan


def reordered(array: Array) -> Array:
    """The same elements, with axes but the last in another order in memory."""
    order = (*reversed(range(array.ndim - 1)), array.ndim - 1)
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


def with_gaps(array: Array, *, last: int = 1) -> Array:
    """Every second element along outer axes, and every `last`-th along the last, of something larger."""
    steps = (*[2] * (array.ndim - 1), last)
    shape = tuple(step * length + 1 for step, length in zip(steps, array.shape, strict=True))
    spacious = np.full(shape, poison(array.dtype), array.dtype)
    view = spacious[tuple(slice(1, 1 + step * n, step) for step, n in zip(steps, array.shape, strict=True))]
    view[...] = array
    return view


def backwards(array: Array) -> Array:
    """Negative strides along every axis but the last."""
    flip = (*[slice(None, None, -1)] * (array.ndim - 1), slice(None))
    return np.ascontiguousarray(array[flip])[flip]


def repeated(axis: int) -> Callable[[Array], Array]:
    """The first element of an axis for all of it, by a stride of 0."""

    def repeat(array: Array) -> Array:
        if array.ndim <= axis + 1 or array.shape[axis] == 0:
            return array
        return np.broadcast_to(np.ascontiguousarray(array.take([0], axis)), array.shape)

    return repeat


def unaligned(array: Array) -> Array:
    memory = np.empty(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def displaced(array: Array, by: int) -> Array:
    """The same rows without gaps, the first so many bytes behind the start of a cache line."""
    memory = np.empty(array.nbytes + 64 + by, np.uint8)
    first = -memory.ctypes.data % 64 + by
    view = memory[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


# By name, so that a failing example is readable. The last ones make the kernel's entry copy the array.
STRIDES: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda array: array,
    "reordered": reordered,
    "with gaps": with_gaps,
    "backwards": backwards,
    "one batch entry for all": repeated(0),
    "one head for all": repeated(1),
    "one row for all": repeated(2),
    "gaps along the last axis": lambda array: with_gaps(array, last=3),
    "last axis backwards": lambda array: np.ascontiguousarray(array[..., ::-1])[..., ::-1],
    "Fortran order": np.asfortranarray,
    "unaligned": unaligned,
}
OUT_STRIDES = ("contiguous", "reordered", "with gaps", "backwards")


def lengths(tile: int, block: int) -> st.SearchStrategy[int]:
    """Around the edges of tiles and blocks, and anywhere between."""
    edges = [1, tile - 1, tile, tile + 1, block - 1, block, block + 1]
    return st.one_of(st.sampled_from(edges), st.integers(1, block + tile))


def offsets(spec: Spec, shape: Shape) -> st.SearchStrategy[Any]:
    """Around the keys; where scores do not grow with the position and lose their digits, also far away."""
    near = st.integers(-shape.keys - 40, shape.keys + 40)
    far = st.sampled_from([-(2**29) + 1, 2**29 - 500]) if spec.scores.modify is None else st.nothing()
    each = st.lists(near, min_size=shape.batch, max_size=shape.batch)
    dtypes = st.sampled_from([np.int64, np.int32, np.int16])
    arrays = st.builds(lambda numbers, dtype: np.array(numbers, dtype), each, dtypes)
    return st.one_of(st.none(), st.just(shape.keys - shape.queries), near, near.map(np.int32), far, arrays)


@dataclass(frozen=True)
class Draft:
    """What a call is made from: short enough to read in a report."""

    shape: Shape
    strides: tuple[str, ...]
    offset: Any

    def call(self, case: Case) -> Call:
        arrays = self.shape.random(case)
        ways = dict(zip(arrays, self.strides, strict=True))
        return {name: STRIDES[ways[name]](array) for name, array in arrays.items()} | {
            "query_offset": self.offset
        }


@st.composite
def drafts(draw: st.DrawFn, case: Case) -> Draft:
    """Calls to the kernel of a case."""
    schedule = case.schedule
    shape = Shape(
        batch=draw(st.integers(1, 3)),
        queries=draw(lengths(schedule.tile_queries, 2 * schedule.tile_queries)),
        keys=draw(lengths(schedule.key_rows, schedule.block_keys)),
        seed=draw(st.integers(0, 2**32 - 1)),
        scores=draw(st.sampled_from([1.0, 0.1, 4.0])),
    )
    arrays = 3 + len(case.spec.inputs)
    strides = draw(st.lists(st.sampled_from([*STRIDES]), min_size=arrays, max_size=arrays))
    return Draft(shape, tuple(strides), draw(offsets(case.spec, shape)))


def named(spec: Spec, result: Any) -> dict[str, Array]:
    """The arrays of a result, by name."""
    return dict(
        zip(
            ("out", *(s.value for s in spec.outputs.statistics)),
            result if spec.outputs.statistics else [result],
            strict=True,
        )
    )


def assert_right(spec: Spec, result: Any, call: Call) -> None:
    """The result is as near to the reference as plain NumPy with the same roundings, times 2.

    Numbers  ROOM of the greatest value beside it: the rounding of one call is luck. Queries that see no key
             have exactly 0 and -inf.
    """
    gold = named(spec, reference(spec).attention(**call))
    yardstick = plain.attention(spec, **call)
    statistic = np.dtype(np.float64 if spec.dtype is DType.FLOAT64 else np.float32)
    for name, found in named(spec, result).items():
        dtype = call["query"].dtype if name == "out" else statistic
        assert found.dtype == dtype and found.shape == gold[name].shape, name
        assert_near(name, found.astype(statistic), gold[name], yardstick[name], room(spec, name, gold[name]))
    if "lse" in gold:
        unseen = gold["lse"] == -np.inf
        np.testing.assert_array_equal(named(spec, result)["lse"] == -np.inf, unseen)


def room(spec: Spec, name: str, gold: Array) -> float:
    """What a lucky yardstick leaves for rounding; outputs of 16 bits are rounded to these once more."""
    greatest = np.abs(gold[np.isfinite(gold)]).max(initial=0.0)
    if name == "received" and spec.dtype in EXP2_ERROR:
        return EXP2_ERROR[spec.dtype] * max(1.0, greatest)  # of the log-sum-exp that is taken off
    if name != "out" and spec.dtype in EXP2_ERROR:
        return EXP2_ERROR[spec.dtype] + 1e-5 * greatest
    return ROOM[spec.dtype] * (greatest if spec.dtype.bytes == 2 else max(1.0, greatest))


def assert_near(name: str, found: Array, gold: Array, yardstick: Array, room: float) -> None:
    finite = np.isfinite(gold)
    np.testing.assert_array_equal(found[~finite], gold[~finite], err_msg=name)
    np.testing.assert_array_equal(yardstick[~finite], gold[~finite], err_msg=f"{name} of the yardstick")
    error = np.abs(found[finite] - gold[finite]).max(initial=0.0)
    error_of_yardstick = np.abs(yardstick[finite] - gold[finite]).max(initial=0.0)
    allowed = 2 * error_of_yardstick + room
    assert error <= allowed, f"{name} is {error:.3g} off, {allowed:.3g} allowed"
    np.testing.assert_array_equal(found[gold == 0], 0, err_msg=name)


def bits_of(array: Array) -> Array:
    """The numbers as integers: equal only when every bit is."""
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def bits(spec: Spec, result: Any) -> dict[str, Array]:
    """The results by name, as integers."""
    return {name: bits_of(array) for name, array in named(spec, result).items()}


def same_bits(spec: Spec, one: Any, other: Any) -> None:
    others = bits(spec, other)
    for name, array in bits(spec, one).items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
