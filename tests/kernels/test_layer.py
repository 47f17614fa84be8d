"""The whole layer: projections, attention, output linear; for itself or with a context."""

from __future__ import annotations

import threading
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen import InputError, reference
from mhagen.runtime import launch

from .calls import STRIDES, Array, Call, Shape, named, same_bits
from .layers import LAYERS, rows, weights_of
from .specs import Case

EVERY_LAYER = pytest.mark.parametrize("case", LAYERS.values(), ids=repr)
FULL, SQUARE = LAYERS["full"], LAYERS["square"]
WAYS = (
    "contiguous",
    "reordered",
    "with gaps",
    "backwards",
    "one row for all",
    "gaps along the last axis",
    "unaligned",
)


def inputs(case: Case, batch: int, queries: int, keys: int) -> Call:
    """The arrays of [inputs] for a call."""
    shape = Shape(batch, queries, keys, seed=batch)
    return {name: shape.input(case, name, np.random.default_rng(keys)) for name in case.spec.inputs}


def assert_layer_right(case: Case, x: Array, weights: dict[str, Array], **given: Any) -> None:
    gold = named(case.spec, reference(case.spec).layer(x, weights, **given))
    for name, found in named(case.spec, case.module.layer(x, weights, **given)).items():
        assert found.dtype == np.float32 and found.shape == gold[name].shape
        np.testing.assert_allclose(found, gold[name], rtol=2e-5, atol=2e-5, err_msg=name)


# Against the reference


@EVERY_LAYER
@given(
    batch=st.integers(1, 3), length=st.sampled_from([1, 2, 5, 6, 7, 8, 63, 65, 130]), seed=st.integers(0, 99),
    way=st.sampled_from(WAYS), offset=st.sampled_from([None, 0, 3, -2]),
)  # fmt: skip
@settings(max_examples=20)
def test_self_attention_equals_the_reference(
    case: Case, batch: int, length: int, seed: int, way: str, offset: int | None
) -> None:
    x = STRIDES[way](rows(case.spec, batch, length, seed=seed))
    given = inputs(case, batch, length, length)
    assert_layer_right(case, x, weights_of(case.spec, seed), **given, query_offset=offset)


@EVERY_LAYER
@given(
    batch=st.integers(1, 3), lengths=st.tuples(st.integers(1, 70), st.integers(1, 90)),
    seed=st.integers(0, 99), way=st.sampled_from(WAYS),
)  # fmt: skip
@settings(max_examples=20)
def test_cross_attention_equals_the_reference(
    case: Case, batch: int, lengths: tuple[int, int], seed: int, way: str
) -> None:
    queries, keys = lengths
    context = STRIDES[way](rows(case.spec, batch, keys, seed=seed + 1))
    x = rows(case.spec, batch, queries, seed=seed)
    assert_layer_right(
        case, x, weights_of(case.spec, seed), context=context, **inputs(case, batch, queries, keys)
    )


@EVERY_LAYER
def test_a_long_layer_equals_the_reference(case: Case) -> None:
    assert_layer_right(
        case, rows(case.spec, 2, 300, seed=1), weights_of(case.spec, 0), **inputs(case, 2, 300, 300)
    )


def test_x_as_its_own_context_is_self_attention() -> None:
    x, weights = rows(FULL.spec, 2, 20, seed=3), weights_of(FULL.spec, 0)
    alone, both = (FULL.module.layer(x, weights, context=context) for context in (None, x))
    np.testing.assert_allclose(both.out, alone.out, rtol=1e-6, atol=1e-6)


# Without it


def test_a_layer_of_identities_is_its_attention() -> None:
    x = rows(SQUARE.spec, 2, 50, seed=4)
    weights = {name: np.eye(32, dtype=np.float32) for name in ("wq", "wk", "wv", "wo")}
    biases = {name: np.zeros(32, np.float32) for name in ("bq", "bk", "bv")}
    heads = x.reshape(2, 50, 2, 16)
    out, lse = SQUARE.module.attention(heads, heads, heads)
    found = SQUARE.module.layer(x, weights | biases)
    np.testing.assert_array_equal(found.out, out.reshape(2, 50, 32))
    np.testing.assert_array_equal(found.lse, lse)


