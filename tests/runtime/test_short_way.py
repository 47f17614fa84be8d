"""The short way in: which calls take it, what it leaves as it was, and what it costs when it says no."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen.backend import cpu
from mhagen.base.errors import InputError
from mhagen.pipeline import compile_to_source
from mhagen.runtime.launch import Kernel

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
    with pytest.raises(InputError, match="^query has dtype"):
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
    with pytest.raises(InputError, match="^key"):
        module.attention(query, query, value)
    with pytest.raises(InputError, match="^query_offset"):
        module.attention(query, key, value, query_offset=1.5)
