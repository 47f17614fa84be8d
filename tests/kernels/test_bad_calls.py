"""Calls that are wrong get an InputError that names the argument; odd but legal ones get the right answer."""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen.pipeline import Kernel

WIDTH = 24
SPEC: dict[str, Any] = {
    "name": "bad_calls",
    "heads": {"query": 4, "key_value": 2, "dim": 20, "value_dim": 12},
    "scores": {"modify": "score + slope[h] * (k - q)"},
    "mask": {"keep": "k <= q and segment[b, k] == segment[b, q]", "align": "end"},
    "inputs": {
        "slope": {"shape": ["query_heads"]},
        "segment": {"shape": ["batch", "keys"], "dtype": "int32"},
    },
    "projections": {"model_dim": WIDTH, "bias": True},
    "outputs": {"statistics": ["lse"]},
}
Arguments = dict[str, Any]


@functools.cache
def kernel() -> Kernel:
    return mhagen.build(SPEC)


def arguments(batch: int = 2, queries: int = 5, keys: int = 9) -> Arguments:
    rng = np.random.default_rng(0)
    return {
        "query": rng.standard_normal((batch, 4, queries, 20), dtype=np.float32),
        "key": rng.standard_normal((batch, 2, keys, 20), dtype=np.float32),
        "value": rng.standard_normal((batch, 2, keys, 12), dtype=np.float32),
        "slope": np.array([0.1, 0.2, 0.0, -0.1], np.float32),
        "segment": rng.integers(0, 2, (batch, keys)).astype(np.int32),
    }


def weights() -> Arguments:
    rng = np.random.default_rng(1)
    shapes: dict[str, tuple[int, ...]] = {
        "wq": (80, WIDTH),
        "wk": (40, WIDTH),
        "wv": (24, WIDTH),
        "wo": (WIDTH, 48),
    }
    shapes |= {"bq": (80,), "bk": (40,), "bv": (24,)}
    return {name: rng.standard_normal(shape, dtype=np.float32) / 5 for name, shape in shapes.items()}


def close(found: Any, expected: Any) -> None:
    for mine, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, right, atol=2e-5)