def test_the_layout_of_the_spec_says_nothing_about_the_layer() -> None:
    x, weights = rows(FULL.spec, 2, 40, seed=5), weights_of(FULL.spec, 0)
    other = LAYERS["full_rows"].module
    same_bits(FULL.spec, other.layer(x, weights), FULL.module.layer(x, weights))


@EVERY_LAYER
def test_prepared_weights_give_the_bits_of_the_mapping(case: Case) -> None:
    x, weights = rows(case.spec, 2, 30, seed=6), weights_of(case.spec, 1)
    given, prepared = inputs(case, 2, 30, 30), case.module.prepare(weights)
    for _ in range(2):
        same_bits(case.spec, case.module.layer(x, prepared, **given), case.module.layer(x, weights, **given))


@pytest.mark.parametrize(
    "way", ["with gaps", "backwards", "Fortran order", "unaligned", "last axis backwards"]
)
def test_weights_of_any_strides_give_the_same_bits(way: str) -> None:
    x, weights = rows(FULL.spec, 1, 9, seed=7), weights_of(FULL.spec, 1)
    strided = {name: STRIDES[way](array) for name, array in weights.items()}
    same_bits(FULL.spec, FULL.module.layer(x, strided), FULL.module.layer(x, weights))


def packed(weights: dict[str, Array]) -> dict[str, Array]:
    """The same weights with those of query, key and value in one array."""
    names = {f"{kind}qkv": [f"{kind}{letter}" for letter in "qkv"] for kind in "wb" if f"{kind}q" in weights}
    others = {name: array for name, array in weights.items() if name not in {*chain(*names.values())}}
    return others | {name: np.concatenate([weights[each] for each in parts]) for name, parts in names.items()}


@pytest.mark.parametrize("name", ["full", "padded", "turned"])
def test_packed_weights_give_the_bits_of_three_arrays(name: str) -> None:
    case = LAYERS[name]
    x, weights = rows(case.spec, 2, 30, seed=6), weights_of(case.spec, 1)
    given = inputs(case, 2, 30, 30)
    expected = case.module.layer(x, weights, **given)
    same_bits(case.spec, case.module.layer(x, packed(weights), **given), expected)
    same_bits(case.spec, case.module.layer(x, case.module.prepare(packed(weights)), **given), expected)
    gold = [reference(case.spec).layer(x, each, **given) for each in (weights, packed(weights))]
    same_bits(case.spec, *gold)
    half_packed = {**weights, **{name: array for name, array in packed(weights).items() if name == "wqkv"}}
    for letter in "qkv":
        del half_packed[f"w{letter}"]
    same_bits(case.spec, case.module.layer(x, half_packed, **given), expected)


WRONG_PACKED: dict[str, tuple[str, dict[str, Any]]] = {
    "one of the three beside it": ("weights has wqkv and wk", {"wk": np.zeros((48, 100), np.float32)}),
    "too few rows": ("wqkv has shape", {"wqkv": np.zeros((223, 100), np.float32)}),
    "packed biases beside one": ("weights has bqkv and bq, bv", dict.fromkeys(("bq", "bv"), np.zeros(1))),
}


@pytest.mark.parametrize(("message", "change"), WRONG_PACKED.values(), ids=WRONG_PACKED.keys())
def test_wrong_packed_weights_are_named(message: str, change: dict[str, Any]) -> None:
    weights = packed(weights_of(FULL.spec, 0)) | change
    x = rows(FULL.spec, 1, 3, seed=0)
    for layer in (FULL.module.layer, reference(FULL.spec).layer):
        with pytest.raises(InputError, match=message):
            layer(x, weights)


