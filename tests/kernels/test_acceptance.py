"""What every kernel passes before it is published finds a kernel that is wrong, however it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen.backend.acceptance import (
    LABELS,
    MOST_ALLOWED,
    Results,
    compare,
    examples,
    leave_range,
    numpy_error,
)
from mhagen.backend.numpy_baseline import NumpyBaseline
from mhagen.base.errors import VerificationError
from mhagen.spec.load import load_spec

PLAIN: dict[str, Any] = {"name": "accepted", "heads": {"query": 1, "dim": 32}}
# exp(200) is no float32, so plain arithmetic has nothing to say where it comes to that.
OVERFLOWING = {**PLAIN, "name": "overflowing", "scores": {"modify": "0.01 * exp(100 * abs(score))"}}
Array = np.ndarray[Any, Any]
Change = Callable[[Array, int, int, int], None]


@cache
def right() -> mhagen.pipeline.Kernel:
    return mhagen.build(PLAIN)


def changed(change: Change) -> ModuleType:
    """The module, with the results of its calls changed."""
    module = right().module
    other = ModuleType(module.__name__)
    vars(other).update(vars(module))

    def attention(query: Array, key: Array, value: Array, **keywords: Any) -> Array:
        found: Array = module.attention(query, key, value, **keywords)
        change(found, query.shape[2], key.shape[2], module.BLOCK_KEYS)
        return found

    vars(other)["attention"] = attention
    return other


def in_the_second_block(out: Array, queries: int, keys: int, block: int) -> None:
    if keys > block and queries > 1:
        out[...] += 1e-3


def in_the_second_chunk(out: Array, queries: int, keys: int, block: int) -> None:
    if keys > right().module.CHUNK_KEYS and queries == 1:
        out[...] += 1e-3


def behind_a_whole_task(out: Array, queries: int, keys: int, block: int) -> None:
    out[:, :, right().module.TILE_QUERIES :] += 1e-3


def not_a_number(out: Array, queries: int, keys: int, block: int) -> None:
    out[..., -1] = np.nan


def nothing(out: Array, queries: int, keys: int, block: int) -> None:
    out[...] = 0.0


@pytest.mark.parametrize(
    "change", [in_the_second_block, in_the_second_chunk, behind_a_whole_task, not_a_number, nothing]
)
def test_a_kernel_that_is_wrong_is_refused(change: Change) -> None:
    compare(right().spec, right().module)
    with pytest.raises(VerificationError, match="accepted differs from the reference"):
        compare(right().spec, changed(change))


@pytest.mark.parametrize("change", [not_a_number, nothing])
def test_overflow_of_plain_arithmetic_excuses_nothing(change: Change) -> None:
    spec = load_spec(OVERFLOWING)
    module = changed(change)
    assert np.isfinite(numpy_error(spec, module))
    with pytest.raises(VerificationError, match=rf"(inf|\d) of the greatest result; ({MOST_ALLOWED}|2e-05)"):
        compare(spec, module)


def test_overflow_that_plain_arithmetic_shares_is_refused_as_the_spec_s() -> None:
    spec = load_spec(OVERFLOWING)
    module, plain = ModuleType("overflowing"), NumpyBaseline(spec)
    vars(module).update(vars(right().module))

    def attention(out: Array | None = None, **keywords: Any) -> Array:
        offset = keywords.pop("query_offset", None)
        with np.errstate(all="ignore"):
            found = plain.attention(**keywords, query_offset=0 if offset is None else offset)
        return found if out is None else np.copyto(out, found) or out

    vars(module)["attention"] = attention
    with pytest.raises(VerificationError, match=r"leave the range of float32 .* bound them"):
        compare(spec, module)
    results = Results(*(np.full((1, 2), each) for each in (np.nan, np.nan, 1.0)), 1e-5)
    assert leave_range([results])
    assert not leave_range([results, replace(results, found=np.zeros((1, 2)), plain=np.ones((1, 2)))])
    assert not leave_range([replace(results, found=np.zeros((1, 2)))])
    assert not leave_range([])


def test_long_rows_are_compared_and_short_ones_too() -> None:
    length = {"shape": ["batch"], "dtype": "int32"}
    spec = load_spec({**PLAIN, "mask": {"keep": "k < length[b]"}, "inputs": {"length": length}})
    found = [(e.keys, each) for e in examples(spec, right().module) for each in e.inputs(spec)["length"]]
    assert all(0 <= each <= keys for keys, each in found if each >= LABELS)
    assert any(keys > right().module.BLOCK_KEYS and each >= keys // 2 for keys, each in found)
    assert any(keys > right().module.CHUNK_KEYS and each >= keys // 2 for keys, each in found)
    assert any(keys > right().module.CHUNK_KEYS and each < LABELS for keys, each in found)


def test_labels_along_positions_stay_few() -> None:
    segments = {"inputs": {"segment": {"shape": ["batch", "keys"], "dtype": "int32"}}}
    spec = load_spec({**PLAIN, **segments})
    for example in examples(spec, right().module):
        assert example.inputs(spec)["segment"].max() < LABELS


def test_examples_have_more_than_one_of_everything() -> None:
    module = right().module
    found = list(examples(right().spec, module))
    assert any(e.keys > 2 * module.BLOCK_KEYS and e.queries > module.TILE_QUERIES for e in found)
    assert any(e.keys > module.CHUNK_KEYS and e.queries <= module.DECODE_QUERIES for e in found)
