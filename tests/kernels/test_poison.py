"""Whatever lies in masked places changes no bit: keys, values, captured arrays, padding, gaps of strides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen.backend.acceptance import numpy_dtype

from . import plain
from .calls import Array, Call, Shape, named, same_bits
from .dtypes import ON_THE_WIDEST, made
from .isolation import by_key_value_head, run, seen_by
from .specs import Case, Table

MASKED_EVERYWHERE: dict[str, Table] = {
    "poison": {
        "heads": "4/2 24/40",
        "modify": "score + bias[h, q, k] + tilt[b, k]",
        "keep": "k < length[b] and k <= q + ahead[b] and label[b, q] == mark[b, k] and not gate[b, k] > 1.0"
        " and not shut[h]",
        "bias": "float32 query_heads queries keys",
        "tilt": "float32 batch keys",
        "length": "int32 batch",
        "ahead": "int32 batch",
        "label": "int32 batch queries",
        "mark": "int32 batch keys",
        "gate": "float32 batch keys",
        "shut": "bool query_heads",
        "ranges": dict.fromkeys(("length", "ahead", "label", "mark"), (0, 1)),
    },
    # Without h in it, the mask of the heads that are decoded together is one: rows of chunks are left out.
    "stretch": {
        "heads": "4/2 17/33",
        "modify": "score + tilt[b, k]",
        "keep": "begin[b] <= k and k < length[b] and (k <= q + ahead[b] or k // 7 == mark[b, k])",
        "layout": "bshd",
        "tilt": "float32 batch keys",
        "begin": "int32 batch",
        "length": "int32 batch",
        "ahead": "int32 batch",
        "mark": "int32 batch keys",
        "ranges": dict.fromkeys(("begin", "length", "ahead", "mark"), (0, 1)),
    },
}
CASES = (*made(MASKED_EVERYWHERE, widest=True), *made(ON_THE_WIDEST, widest=True))
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=repr)
WAYS = ("tiles and blocks", "a single block", "a narrow tile", "few queries", "one query", "one key")
BATCH = 2


def lengths(case: Case, way: str) -> tuple[int, int]:
    """Queries and keys of a call that goes this way through a kernel."""
    sizes = case.module
    return {
        "tiles and blocks": (sizes.GROUP_QUERIES + 3, 2 * sizes.BLOCK_KEYS + 5),
        "a single block": (sizes.GROUP_QUERIES + 3, sizes.BLOCK_KEYS - 1),
        "a narrow tile": (sizes.DECODE_QUERIES + 1, sizes.BLOCK_KEYS + 1),
        "few queries": (sizes.DECODE_QUERIES, 33),
        "one query": (1, 3 * sizes.CHUNK_KEYS + 1),
        "one key": (sizes.DECODE_QUERIES + 2, 1),
    }[way]


@dataclass(frozen=True)
class Poisons:
    """Draws from what nobody should see."""

    rng: np.random.Generator

    def of(self, array: Array) -> Array:
        """As many as the array has, NaN, infinite or huge; of integers and conditions, anything."""
        if array.dtype.kind == "b":
            return self.rng.random(array.shape) < 0.5
        if array.dtype.kind == "i":
            limits = np.iinfo(array.dtype)
            return self.rng.integers(limits.min, limits.max, array.shape, array.dtype, endpoint=True)
        greatest = float(np.finfo(np.float16).max if array.dtype == np.float16 else 3.3e38)
        numbers = [np.nan, np.inf, -np.inf, greatest, -greatest]
        with np.errstate(all="ignore"):
            return self.rng.choice(numbers, array.shape).astype(array.dtype)

    def into(self, array: Array, places: Array) -> Array:
        """A copy that has them in these places."""
        return np.where(places, self.of(array), array)


def call_of(case: Case, way: str, rng: np.random.Generator) -> Call:
    """Arguments under which much is hidden, and sometimes everything."""
    queries, keys = lengths(case, way)
    call = Shape(BATCH, queries, keys, int(rng.integers(2**32))).random(case) | {"query_offset": 0}
    ranges = {"length": (-2, keys + 2), "begin": (-2, keys // 2), "ahead": (-queries, keys)}
    for name, (low, high) in ranges.items():
        if name in call:
            call[name] = rng.integers(low, high, BATCH, call[name].dtype, endpoint=True)
    for name in {"label", "mark"} & set(call):
        call[name] = rng.integers(0, rng.choice([1, 2, 30]), call[name].shape, call[name].dtype)
    if "window" in case.spec.constants:
        call["query_offset"] = int(rng.integers(-queries, keys + 99))
    return call


def heads_first(case: Case, array: Array) -> Array:
    return plain.heads_first(case.spec, array)


def with_hidden_poisoned(case: Case, call: Call, poisons: Poisons) -> Call:
    """Keys and values that no query sees, and elements of arrays that only hidden pairs read."""
    visible = seen_by(case, call)
    batch, _, _, keys = visible.shape
    pairs = visible.reshape(batch, case.spec.heads.query, -1, keys)
    found = dict(call)
    for name in ("key", "value"):
        places = np.broadcast_to(~visible.any(axis=2)[..., None], heads_first(case, call[name]).shape)
        found[name] = poisons.into(call[name], heads_first(case, places))
    hidden = {"bias": ~pairs.any(axis=0), "tilt": ~pairs.any(axis=(1, 2))}
    if "length" in call:
        behind = np.arange(keys) >= call["length"][:, None]
        hidden |= {"mark": behind, "gate": behind}
    for name in set(hidden) & set(call):
        found[name] = poisons.into(call[name], hidden[name])
    assert (seen_by(case, found) == visible).all()
    return found


def amid_poison(array: Array, poisons: Poisons) -> Array:
    """The same elements as a part of something larger that is poisoned: padding, and gaps between rows."""
    shape = (*(2 * length + 3 for length in array.shape[:-1]), array.shape[-1] + 5)
    spacious = poisons.of(np.empty(shape, array.dtype))
    view = spacious[tuple(slice(2, 2 + 2 * length, 2) for length in array.shape[:-1])][..., 3:-2]
    view[...] = array
    return view


@EVERY_CASE
@given(way=st.sampled_from(WAYS), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=16)
def test_nothing_in_a_masked_place_changes_a_bit(case: Case, way: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    call = call_of(case, way, rng)
    clean = case.module.attention(**call)
    same_bits(case.spec, case.module.attention(**with_hidden_poisoned(case, call, Poisons(rng))), clean)


@EVERY_CASE
@given(way=st.sampled_from(WAYS), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8)
def test_nothing_between_and_behind_rows_is_read_or_written(case: Case, way: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    call = call_of(case, way, rng)
    clean = case.module.attention(**call)
    poisons = Poisons(rng)
    around = {
        name: amid_poison(each, poisons) if name in ("query", "key", "value") else each
        for name, each in call.items()
    }
    out = amid_poison(np.zeros_like(named(case.spec, clean)["out"]), poisons)
    before = out.base.copy()
    same_bits(case.spec, case.module.attention(**around, out=out), clean)
    view = before[tuple(slice(2, 2 + 2 * length, 2) for length in out.shape[:-1])][..., 3:-2]
    view[...] = out
    np.testing.assert_array_equal(before.view(np.uint8), out.base.view(np.uint8))


@EVERY_CASE
@given(way=st.sampled_from(WAYS), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8)
def test_poison_that_some_see_stays_out_of_the_rows_that_do_not(case: Case, way: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    call, poisons = call_of(case, way, rng), Poisons(rng)
    visible = seen_by(case, call)
    batch, heads, _, keys = visible.shape
    places = rng.random((batch, heads, keys)) < rng.choice([1 / keys, 0.1, 0.5])
    spared = ~(visible & places[:, :, None]).any(axis=3)
    clean, found = run(case, call), dict(call)
    for name in ("key", "value"):
        wide = np.broadcast_to(places[..., None], heads_first(case, call[name]).shape)
        found[name] = poisons.into(call[name], heads_first(case, wide))
    for name, result in run(case, found).items():
        now, before = (by_key_value_head(case, each)[spared] for each in (result, clean[name]))
        np.testing.assert_array_equal(now, before, err_msg=name)


# Everything hidden


def closed(case: Case, call: Call, what: str) -> tuple[Call, Any]:
    """The call with a part of it hidden, and the rows (batch, heads, queries) that see nothing."""
    blind = np.zeros(call_rows(case, call), bool)
    match what:
        case "heads":
            call["shut"] = np.array([False, True, False, True])
            blind[:, 1::2] = True
        case "batch entries":
            call["length"][1:] = -7
            blind[1:] = True
        case "rows":
            call["label"][:, ::3] = -1
            blind[:, :, ::3] = True
        case "tiles":
            call["label"][:, : case.module.GROUP_QUERIES] = -1
            blind[:, :, : case.module.GROUP_QUERIES] = True
    return call, blind


def call_rows(case: Case, call: Call) -> tuple[int, ...]:
    return heads_first(case, call["query"]).shape[:3]


@pytest.mark.parametrize("case", CASES[:4], ids=repr)
@pytest.mark.parametrize("what", ["heads", "batch entries", "rows", "tiles"])
@pytest.mark.parametrize("way", WAYS)
def test_what_sees_nothing_gives_zero_whatever_lies_there(case: Case, what: str, way: str) -> None:
    rng = np.random.default_rng(len(what) + len(way))
    call, blind = closed(case, call_of(case, way, rng), what)
    found = run(case, with_hidden_poisoned(case, call, Poisons(rng)))
    np.testing.assert_array_equal(found["out"][blind], np.zeros((), numpy_dtype(case.spec.dtype)))
    assert not np.signbit(found["out"][blind].astype(np.float32)).any()
    np.testing.assert_array_equal(found["lse"][blind], -np.inf)