def test_packed_biases_of_a_layer_without_biases_are_unknown() -> None:
    weights = weights_of(LAYERS["padded"].spec, 0) | {"bqkv": np.zeros(9)}
    with pytest.raises(InputError, match="unknown bqkv"):
        LAYERS["padded"].module.prepare(weights)


def test_prepared_weights_keep_what_the_arrays_held() -> None:
    x, weights = rows(FULL.spec, 1, 9, seed=7), weights_of(FULL.spec, 1)
    prepared = FULL.module.prepare(weights)
    before = FULL.module.layer(x, prepared)
    for array in weights.values():
        array[...] = np.nan
    same_bits(FULL.spec, FULL.module.layer(x, prepared), before)


def test_a_nan_in_a_row_reaches_later_rows_of_its_sequence_only() -> None:
    x, weights = rows(FULL.spec, 2, 40, seed=8), weights_of(FULL.spec, 1)
    before = FULL.module.layer(x, weights).out
    x[1, 20, 3] = np.nan
    found = FULL.module.layer(x, weights).out
    assert np.isnan(found[1, 20:]).all()
    np.testing.assert_array_equal(found[0], before[0])
    np.testing.assert_array_equal(found[1, :20], before[1, :20])


def test_a_sequence_does_not_depend_on_the_others_in_the_batch() -> None:
    x, weights = rows(FULL.spec, 3, 70, seed=8), weights_of(FULL.spec, 1)
    together = FULL.module.layer(x, weights)
    for entry in range(3):
        alone = FULL.module.layer(x[entry : entry + 1], weights)
        np.testing.assert_array_equal(alone.out[0], together.out[entry])
        np.testing.assert_array_equal(alone.lse[0], together.lse[entry])


@EVERY_LAYER
def test_a_layer_does_not_depend_on_the_number_of_threads(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "MULTIPLY_ADDS_OF_A_THREAD", 1)
    x, weights, given = rows(case.spec, 2, 200, seed=9), weights_of(case.spec, 1), inputs(case, 2, 200, 200)
    results = []
    for threads in (1, 2, 3, 7):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        results.append(case.module.layer(x, weights, **given))
    for result in results[1:]:
        same_bits(case.spec, result, results[0])


def test_several_threads_may_call_a_layer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "MULTIPLY_ADDS_OF_A_THREAD", 1)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    prepared = FULL.module.prepare(weights_of(FULL.spec, 1))
    calls = [rows(FULL.spec, 1 + n, 30 + n, seed=n) for n in range(6)]
    expected = [FULL.module.layer(x, prepared).out for x in calls]
    wrong: list[int] = []

    def call(number: int) -> None:
        for _ in range(30):
            if not np.array_equal(FULL.module.layer(calls[number], prepared).out, expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Lengths of zero


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (2, 0), (0, 0)])
@EVERY_LAYER
def test_no_rows_give_no_rows(case: Case, batch: int, length: int) -> None:
    x = rows(case.spec, batch, length, seed=0)
    found = named(
        case.spec, case.module.layer(x, weights_of(case.spec, 1), **inputs(case, batch, length, length))
    )
    assert found["out"].shape == x.shape


def test_without_a_context_to_look_at_a_layer_gives_its_output_bias() -> None:
    weights = weights_of(FULL.spec, 1)
    found = FULL.module.layer(rows(FULL.spec, 2, 5, seed=1), weights, context=rows(FULL.spec, 2, 0, seed=1))
    np.testing.assert_array_equal(found.out, np.broadcast_to(weights["bo"], (2, 5, 100)))
    np.testing.assert_array_equal(found.lse, np.full((2, 4, 5), -np.inf))


# Bad calls


def without(name: str) -> Any:
    return lambda weights: {key: array for key, array in weights.items() if key != name}


def replaced(name: str, change: Any) -> Any:
    return lambda weights: weights | {name: change(weights[name])}


