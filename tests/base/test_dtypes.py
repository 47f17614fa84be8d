"""Number formats agree with NumPy's of the same name."""

from __future__ import annotations

import numpy as np
import pytest

from mhagen.base.dtypes import DType, Kind

KINDS = {"f": Kind.REAL, "i": Kind.INTEGER, "b": Kind.CONDITION}


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.BFLOAT16])
def test_a_format_has_the_size_and_kind_that_numpy_gives_it(dtype: DType) -> None:
    assert dtype.bytes == np.dtype(dtype.value).itemsize
    assert dtype.kind is KINDS[np.dtype(dtype.value).kind]


def test_bfloat16_is_real_and_has_two_bytes() -> None:
    assert (DType.BFLOAT16.kind, DType.BFLOAT16.bytes) == (Kind.REAL, 2)
