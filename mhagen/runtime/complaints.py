"""What a caller is told about a wrong array: what it is, what the kernel needs, and what to do."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from .sizes import Axes, Sizes

Array = NDArray[Any]


def not_an_array(name: str, value: object, dtype: str, *, written: bool) -> InputError:
    if written:
        remedy = "results are written into it, so give one that np.empty has made, or none"
    elif isinstance(value, np.ma.MaskedArray):
        remedy = f"the mask would be ignored; pass {name}.filled(0), and mask by `keep`"
    elif value is None:
        remedy = "give one"
    else:
        remedy = f"pass np.asarray({name}, '{dtype}')"
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return InputError(f"{name} is a {module}{kind.__qualname__}; needs a plain numpy.ndarray: {remedy}")


def wrong_dtype(name: str, array: Array, dtype: str, *, written: bool) -> InputError:
    remedy = f"pass {name}.astype('{dtype}')"
    if dtype == "bfloat16":
        remedy = f"pass {name}.astype(ml_dtypes.bfloat16), or its bits as uint16"
    if written:  # a copy would get the results, and the caller's array would not
        real = "ml_dtypes.bfloat16" if dtype == "bfloat16" else f"'{dtype}'"
        remedy = f"pass np.empty({array.shape}, {real})"
    has = array.dtype if array.dtype.isnative else f"{array.dtype.newbyteorder('=')} with its bytes swapped"
    return InputError(f"{name} has dtype {has}; needs {dtype}: {remedy}")


def wrong_shape(name: str, shape: tuple[int, ...], axes: Axes, sizes: Sizes) -> InputError:
    needed = ", ".join(_axis(axis, name, sizes) for axis in axes)
    message = f"{name} has shape {shape}; needs ({needed}{',' if len(axes) == 1 else ''})"
    if len(shape) != len(axes):
        return InputError(f"{message}: {len(axes)} axes, not {len(shape)}")
    return InputError(f"{message}: {'; '.join(_mismatches(name, shape, axes, sizes))}")


def _axis(axis: str | int, name: str, sizes: Sizes) -> str:
    if isinstance(axis, int):
        return str(axis)
    if axis not in sizes or sizes.givers.get(axis) == name:
        return axis
    return f"{axis}={sizes[axis]}"


def _mismatches(name: str, shape: tuple[int, ...], axes: Axes, sizes: Sizes) -> list[str]:
    found = []
    for place, (axis, length) in enumerate(zip(axes, shape, strict=True)):
        needed = axis if isinstance(axis, int) else sizes.get(axis, length)
        if needed != length:
            found.append(f"axis {place} is {length}, but {_source(axis, name, sizes)}")
    return found


def _source(axis: str | int, name: str, sizes: Sizes) -> str:
    if isinstance(axis, int):
        return f"this kernel needs {axis}"
    giver = sizes.givers.get(axis, "this kernel")
    verb = "has" if giver == "this kernel" else "gives"
    return f"{'another of its axes' if giver == name else giver} {verb} {axis} = {sizes[axis]}"


def read_only(name: str) -> InputError:
    return InputError(f"{name} is read-only; needs an array that can be written to")


def not_addressable(name: str, array: Array) -> InputError:
    return InputError(
        f"{name} has strides {array.strides}; needs aligned elements without gaps along the last axis: "
        f"{_a_new_array(array)}"
    )


def coinciding_elements(name: str, array: Array) -> InputError:
    return InputError(
        f"{name} has strides {array.strides}, by which two of its elements may be one place in memory; "
        f"needs a place for each: {_a_new_array(array)}"
    )


def shared_memory(name: str, array: Array, other: str) -> InputError:
    return InputError(
        f"{name} shares memory with {other}, which would change while it is read; "
        f"needs memory of its own: {_a_new_array(array)}"
    )


def _a_new_array(array: Array) -> str:
    return f"pass np.empty({array.shape}, '{array.dtype}')"


def not_an_offset(value: object, batch: int) -> InputError:
    return InputError(
        f"query_offset is {reprlib.repr(value)} of type {type(value).__name__}; "
        f"needs an int, or an integer array of shape (batch={batch},)"
    )


def far_offset(lowest: int, highest: int) -> InputError:
    has = f"is {lowest}" if lowest == highest else f"goes from {lowest} to {highest}"
    return InputError(f"query_offset {has}; needs to lie between -2**29 and 2**29")