WRONG_WEIGHTS: dict[str, tuple[Any, str]] = {
    "one missing": (without("wk"), "weights lacks wk"),
    "a bias missing": (without("bo"), "weights lacks bo"),
    "one unknown": (lambda weights: weights | {"wx": weights["wq"]}, "weights has unknown wx"),
    "a number for a name": (lambda weights: weights | {3: weights["wq"]}, "weights has unknown 3"),
    "nothing": (lambda _: {}, "weights lacks wq"),
    "none": (lambda _: None, "weights is a NoneType"),
    "a list": (lambda weights: list(weights.values()), "weights is a list"),
    "transposed": (replaced("wq", np.transpose), r"wq has shape \(100, 96\)"),
    "float64": (replaced("wv", lambda array: array.astype(np.float64)), "wv has dtype float64"),
    "a nested list": (replaced("wo", np.ndarray.tolist), "wo is a list"),
    "masked": (replaced("wo", np.ma.masked_array), "wo is a numpy.ma"),
    "a bias of another length": (replaced("bk", lambda array: array[1:]), r"bk has shape \(47,\)"),
    "a bias with two axes": (replaced("bq", lambda array: array[None]), "bq has shape"),
    "swapped bytes": (
        replaced("wk", lambda array: array.astype(">f4")),
        "wk has dtype float32 with its bytes",
    ),
}


@pytest.mark.parametrize("kind", WRONG_WEIGHTS)
@pytest.mark.parametrize("entry", ["layer", "prepare"])
def test_wrong_weights_are_refused_by_name(kind: str, entry: str) -> None:
    change, message = WRONG_WEIGHTS[kind]
    weights = change(weights_of(FULL.spec, 1))
    x = () if entry == "prepare" else (rows(FULL.spec, 1, 3, seed=0),)
    with pytest.raises(InputError, match=message):
        getattr(FULL.module, entry)(*x, weights)


def test_weights_prepared_by_another_module_are_refused() -> None:
    x, prepared = rows(FULL.spec, 1, 3, seed=0), SQUARE.module.prepare(weights_of(SQUARE.spec, 0))
    with pytest.raises(InputError, match="weights were prepared for another layer"):
        FULL.module.layer(x, prepared)


WRONG_X: dict[str, tuple[Any, str]] = {
    "another width": (lambda x: x[..., 1:], r"x has shape \(2, 5, 99\)"),
    "two axes": (lambda x: x[0], r"x has shape \(5, 100\)"),
    "float64": (lambda x: x.astype(np.float64), "x has dtype float64"),
    "a list": (lambda x: x.tolist(), "x is a list"),
    "nothing": (lambda _: None, "x is a NoneType"),
}


@pytest.mark.parametrize("kind", WRONG_X)
@pytest.mark.parametrize("name", ["x", "context"])
def test_a_wrong_x_or_context_is_refused_by_name(kind: str, name: str) -> None:
    change, message = WRONG_X[kind]
    x, weights = rows(FULL.spec, 2, 5, seed=0), weights_of(FULL.spec, 1)
    wrong = change(x)
    if name == "context" and wrong is None:
        return  # no context at all is x itself
    arguments = {"x": x, "context": x} | {name: wrong}
    with pytest.raises(InputError, match=message.replace("x ", f"{name} ", 1)):
        FULL.module.layer(weights=weights, **arguments)


def test_a_context_of_another_batch_is_refused() -> None:
    x, weights = rows(FULL.spec, 2, 5, seed=0), weights_of(FULL.spec, 1)
    with pytest.raises(InputError, match="axis 0 is 1, but x gives batch = 2"):
        FULL.module.layer(x, weights, context=x[:1])


@pytest.mark.parametrize("offset", [1.5, "1", [0, 0], np.zeros(3, np.int64), 2**40, True])
def test_a_wrong_offset_of_a_layer_is_refused(offset: object) -> None:
    x, weights = rows(FULL.spec, 2, 5, seed=0), weights_of(FULL.spec, 1)
    with pytest.raises(InputError, match="query_offset"):
        FULL.module.layer(x, weights, query_offset=offset)
