"""Checks of what a kernel is called with, once per call and before anything is allocated or computed.

A kernel reads by raw address, so what stands between a wrong array and a wrong number is here. The checks of
a right array take a microsecond; messages are made only when one has failed (see `complaints`).

Terms
    axes        what an array must be: an int is a length, a name is a length that all arrays share
    sizes       the length of each name, as far as it is known
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from . import complaints
from .sizes import Axes, Sizes

Array = NDArray[Any]

# Of lengths and offsets: positions stay below 2**30, so differences of two are exact in int32 lanes.
LIMIT = 1 << 29
# How hard to look for an element that two arrays with overlapping bounds share, before assuming one.
OVERLAP_EFFORT = 10_000

_DTYPES = {name: np.dtype(name) for name in ("float32", "float64", "float16", "int32", "int64", "bool")}
# bfloat16 is no dtype of NumPy's: ml_dtypes' is known by its name, and bits without a name are taken as well.
_BITS = np.dtype(np.uint16)
_SIXTEEN_BITS = ("bfloat16", "float16")


def bind(name: str, array: object, dtype: str, axes: Axes, sizes: Sizes) -> Array:
    """The array to compute with: this one, or one copy if it is unaligned or its last axis has gaps.

    Names among the axes that `sizes` does not know yet are added to it.

    Raises   InputError, which says what the argument is and what it needs to be
    """
    checked = _check(name, array, dtype, axes, sizes)
    if _is_addressable(checked):
        return checked
    return np.array(checked, order="C", copy=True)


def bind_input(name: str, array: object, dtype: str, axes: Axes, sizes: Sizes) -> Array:
    """As bind, for an array that expressions index: its elements lie side by side, or one copy has them so.

    Raises   InputError
    """
    checked = _check(name, array, dtype, axes, sizes)
    if checked.flags.c_contiguous and checked.flags.aligned:
        return checked
    return np.array(checked, order="C", copy=True)


def bind_out(
    name: str, array: object, dtype: str, axes: Axes, sizes: Sizes, inputs: Mapping[str, Array]
) -> Array:
    """The caller's array, if results can be written straight into it: never a copy.

    Raises   InputError; also where it shares memory with an input, or its elements with each other
    """
    checked = _check(name, array, dtype, axes, sizes, True)
    if not checked.flags.writeable:
        raise complaints.read_only(name)
    if not _is_addressable(checked):
        raise complaints.not_addressable(name, checked)
    if _elements_may_coincide(checked):
        raise complaints.coinciding_elements(name, checked)
    for other, given in inputs.items():
        if share_memory(checked, given):
            raise complaints.shared_memory(name, checked, other)
    return checked


def bind_offset(query_offset: object, batch: int) -> NDArray[np.int64]:
    """The offset of each batch entry, from one integer or an array of them.

    Raises   InputError
    """
    if type(query_offset) is int:
        if not -LIMIT < query_offset < LIMIT:
            raise complaints.far_offset(query_offset, query_offset)
        same: NDArray[np.int64] = np.empty(batch, np.int64)
        same.fill(query_offset)  # np.full costs 1 us more
        return same
    if not isinstance(query_offset, np.integer) and type(query_offset) is not np.ndarray:
        raise complaints.not_an_offset(query_offset, batch)
    return _bind_offsets(np.asarray(query_offset), batch)


def _bind_offsets(offsets: Array, batch: int) -> NDArray[np.int64]:
    if offsets.dtype.kind not in "iu":
        raise InputError(f"query_offset has dtype {offsets.dtype}; needs integers: int64")
    if offsets.shape not in ((), (batch,)):
        raise InputError(f"query_offset has shape {offsets.shape}; needs () or (batch={batch},)")
    if offsets.size:
        lowest, highest = int(offsets.min()), int(offsets.max())
        if lowest <= -LIMIT or highest >= LIMIT:
            raise complaints.far_offset(lowest, highest)
    bound: NDArray[np.int64] = np.empty(batch, np.int64)
    bound[...] = offsets
    return bound


def _check(name: str, array: object, dtype: str, axes: Axes, sizes: Sizes, written: bool = False) -> Array:
    if type(array) is not np.ndarray:
        raise complaints.not_an_array(name, array, dtype, written=written)
    if not _has_dtype(array, dtype):
        raise complaints.wrong_dtype(name, array, dtype, written=written)
    if not _learn_sizes(name, array.shape, axes, sizes):
        raise complaints.wrong_shape(name, array.shape, axes, sizes)
    # Only these can have an axis beyond the limit. Broadcasting makes such arrays for free.
    if not 0 < array.size < LIMIT and array.shape and max(array.shape) >= LIMIT:
        raise InputError(f"{name} has shape {array.shape}; needs fewer than 2**29 along each axis")
    return array


def _has_dtype(array: Array, dtype: str) -> bool:
    # The first comparison settles most and is ten times faster; byte-swapped dtypes fail the others too.
    needed, found = _DTYPES.get(dtype), array.dtype
    if found is needed or (needed is not None and found == needed):
        return True
    if dtype not in _SIXTEEN_BITS:
        return False
    return found == _BITS or (dtype == "bfloat16" and _is_bfloat16(found))


def _is_bfloat16(dtype: np.dtype[Any]) -> bool:
    return dtype.type.__name__ == "bfloat16" and dtype.itemsize == 2 and dtype.isnative


def _learn_sizes(name: str, shape: tuple[int, ...], axes: Axes, sizes: Sizes) -> bool:
    """Whether the shape is as the axes say; teaches `sizes` the names that are new."""
    if len(shape) != len(axes):
        return False
    for axis, length in zip(axes, shape):  # noqa: B905 (equal lengths; strict costs 0.1 us)
        if isinstance(axis, int):
            if axis != length:
                return False
        elif axis not in sizes:
            sizes.learn(axis, length, name)
        elif sizes[axis] != length:
            return False
    return True


def _is_addressable(array: Array) -> bool:
    """Whether elements can be read by address: aligned, and the last axis without gaps."""
    flags = array.flags
    if not flags.aligned:
        return False
    return flags.c_contiguous or array.strides[-1] == array.itemsize or array.shape[-1] == 1


def _elements_may_coincide(array: Array) -> bool:
    """False where the axes nest, as they do in slices, reshapes and transposes of whole arrays."""
    if array.flags.c_contiguous:
        return False
    end = array.itemsize
    for stride, length in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if length == 1:
            continue
        if stride < end:
            return True
        end += stride * (length - 1)
    return False


def share_memory(one: Array, other: Array) -> bool:
    """Do they have an element in common, as far as that can be found out soon? If it cannot, they have."""
    if not np.may_share_memory(one, other):
        return False
    try:
        return bool(np.shares_memory(one, other, max_work=OVERLAP_EFFORT))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
