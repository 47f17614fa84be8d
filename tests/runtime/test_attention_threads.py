"""A generated attention gives the same bits on any number of threads, to any number of callers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mhagen.backend import cpu
from mhagen.pipeline import compile_to_source

SPEC = {
    "name": "threads",
    "heads": {"query": 6, "key_value": 2, "dim": 40},
    "mask": {"keep": "k <= q"},
    "outputs": {"statistics": ["lse"]},
}
# Enough work for many threads; fewer tasks than threads; one task.
SHAPES = ((2, 200, 300), (1, 40, 2000), (1, 1, 5000))


@pytest.fixture(scope="module")
def attention() -> Callable[..., Any]:
    found: Callable[..., Any] = cpu.load(compile_to_source(SPEC)[2]).attention
    return found


def bits(attention: Callable[..., Any], shape: tuple[int, int, int]) -> bytes:
    batch, queries, keys = shape
    rng = np.random.default_rng(keys)
    lengths = {"query": (6, queries), "key": (2, keys), "value": (2, keys)}
    arrays = {
        name: rng.standard_normal((batch, heads, length, 40), dtype=np.float32)
        for name, (heads, length) in lengths.items()
    }
    return b"".join(array.tobytes() for array in attention(**arrays, query_offset=keys - queries))


@pytest.mark.parametrize("shape", SHAPES)
def test_results_do_not_depend_on_the_number_of_threads(
    attention: Callable[..., Any], shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for threads in (1, 2, 3, 16):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        found |= {bits(attention, shape) for _ in range(3)}
    assert len(found) == 1


def test_callers_of_different_sizes_do_not_disturb_each_other(
    attention: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    shapes = [*SHAPES, (3, 70, 70)]
    expected = [{bits(attention, shape)} for shape in shapes]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda shape: {bits(attention, shape) for _ in range(10)}, shapes))
    assert found == expected
