"""The short way in: which calls take it, what it leaves as it was, and what it costs when it says no."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen.backend import cpu
from mhagen.base.errors import InputError
from mhagen.pipeline import compile_to_source
from mhagen.runtime.launch import Kernel, direct_dtypes

SPEC: dict[str, Any] = {"name": "short", "heads": {"query": 2, "key_value": 1, "dim": 32}}
Array = np.ndarray[Any, Any]


def arrays(queries: int = 3, keys: int = 5, dtype: str = "float32") -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    shapes = ((1, 2, queries, 32), (1, 1, keys, 32), (1, 1, keys, 32))
    query, key, value = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return query, key, value


@pytest.fixture(scope="module")
def built() -> mhagen.pipeline.Kernel:
    return mhagen.build(SPEC)


def test_a_query_of_any_size_in_a_few_bytes_is_refused_by_name(built: mhagen.pipeline.Kernel) -> None:
    _, key, value = arrays()
    vast = np.broadcast_to(np.zeros((), "V2000000000"), (1, 2, 3, 32))
    with pytest.raises(InputError, match=r"^query has dtype"):
        built.attention(vast, key, value)


def test_a_refused_call_waits_for_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**SPEC, "name": "never_compiled"}
    module = cpu.load(compile_to_source(other, tune="never")[2])

    def load(self: Kernel) -> None:
        raise AssertionError("compiled for nothing")

    monkeypatch.setattr(Kernel, "load", load)
    query, key, value = arrays()
    for wrong in (query.astype(np.float64), key):
        with pytest.raises(InputError):
            module.attention(wrong, key, value)
    with pytest.raises(InputError, match=r"^key"):
        module.attention(query, query, value)
    with pytest.raises(InputError, match=r"^query_offset"):
        module.attention(query, key, value, query_offset=1.5)


LATER = """
import sys
import numpy as np
import bf
bits = np.zeros((1, 2, 3, 32), np.uint16)
rows = bits[:, :1]
assert bf.attention(bits, rows, rows).dtype == np.uint16 and "ml_dtypes" not in sys.modules
import ml_dtypes
query, key = bits.view(ml_dtypes.bfloat16), rows.view(ml_dtypes.bfloat16)
for kernel in (bf.KERNEL, bf.DECODE):
    kernel.load()
    assert kernel.attend(query, key, key, None, None).dtype == ml_dtypes.bfloat16
    assert kernel.attend(bits, rows, rows, None, None).dtype == np.uint16
    assert kernel.attend(query.astype(np.float32), key, key, None, None) is None
"""


def test_bfloat16_takes_the_short_way_also_where_its_library_comes_later(tmp_path: Path) -> None:
    source = compile_to_source({**SPEC, "name": "bf", "dtype": "bfloat16"}, tune="never")[2]
    cpu.write(source, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LATER],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_a_library_that_is_half_imported_has_no_dtype_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", ModuleType("ml_dtypes"))
    assert direct_dtypes("bfloat16") == (np.dtype(np.uint16),)
