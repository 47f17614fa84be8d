"""What holds in every format: hidden numbers, neighbours, threads, bits without a name, wrong arrays."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen import InputError
from mhagen.base.dtypes import DType

from .calls import Array, Call, Shape, drafts, same_bits
from .dtypes import CASES, EVERY_CASE, EVERY_MASK, LAYER_CASES, of
from .isolation import (
    assert_alone_as_together,
    assert_isolated,
    assert_same_on_any_number_of_threads,
    poisoned,
    seen_by,
)
from .layers import rows, weights_of
from .specs import Case

POISONS = (np.nan, np.inf, -np.inf)
SIXTEEN = (DType.BFLOAT16, DType.FLOAT16)
SIXTEEN_CASES = [case for case in CASES if case.spec.dtype in SIXTEEN]
SIXTEEN_LAYERS = [case for case in LAYER_CASES if case.spec.dtype in SIXTEEN]


def lengths(case: Case) -> tuple[tuple[int, int], ...]:
    """Queries and keys: few queries, one block of keys, several; odd counts, which fill no pair."""
    module = case.module
    few, block, rows_of_keys = module.DECODE_QUERIES, module.BLOCK_KEYS, module.KEY_ROWS
    single = ((20, 1), (20, rows_of_keys - 1), (70, 33), (9 + few, block - 1), (9 + few, block))
    return ((1, 7), (few, 33), (2, module.CHUNK_KEYS + 9), *single, (70, block + 1), (40, 2 * block + 5))


# What is hidden


@of("captured")
@pytest.mark.parametrize("name", ["key", "value"])
def test_a_poisoned_key_or_value_changes_no_bit_of_the_queries_that_do_not_see_it(
    case: Case, name: str
) -> None:
    for number, (queries, keys) in enumerate(lengths(case)):
        rng = np.random.default_rng(number)
        call = Shape(2, queries, keys, number).random(case) | {"query_offset": 0}
        call["chosen"] = rng.random((2, queries, keys)) < (0.02, 0.3, 0.9)[number % 3]
        assert_isolated(case, call, name, POISONS[number % 3], rng)


@EVERY_MASK
@given(data=st.data(), poison=st.sampled_from(POISONS), name=st.sampled_from(["key", "value"]))
@settings(max_examples=8)
def test_keys_and_values_hidden_from_all_change_no_bit(
    case: Case, data: st.DataObject, poison: float, name: str
) -> None:
    call = data.draw(drafts(case)).call(case)
    hidden = np.logical_not(seen_by(case, call).any(axis=2))
    same_bits(
        case.spec,
        case.module.attention(**poisoned(case, call, name, hidden, poison)),
        case.module.attention(**call),
    )


@EVERY_CASE
@pytest.mark.parametrize("poison", POISONS)
def test_what_lies_behind_the_last_key_and_value_changes_no_bit(case: Case, poison: float) -> None:
    """The arrays are the first keys of longer ones, as the entries of a cache are."""
    axis = 2 if case.spec.layout.value == "bhsd" else 1
    for number, (queries, keys) in enumerate(lengths(case)):
        call = Shape(2, queries, keys, number).random(case)
        spacious = call | {name: with_room(call[name], axis, poison) for name in ("key", "value")}
        same_bits(case.spec, case.module.attention(**spacious), case.module.attention(**call))


def with_room(array: Array, axis: int, filling: float) -> Array:
    """The same numbers, with other ones behind them along an axis."""
    padding = [(0, 9 if each == axis else 0) for each in range(array.ndim)]
    larger = np.pad(array, padding, constant_values=filling)
    return larger[tuple(slice(0, length) for length in array.shape)]


# Neighbours and threads


@EVERY_CASE
def test_results_do_not_depend_on_the_other_sequences_in_the_batch(case: Case) -> None:
    for queries, keys in ((1, 300), (7, 90), (70, 90), (40, 2 * case.module.BLOCK_KEYS + 5)):
        call = Shape(3, queries, keys, seed=6, scores=6.0).random(case)
        assert_alone_as_together(case, call | {"query_offset": np.array([4, -9, 40])})


@EVERY_CASE
def test_results_do_not_depend_on_the_number_of_threads(case: Case) -> None:
    for queries, keys in ((1, 3 * case.module.CHUNK_KEYS + 1), (7, 700), (150, 90), (300, 580)):
        call = Shape(2, queries, keys, seed=4, scores=3.0).random(case)
        assert_same_on_any_number_of_threads(case, call)


# Bits without a name


def as_bits(given: Call) -> Call:
    """Numbers of 16 bits as the integers that their bits are."""
    return {name: array.view(np.uint16) if array.itemsize == 2 else array for name, array in given.items()}


@pytest.mark.parametrize("case", SIXTEEN_CASES, ids=repr)
def test_bits_as_integers_give_the_bits_of_named_numbers(case: Case) -> None:
    for queries, keys in ((1, 70), (70, 33)):
        call = Shape(2, queries, keys, seed=2).random(case)
        found = case.module.attention(**as_bits(call))
        out = found if isinstance(found, np.ndarray) else found.out
        assert out.dtype == np.uint16
        same_bits(case.spec, found, case.module.attention(**call))


@pytest.mark.parametrize("case", SIXTEEN_CASES, ids=repr)
def test_results_are_written_to_integers_too(case: Case) -> None:
    call = Shape(2, 70, 33, seed=2).random(case)
    expected = case.module.attention(**call)
    wanted = expected if isinstance(expected, np.ndarray) else expected.out
    out = np.zeros(wanted.shape, np.uint16)
    same_bits(case.spec, case.module.attention(**call, out=out), expected)
    assert out.any()


@pytest.mark.parametrize("case", SIXTEEN_LAYERS, ids=repr)
def test_a_layer_takes_bits_as_integers(case: Case) -> None:
    x, weights = rows(case.spec, 2, 19, seed=1), weights_of(case.spec, seed=1)
    inputs = {name: np.ones(case.spec.heads.query, np.float32) for name in case.spec.inputs}
    found = case.module.layer(x.view(np.uint16), as_bits(weights), **inputs)
    same_bits(case.spec, found, case.module.layer(x, weights, **inputs))


# Wrong arrays

DTYPES: dict[str, Any] = {
    **{
        name: np.dtype(name) for name in ("float32", "float64", "float16", "int32", "uint16", "int16", "bool")
    },
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "complex64": np.dtype(np.complex64),
}


def others(case: Case) -> list[str]:
    """The formats that the arrays of a case must not have."""
    needed = case.spec.dtype
    taken = (needed.value, "uint16") if needed in SIXTEEN else (needed.value,)
    return [name for name in DTYPES if name not in taken]


@EVERY_CASE
@pytest.mark.parametrize("name", ["query", "key", "value", "out"])
def test_an_array_of_another_format_is_refused_with_what_is_needed(case: Case, name: str) -> None:
    call = Shape(1, 3, 5).random(case)
    call["out"] = np.zeros((*call["query"].shape[:3], case.spec.heads.value_dim), call["query"].dtype)
    remedy = r"np\.empty\(\(1," if name == "out" else rf"{name}\."  # a copy of out would get the results
    for wrong in others(case):
        needs = rf"^{name} has dtype {wrong}; needs {case.spec.dtype.value}: pass {remedy}"
        with pytest.raises(InputError, match=needs):
            case.module.attention(**call | {name: call[name].astype(DTYPES[wrong])})


@pytest.mark.parametrize("case", LAYER_CASES, ids=repr)
def test_a_layer_refuses_another_format_with_what_is_needed(case: Case) -> None:
    x, weights = rows(case.spec, 1, 3, seed=1), weights_of(case.spec, seed=1)
    inputs = {name: np.ones(case.spec.heads.query, np.float32) for name in case.spec.inputs}
    for wrong in others(case):
        needs = f"has dtype {wrong}; needs {case.spec.dtype.value}"
        with pytest.raises(InputError, match=f"^x {needs}"):
            case.module.layer(x.astype(DTYPES[wrong]), weights, **inputs)
        with pytest.raises(InputError, match=f"^wk {needs}"):
            case.module.prepare(weights | {"wk": weights["wk"].astype(DTYPES[wrong])})


@EVERY_MASK
@pytest.mark.parametrize("name", ["key", "value"])
def test_a_poisoned_block_changes_no_bit_of_blocks_before_and_behind_it(case: Case, name: str) -> None:
    """With several blocks of keys, sums of blocks and of all keys are rounded apart."""
    rng = np.random.default_rng(3)
    keys = 3 * case.module.BLOCK_KEYS + 5
    call = Shape(1, 70, keys, 5).random(case) | {"query_offset": keys - 70}
    assert_isolated(case, call, name, np.nan, rng)


def test_weights_prepared_for_another_dtype_are_refused() -> None:
    """Their panels may be as wide, and hold half or twice as many bytes."""
    layers = [case for case in LAYER_CASES if case.spec.name.startswith("pruned_layer")]
    assert len({case.spec.dtype for case in layers}) == 4
    for case, other in permutations(layers, 2):
        prepared = other.module.prepare(weights_of(other.spec, 0))
        with pytest.raises(InputError, match="prepared for another layer, dtype or target"):
            case.module.layer(rows(case.spec, 1, 3, seed=0), prepared)
