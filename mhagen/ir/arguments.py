"""Checks what a caller passes against the inputs of a graph, and finds the lengths known at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ..base.dtypes import DType, Kind
from ..base.errors import InputError
from .graph import Value
from .op import Array
from .types import Dimension

# The length of each named axis.
Lengths: TypeAlias = dict[str, int]

# Formats that may come as their bits.
SIXTEEN_BITS = {DType.BFLOAT16: np.dtype(ml_dtypes.bfloat16), DType.FLOAT16: np.dtype(np.float16)}
# What the interpreter computes in.
WIDE = {Kind.REAL: np.float64, Kind.INTEGER: np.int64, Kind.CONDITION: np.bool_}


def bind(inputs: Iterable[Value], given: Mapping[str, npt.ArrayLike]) -> tuple[dict[str, Array], Lengths]:
    """The given arrays in float64, int64 or bool, and the lengths that their shapes give to named axes.

    Raises   InputError that names the argument, what it has and what it needs
    """
    lengths: Lengths = {}
    arrays = {}
    for value in inputs:
        array = _widened(value, as_array(value.name, given[value.name]))
        _check_shape(value, array.shape, lengths)
        lengths |= {
            axis: n for axis, n in zip(value.type.shape, array.shape, strict=True) if isinstance(axis, str)
        }
        arrays[value.name] = array
    return arrays, lengths


def check_names(what: str, given: Iterable[str], needed: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Raises InputError unless the needed names are given, and no others but optional ones."""
    given, needed = tuple(given), tuple(needed)
    known = dict.fromkeys((*needed, *optional))
    missing = ", ".join(name for name in needed if name not in given)
    unknown = ", ".join(name for name in given if name not in known)
    if missing:
        raise InputError(f"{what} needs {missing}")
    if unknown:
        raise InputError(f"{what} has no {unknown}; it takes {', '.join(known) or 'none'}")


def as_array(name: str, argument: npt.ArrayLike) -> Array:
    """What is given as an array.

    Raises   InputError that names the argument, of lists whose lengths differ
    """
    try:
        return np.asarray(argument)
    except ValueError as error:
        raise InputError(f"{name} is not an array: {error}") from None


def _widened(value: Value, array: Array) -> Array:
    dtype = value.type.dtype
    wide = WIDE[dtype.kind]
    if array.dtype == np.uint16 and dtype in SIXTEEN_BITS:
        array = array.view(SIXTEEN_BITS[dtype])
    if not np.can_cast(array.dtype, wide, casting="same_kind"):
        raise InputError(f"{value.name} holds {array.dtype} and needs {dtype.value}")
    if dtype.kind is Kind.INTEGER and array.size > 0:
        _check_range(value, int(array.min()), int(array.max()))
    return array.astype(wide)


def _check_range(value: Value, low: int, high: int) -> None:
    name = value.type.dtype.value
    limits = np.iinfo(name)
    if low < limits.min or high > limits.max:
        raise InputError(f"{value.name} holds {low} to {high} and needs numbers that {name} can hold")


def _check_shape(value: Value, shape: tuple[int, ...], lengths: Lengths) -> None:
    wanted = value.type.shape
    known = (lengths.get(axis, axis) if isinstance(axis, str) else axis for axis in wanted)
    fits = (isinstance(want, str) or want == have for want, have in zip(known, shape, strict=False))
    if len(shape) != len(wanted) or not all(fits):
        needed = ", ".join(_shown(axis, lengths) for axis in wanted)
        raise InputError(f"{value.name} has shape {shape} and needs ({needed})")


def _shown(axis: Dimension, lengths: Lengths) -> str:
    return f"{axis} = {lengths[axis]}" if isinstance(axis, str) and axis in lengths else str(axis)
