"""Bad calls are refused with what is wrong and what to do; right ones are taken as they are."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from mhagen.base.errors import InputError
from mhagen.runtime.arguments import LIMIT, bind, bind_offset, bind_out
from mhagen.runtime.sizes import Sizes

KEY_AXES = ("batch", "key_value_heads", "keys", 64)
SHAPE = (2, 8, 5, 64)


def sizes() -> Sizes:
    """What a kernel with 8 key/value heads knows once it has seen the query of 2 sequences."""
    known = Sizes(key_value_heads=8)
    bind("query", array((2, 32, 3, 64)), "float32", ("batch", 32, "queries", 64), known)
    return known


def array(shape: tuple[int, ...] = SHAPE, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.arange(np.prod(shape), dtype=np.float64).astype(dtype).reshape(shape)


def unaligned(shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    memory = np.zeros(4 * int(np.prod(shape)) + 1, np.uint8)
    return memory[1:].view(np.float32).reshape(shape)


class Subclass(np.ndarray):
    pass


class Tensor:
    """As those of other libraries: convertible, but not an array."""

    def __array__(self) -> np.ndarray[Any, Any]:
        return array()


WRONG_KEYS: dict[str, tuple[Callable[[], object], str]] = {
    "nothing": (lambda: None, "key is a NoneType; needs a plain numpy.ndarray: give one"),
    "a number": (lambda: 1.5, "key is a float"),
    "a numpy number": (lambda: np.float32(1), "key is a numpy.float32"),
    "a text": (lambda: "key", "key is a str"),
    "a list": (lambda: array().tolist(), "key is a list; needs a plain numpy.ndarray: pass np.asarray(key"),
    "another library's tensor": (Tensor, "Tensor; needs a plain numpy.ndarray: pass np.asarray(key"),
    "a masked array": (lambda: np.ma.masked_array(array()), "the mask would be ignored; pass key.filled(0)"),
    "a matrix": (lambda: np.asmatrix(array((2, 64))), "key is a numpy.matrix"),
    "a subclass": (lambda: array().view(Subclass), "Subclass; needs a plain numpy.ndarray"),
    "a record array": (lambda: array().view(np.recarray), "key is a numpy.rec"),
    "float64": (
        lambda: array(dtype="float64"),
        "has dtype float64; needs float32: pass key.astype('float32')",
    ),
    "float16": (lambda: array(dtype="float16"), "has dtype float16"),
    "int32": (lambda: array(dtype="int32"), "has dtype int32"),
    "bool": (lambda: array(dtype="bool"), "has dtype bool"),
    "complex": (lambda: array(dtype="complex64"), "has dtype complex64"),
    "objects": (lambda: array().astype(object), "has dtype object"),
    "texts": (lambda: array().astype("U8"), "has dtype <U8"),
    "records": (lambda: np.zeros(SHAPE, "f4,f4"), "has dtype [('f0'"),
    "swapped bytes": (lambda: array().astype(">f4"), "has dtype float32 with its bytes swapped"),
    "swapped and unaligned": (lambda: unaligned().view(">f4"), "has dtype float32 with its bytes swapped"),
    "no axis": (
        lambda: np.zeros((), np.float32),
        "has shape (); needs (batch=2, key_value_heads=8, keys, 64)",
    ),
    "3 axes": (
        lambda: array(SHAPE[1:]),
        "has shape (8, 5, 64); needs (batch=2, key_value_heads=8, keys, 64): 4",
    ),
    "5 axes": (lambda: array((1, *SHAPE)), "4 axes, not 5"),
    "another batch": (lambda: array((1, 8, 5, 64)), "axis 0 is 1, but query gives batch = 2"),
    "no batch": (lambda: array((0, 8, 5, 64)), "axis 0 is 0, but query gives batch = 2"),
    "too few heads": (lambda: array((2, 4, 5, 64)), "axis 1 is 4, but this kernel has key_value_heads = 8"),
    "bshd for bhsd": (lambda: array((2, 5, 8, 64)), "axis 1 is 5, but this kernel has key_value_heads = 8"),
    "another dim": (lambda: array((2, 8, 5, 60)), "axis 3 is 60, but this kernel needs 64"),
    "no dim": (lambda: array((2, 8, 5, 0)), "axis 3 is 0, but this kernel needs 64"),
    "two wrong axes": (lambda: array((1, 8, 5, 63)), "axis 0 is 1, but query gives batch = 2; axis 3 is 63"),
    "transposed": (lambda: array().swapaxes(2, 3), "axis 3 is 5, but this kernel needs 64"),
    "endless": (
        lambda: np.broadcast_to(np.float32(0), (2, 8, LIMIT, 64)),
        "needs fewer than 2**29 along each axis",
    ),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", WRONG_KEYS)
def test_a_wrong_array_is_refused_with_what_it_has_and_what_is_needed(kind: str) -> None:
    make, message = WRONG_KEYS[kind]
    with pytest.raises(InputError, match=re.escape(message)):
        bind("key", make(), "float32", KEY_AXES, sizes())


FORMATS = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


@pytest.mark.parametrize("format_", FORMATS)
def test_the_format_is_taken_and_refused_with_its_bytes_swapped(format_: str) -> None:
    native = np.zeros(SHAPE, FORMATS[format_])
    assert bind("key", native, format_, KEY_AXES, sizes()) is native
    swapped = native.view(native.dtype.newbyteorder("S"))
    with pytest.raises(InputError, match=f"has dtype {format_} with its bytes swapped"):
        bind("key", swapped, format_, KEY_AXES, sizes())


@pytest.mark.parametrize("format_", ["float16", "bfloat16"])
def test_bits_of_16_are_taken_and_refused_with_their_bytes_swapped(format_: str) -> None:
    bits = array(dtype="uint16")
    assert bind("key", bits, format_, KEY_AXES, sizes()) is bits
    with pytest.raises(InputError, match="has dtype uint16 with its bytes swapped"):
        bind("key", bits.view(bits.dtype.newbyteorder("S")), format_, KEY_AXES, sizes())


@pytest.mark.parametrize(("format_", "other"), [("float16", "bfloat16"), ("bfloat16", "float16")])
def test_a_format_of_16_bits_is_not_taken_for_another(format_: str, other: str) -> None:
    with pytest.raises(InputError, match=f"has dtype {other}; needs {format_}"):
        bind("key", np.zeros(SHAPE, FORMATS[other]), format_, KEY_AXES, sizes())


def test_the_message_is_one_whole_sentence() -> None:
    with pytest.raises(InputError) as caught:
        bind("key", array((1, 8, 5, 64)), "float32", KEY_AXES, sizes())
    assert str(caught.value) == (
        "key has shape (1, 8, 5, 64); needs (batch=2, key_value_heads=8, keys, 64): "
        "axis 0 is 1, but query gives batch = 2"
    )


def test_an_axis_that_disagrees_with_another_of_the_same_array_is_named() -> None:
    with pytest.raises(InputError, match=re.escape("axis 1 is 5, but another of its axes gives keys = 4")):
        bind("bias", array((4, 5)), "float32", ("keys", "keys"), Sizes())


RIGHT_KEYS: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
    "contiguous": array,
    "heads and keys swapped in memory": lambda: array((2, 5, 8, 64)).swapaxes(1, 2),
    "every second key": lambda: array((2, 8, 10, 64))[:, :, ::2],
    "keys backwards": lambda: array()[:, :, ::-1],
    "part of a wider array": lambda: array((2, 8, 5, 192))[..., 64:128],
    "one head for all": lambda: np.broadcast_to(array((2, 1, 5, 64)), SHAPE),
    "no keys": lambda: array((2, 8, 0, 64)),
    "unpickled": lambda: pickle.loads(pickle.dumps(array())),
}


@pytest.mark.parametrize("kind", RIGHT_KEYS)
def test_any_outer_strides_are_taken_without_a_copy(kind: str) -> None:
    key = RIGHT_KEYS[kind]()
    assert bind("key", key, "float32", KEY_AXES, sizes()) is key


COPIED_KEYS: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
    "Fortran order": lambda: np.asfortranarray(array()),
    "last axis with gaps": lambda: array((2, 8, 5, 128))[..., ::2],
    "last axis backwards": lambda: array()[..., ::-1],
    "last axis repeated": lambda: np.broadcast_to(array((2, 8, 5, 1)), SHAPE),
    "unaligned": unaligned,
}


@pytest.mark.parametrize("kind", COPIED_KEYS)
def test_what_cannot_be_read_by_address_is_copied_once(kind: str) -> None:
    key = COPIED_KEYS[kind]()
    bound = bind("key", key, "float32", KEY_AXES, sizes())
    assert bound.flags.c_contiguous and bound.flags.aligned
    np.testing.assert_array_equal(bound, key)


def test_an_endless_axis_is_refused_even_where_the_array_is_empty() -> None:
    with pytest.raises(InputError, match=re.escape("needs fewer than 2**29 along each axis")):
        bind("bias", np.empty((LIMIT, 0), np.float32), "float32", ("queries", "keys"), Sizes())


def test_a_read_only_input_is_taken() -> None:
    key = array()
    key.flags.writeable = False
    assert bind("key", key, "float32", KEY_AXES, sizes()) is key


def test_a_batch_of_none_is_taken() -> None:
    known = Sizes()
    empty = array((0, 32, 3, 64))
    assert bind("query", empty, "float32", ("batch", 32, "queries", 64), known) is empty
    assert known == {"batch": 0, "queries": 3}


def test_a_last_axis_of_one_element_needs_no_copy_whatever_its_stride() -> None:
    column = array((6, 4))[:, 1:2]
    assert bind("slope", column, "float32", ("query_heads", 1), Sizes()) is column


def test_lengths_are_learned_once_and_known_to_all() -> None:
    known = sizes()
    bind("key", array(), "float32", KEY_AXES, known)
    assert known == {"key_value_heads": 8, "batch": 2, "queries": 3, "keys": 5}
    assert known.givers == {"batch": "query", "queries": "query", "keys": "key"}


def frozen() -> np.ndarray[Any, Any]:
    out = array()
    out.flags.writeable = False
    return out


WRONG_OUTS: dict[str, tuple[Callable[[], object], str]] = {
    "a list": (lambda: array().tolist(), "out is a list"),
    "another dtype": (lambda: array(dtype="float64"), "out has dtype float64"),
    "another shape": (lambda: array((2, 8, 4, 64)), "out has shape (2, 8, 4, 64)"),
    "read-only": (frozen, "out is read-only"),
    "broadcast": (lambda: np.broadcast_to(array((2, 8, 1, 64)), SHAPE), "out is read-only"),
    "unaligned": (unaligned, "needs aligned elements without gaps along the last axis"),
    "last axis with gaps": (lambda: array((2, 8, 5, 128))[..., ::2], "without gaps along the last axis"),
    "Fortran order": (lambda: np.asfortranarray(array()), "without gaps along the last axis"),
    "one row for all": (
        lambda: np.lib.stride_tricks.as_strided(array(), strides=(0, 0, 0, 4)),
        "two of its elements may be one place",
    ),
    "rows that overlap": (
        lambda: np.lib.stride_tricks.as_strided(array(), strides=(10240, 1280, 252, 4)),
        "two of its elements may be one place",
    ),
}
OUT_AXES = (2, 8, 5, 64)


@pytest.mark.parametrize("kind", WRONG_OUTS)
def test_an_out_that_cannot_be_written_as_it_is_is_refused(kind: str) -> None:
    make, message = WRONG_OUTS[kind]
    with pytest.raises(InputError, match=re.escape(message)):
        bind_out("out", make(), "float32", OUT_AXES, Sizes(), {})


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_an_out_that_shares_memory_with_an_input_is_refused(shift: int) -> None:
    memory = array((2, 8, 8, 64))
    key, out = memory[:, :, :5], memory[:, :, shift : shift + 5]
    with pytest.raises(InputError, match="out shares memory with key, which would change while it is read"):
        bind_out("out", out, "float32", OUT_AXES, Sizes(), {"query": array(), "key": key})


def test_an_out_interleaved_with_its_inputs_but_disjoint_is_taken() -> None:
    together = array((2, 5, 4, 8, 64))
    query, key, value, out = (together[:, :, part].swapaxes(1, 2) for part in range(4))
    inputs = {"query": query, "key": key, "value": value}
    assert bind_out("out", out, "float32", OUT_AXES, Sizes(), inputs) is out


@pytest.mark.parametrize("make", [array, RIGHT_KEYS["every second key"], RIGHT_KEYS["keys backwards"]])
def test_any_outer_strides_of_out_are_taken(make: Callable[[], np.ndarray[Any, Any]]) -> None:
    out = make()
    assert bind_out("out", out, "float32", OUT_AXES, Sizes(), {"query": array()}) is out


def test_an_empty_out_shares_nothing() -> None:
    memory = array()
    out = memory[:0]
    assert bind_out("out", out, "float32", (0, 8, 5, 64), Sizes(), {"key": memory}) is out


@pytest.mark.parametrize(
    "offset",
    [
        7,
        np.int32(7),
        np.uint8(7),
        np.array(7),
        np.array([7, 7]),
        np.array([7, 7], ">i4"),
        np.array([7, 7], "u8"),
    ],
    ids=repr,
)
def test_an_offset_is_an_integer_or_one_for_each_sequence(offset: object) -> None:
    bound = bind_offset(offset, 2)
    assert bound.dtype == np.int64 and bound.flags.c_contiguous
    assert bound.tolist() == [7, 7]


def test_offsets_are_copied_so_that_they_stay_as_checked() -> None:
    offsets = np.array([1, 2])
    bound = bind_offset(offsets, 2)
    offsets[:] = 1 << 60
    assert bound.tolist() == [1, 2]


def test_offsets_of_no_sequence_are_none() -> None:
    assert bind_offset(3, 0).shape == bind_offset(np.zeros(0, np.int64), 0).shape == (0,)


WRONG_OFFSETS: dict[str, tuple[object, str]] = {
    "nothing": (
        None,
        "query_offset is None of type NoneType; needs an int, or an integer array of shape (batch=2,)",
    ),
    "True": (True, "query_offset is True of type bool"),
    "a numpy bool": (np.True_, "needs an int"),
    "a float": (1.0, "query_offset is 1.0 of type float"),
    "a numpy float": (np.float64(1), "needs an int"),
    "a text": ("1", "query_offset is '1' of type str"),
    "a list": ([1, 2], "query_offset is [1, 2] of type list"),
    "a duration": (np.timedelta64(1), "has dtype timedelta64"),
    "bools": (np.array([True, False]), "has dtype bool; needs integers"),
    "floats": (np.array([1.0, 2.0]), "has dtype float64; needs integers"),
    "a masked array": (np.ma.masked_array([1, 2]), "of type MaskedArray"),
    "too many": (np.array([1, 2, 3]), "has shape (3,); needs () or (batch=2,)"),
    "too few": (np.array([1]), "has shape (1,); needs () or (batch=2,)"),
    "a matrix of them": (np.array([[1, 2]]), "has shape (1, 2)"),
    "far": (1 << 29, "query_offset is 536870912; needs to lie between -2**29 and 2**29"),
    "far below": (-(1 << 29), "query_offset is -536870912"),
    "beyond int64": (1 << 70, "needs to lie between"),
    "one of them far": (np.array([0, 1 << 29]), "query_offset goes from 0 to 536870912"),
    "beyond int64 unsigned": (
        np.array([0, 1 << 63], "u8"),
        "query_offset goes from 0 to 9223372036854775808",
    ),
    "the lowest": (np.array([-(1 << 63), 0]), "goes from -9223372036854775808 to 0"),
}


@pytest.mark.parametrize("kind", WRONG_OFFSETS)
def test_a_wrong_offset_is_refused(kind: str) -> None:
    offset, message = WRONG_OFFSETS[kind]
    with pytest.raises(InputError, match=re.escape(message)):
        bind_offset(offset, 2)