WRONG: dict[str, tuple[str, Callable[[Arguments], Any]]] = {
    "query of rank 3": ("query", lambda a: a["query"][0]),
    "query of too many heads": ("query", lambda a: np.repeat(a["query"], 2, axis=1)),
    "query of another dim": ("query", lambda a: a["query"][..., :19]),
    "query in float64": ("query", lambda a: a["query"].astype(np.float64)),
    "query as a list": ("query", lambda a: a["query"].tolist()),
    "query masked": ("query", lambda a: np.ma.masked_array(a["query"])),
    "query in foreign bytes": ("query", lambda a: a["query"].astype(">f4")),
    "query None": ("query", lambda a: None),
    "key of another batch": ("key", lambda a: a["key"][:1]),
    "key of query heads": ("key", lambda a: np.repeat(a["key"], 2, axis=1)),
    "value shorter than key": ("value", lambda a: a["value"][:, :, :-1]),
    "value as wide as key": ("value", lambda a: np.zeros((2, 2, 9, 20), np.float32)),
    "slope for too few heads": ("slope", lambda a: a["slope"][:3]),
    "slope as a number": ("slope", lambda a: 0.5),
    "segment in int64": ("segment", lambda a: a["segment"].astype(np.int64)),
    "segment of other keys": ("segment", lambda a: a["segment"][:, :-1]),
    "offset as a float": ("query_offset", lambda a: 1.0),
    "offset as a bool": ("query_offset", lambda a: True),
    "offset for another batch": ("query_offset", lambda a: np.zeros(3, np.int64)),
    "offset too far": ("query_offset", lambda a: 2**40),
    "out of another shape": ("out", lambda a: np.zeros((2, 4, 5, 20), np.float32)),
    "out in float64": ("out", lambda a: np.zeros((2, 4, 5, 12))),
    "out with gaps": ("out", lambda a: np.zeros((2, 4, 5, 24), np.float32)[..., ::2]),
    "out broadcast": ("out", lambda a: np.broadcast_to(np.zeros((1, 4, 5, 12), np.float32), (2, 4, 5, 12))),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_refused_by_name(name: str) -> None:
    given = arguments()
    argument, make = WRONG[name]
    with pytest.raises(mhagen.InputError, match=rf"^{argument}\b"):
        kernel().attention(**{**given, argument: make(given)})


def test_an_out_of_another_dtype_is_not_to_be_copied() -> None:
    """Results would go into the copy."""
    with pytest.raises(
        mhagen.InputError, match=r"^out has dtype float64.*np\.empty\(\(2, 4, 5, 12\), 'float32"
    ):
        kernel().attention(**arguments(), out=np.zeros((2, 4, 5, 12)))
    with pytest.raises(mhagen.InputError, match=r"^out is a list.*np\.empty"):
        kernel().attention(**arguments(), out=[])


def test_a_read_only_out_is_refused() -> None:
    out = np.zeros((2, 4, 5, 12), np.float32)
    out.setflags(write=False)
    with pytest.raises(mhagen.InputError, match=r"^out\b.*read-only"):
        kernel().attention(**arguments(), out=out)


@pytest.mark.parametrize("other", ["query", "key", "value", "slope", "segment"])
def test_an_out_over_an_input_is_refused(other: str) -> None:
    given = arguments()
    memory = np.zeros(2 * 4 * 5 * 12 + given[other].size, np.float32)
    shared = memory[: given[other].size].view(given[other].dtype).reshape(given[other].shape)
    shared[...] = given[other]
    start = given[other].size - 1
    out = memory[start : start + 480].reshape(2, 4, 5, 12)
    with pytest.raises(mhagen.InputError, match=rf"^out\b.*{other}"):
        kernel().attention(**{**given, other: shared}, out=out)


def test_missing_and_unknown_inputs_are_refused() -> None:
    given = arguments()
    with pytest.raises(TypeError, match="slope"):
        kernel().attention(given["query"], given["key"], given["value"], segment=given["segment"])
    with pytest.raises(TypeError, match="slopes"):
        kernel().attention(**given, slopes=given["slope"])


@pytest.mark.parametrize(
    ("batch", "queries", "keys"), [(0, 5, 9), (2, 0, 9), (2, 5, 0), (0, 0, 0), (1, 1, 1)]
)
def test_empty_axes_give_empty_or_zero_results(batch: int, queries: int, keys: int) -> None:
    out = np.full((batch, 4, queries, 12), 7.0, np.float32)
    found = kernel().attention(**arguments(batch, queries, keys), out=out)
    assert found.out is out and found.lse.shape == (batch, 4, queries)
    if keys == 0:
        assert not out.any() and np.isneginf(found.lse).all()


def test_any_strides_give_the_right_answer() -> None:
    given = arguments()
    expected = mhagen.reference(SPEC).attention(**given)
    odd = {
        "query": np.asfortranarray(given["query"]),
        "key": given["key"][:, :, ::-1].copy()[:, :, ::-1],
        "value": np.repeat(given["value"], 2, axis=3)[..., ::2],
        "slope": np.repeat(given["slope"], 3)[::3],
        "segment": np.asfortranarray(given["segment"]),
    }
    out = np.zeros((2, 5, 4, 12), np.float32).transpose(0, 2, 1, 3)
    close(kernel().attention(**odd, out=out), expected)
    np.testing.assert_allclose(out, expected[0], atol=2e-5)
    unaligned = np.frombuffer(b"\0" + given["key"].tobytes(), np.float32, offset=1).reshape(
        given["key"].shape
    )
    close(kernel().attention(**{**given, "key": unaligned}), expected)


def test_an_offset_may_differ_in_the_batch() -> None:
    given, offsets = arguments(), np.array([-3, 4], np.int64)
    expected = mhagen.reference(SPEC).attention(**given, query_offset=offsets)
    close(kernel().attention(**given, query_offset=offsets), expected)


def test_layer_equals_the_reference_over_itself_and_over_a_context() -> None:
    rng, given = np.random.default_rng(2), weights()
    for batch, queries, keys in ((1, 1, 1), (2, 5, 9), (1, 70, 33)):
        x = rng.standard_normal((batch, queries, WIDTH), dtype=np.float32)
        context = rng.standard_normal((batch, keys, WIDTH), dtype=np.float32)
        inputs = arguments(batch, queries, keys)
        inputs = {"slope": inputs["slope"], "segment": inputs["segment"]}
        reference = mhagen.reference(SPEC)
        prepared = kernel().prepare(given)
        close(
            kernel().layer(x, prepared, context=context, **inputs),
            reference.layer(x, given, context=context, **inputs),
        )
        inputs["segment"] = np.zeros((batch, queries), np.int32)
        close(kernel().layer(x, given, **inputs), reference.layer(x, given, **inputs))


WRONG_WEIGHTS: dict[str, tuple[str, Callable[[Arguments], Any]]] = {
    "missing": ("lacks wo", lambda w: {name: w[name] for name in w if name != "wo"}),
    "unknown": ("unknown bo", lambda w: {**w, "bo": np.zeros(WIDTH, np.float32)}),
    "transposed": ("wq has shape", lambda w: {**w, "wq": w["wq"].T.copy()}),
    "in float64": ("wk has dtype", lambda w: {**w, "wk": w["wk"].astype(np.float64)}),
    "a list": ("weights is a list", lambda w: list(w.values())),
}


@pytest.mark.parametrize("name", WRONG_WEIGHTS)
def test_wrong_weights_are_refused(name: str) -> None:
    message, make = WRONG_WEIGHTS[name]
    with pytest.raises(mhagen.InputError, match=message):
        kernel().prepare(make(weights()))


def test_a_wrong_x_or_context_is_refused() -> None:
    inputs = {"slope": arguments()["slope"], "segment": np.zeros((1, 3), np.int32)}
    x = np.zeros((1, 3, WIDTH), np.float32)
    with pytest.raises(mhagen.InputError, match=r"^x has shape"):
        kernel().layer(x[..., 1:], weights(), **inputs)
    with pytest.raises(mhagen.InputError, match=r"^context has shape"):
        kernel().layer(x, weights(), context=x[..., 1:], **inputs)


PROT_NONE = 0


def at_an_edge(array: np.ndarray, *, end: bool) -> np.ndarray:
    """A copy whose last (or first) byte lies next to a page that nobody may touch."""
    page = mmap.PAGESIZE
    pages = -(-array.nbytes // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for guard in (start, start + (pages + 1) * page):
        assert protect(ctypes.c_void_p(guard), ctypes.c_size_t(page), PROT_NONE) == 0
    offset = page + (pages * page - array.nbytes if end else 0)
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 9), (33, 67), (70, 257)])
def test_nothing_out_of_bounds_is_touched(queries: int, keys: int, end: bool) -> None:
    """A single byte read or written beyond any array ends the process."""
    given = arguments(2, queries, keys)
    expected = mhagen.reference(SPEC).attention(**given)
    fenced = {name: at_an_edge(array, end=end) for name, array in given.items()}
    out = at_an_edge(np.zeros((2, 4, queries, 12), np.float32), end=end)
    close(kernel().attention(**fenced, out=out), expected)
