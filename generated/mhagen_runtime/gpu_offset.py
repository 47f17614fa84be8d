"""Where the queries of a call on a GPU stand: one position for all batch entries, or an array of them."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InputError
from .arguments import LIMIT
from .complaints import far_offset
from .gpu_arrays import GpuArray, checked, is_contiguous
from .gpu_streams import CallStream
from .sizes import Sizes


@dataclass(frozen=True)
class GpuOffset:
    """The position of the first query: one for all batch entries, or an array of one for each."""

    first: int
    array: GpuArray | None = None

    @property
    def addresses(self) -> int:
        """Of the array; 0 without."""
        return 0 if self.array is None else self.array.address

    @property
    def named(self) -> dict[str, GpuArray]:
        """The array, if there is one, by the name of the argument."""
        return {} if self.array is None else {"query_offset": self.array}


def bind_gpu_offset(query_offset: Any, start: int, sizes: Sizes, stream: CallStream) -> GpuOffset:
    """The offset that the caller gives, or where queries start without.

    Raises   InputError
    """
    if query_offset is None:
        return GpuOffset(start)
    one = one_offset(query_offset)
    if one is not None:
        return GpuOffset(one)
    found = checked("query_offset", query_offset, "int64", ("batch",), sizes, stream)
    if not is_contiguous(found):
        raise InputError("query_offset has gaps between its elements; needs them side by side")
    return GpuOffset(0, found)


def one_offset(query_offset: Any) -> int | None:
    """The offset, where it is one for all batch entries; None where it is an array.

    Raises   InputError for what is neither, and far away
    """
    if isinstance(query_offset, bool | float | complex | str | list | tuple | np.floating | np.bool_):
        raise InputError(
            f"query_offset is {reprlib.repr(query_offset)} of type {type(query_offset).__name__}; "
            "needs an int, or an int64 array (batch,) on the GPU"
        )
    if not isinstance(query_offset, int | np.integer):
        return None
    if not -LIMIT < query_offset < LIMIT:
        raise far_offset(int(query_offset), int(query_offset))
    return int(query_offset)
