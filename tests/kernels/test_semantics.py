"""What a kernel means: the order of its steps, queries that see no key, and what stays out of a result."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen import reference
from mhagen.runtime import launch

from . import plain
from .calls import Array, Draft, Shape, bits_of, drafts, named, same_bits
from .isolation import (
    assert_alone_as_together,
    assert_isolated,
    by_key_value_head,
    poisoned,
    run,
    seen_by,
)
from .specs import BIASED, BY_NAME, CASES, CHOSEN, MASKED, ORDERED, Case

EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=repr)
EVERY_MASK = pytest.mark.parametrize("case", MASKED, ids=repr)
POISONS = st.sampled_from([np.nan, np.inf, -np.inf])
NUMBERS = st.integers(0, 2**32 - 1)


# Order


def test_scores_are_scaled_then_modified_then_kept_or_not() -> None:
    """One key is left over, so lse is its score; the logarithm of what is hidden is NaN."""
    query, key = np.array([[[[1, 2, 3, 4]]]], np.float32), np.array([[[[5, 6, 7, 8]] * 4]], np.float32)
    value = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    out, lse = ORDERED.module.attention(query, key, value)
    np.testing.assert_allclose(lse, np.log(3 - 2.5) + 2 * (3 * 70), rtol=1e-6)
    np.testing.assert_array_equal(out, value[:, :, 3:])


def test_the_softmax_comes_after_the_mask_and_before_the_values() -> None:
    call = Shape(1, 3, 8).random(ORDERED) | {"query_offset": 0}
    out, lse = ORDERED.module.attention(**call)
    score = np.log(np.arange(3, 8) - 2.5) + 6 * (call["query"] @ call["key"].swapaxes(2, 3))[..., 3:]
    weights = np.exp(score - lse[..., None])
    np.testing.assert_allclose(weights.sum(axis=3), 1, rtol=1e-5)
    np.testing.assert_allclose(out, weights @ call["value"][:, :, 3:], rtol=1e-4, atol=1e-5)


# Queries that see no key


def assert_blind(found: dict[str, Array], blind: Array) -> None:
    """These rows (batch, heads, queries), and no others, are those of a query that sees no key."""
    assert blind.any()
    np.testing.assert_array_equal(found["out"][blind], 0)
    assert not np.signbit(found["out"][blind]).any()
    np.testing.assert_array_equal(found["lse"] == -np.inf, blind)


def test_a_query_that_sees_no_key_gives_zero() -> None:
    case = BY_NAME["hidden"]
    found = run(case, Shape(2, 70, 40).random(case))
    blind = np.zeros((2, 3, 70), bool)
    blind[:, 1] = blind[:, :, 1::4] = True
    assert_blind(found, blind)


def test_a_tile_of_queries_that_see_no_key_gives_zero() -> None:
    case = BY_NAME["narrow"]
    tile = case.schedule.tile_queries
    found = run(case, Shape(1, 3 * tile, 20).random(case) | {"query_offset": -2 * tile})
    blind = np.broadcast_to(np.arange(3 * tile) < 2 * tile, (1, 3, 3 * tile))
    assert_blind(found, blind)


def test_a_batch_entry_that_sees_no_key_gives_zero() -> None:
    case = BY_NAME["prefix"]
    call = Shape(4, 9, 30).random(case)
    call |= {"length": np.array([0, 12, -5, 30]), "begin": np.full(4, 30, np.int32)}
    blind = np.broadcast_to(np.array([True, False, True, False])[:, None, None], (4, 2, 9))
    assert_blind(run(case, call), blind)


@pytest.mark.parametrize("offset", [-(2**29) + 1, 2**29 - 100])
def test_queries_far_away_from_every_key_give_zero(offset: int) -> None:
    case = BY_NAME["around"]
    found = run(case, Shape(1, 5, 300).random(case) | {"query_offset": offset})
    assert_blind(found, np.ones((1, 6, 5), bool))


@EVERY_CASE
def test_without_keys_every_query_gives_zero(case: Case) -> None:
    call = Shape(2, 5, 0).random(case)
    out = np.full((*call["query"].shape[:3], case.spec.heads.value_dim), 7, np.float32)
    found = named(case.spec, case.module.attention(**call, out=out))
    np.testing.assert_array_equal(out, 0)
    if "lse" in found:
        sink = named(case.spec, reference(case.spec).attention(**call))["lse"]
        np.testing.assert_allclose(found["lse"], sink, rtol=1e-6)
        assert case.spec.softmax.sink is not None or (sink == -np.inf).all()


# What is hidden


@EVERY_MASK
@given(data=st.data(), poison=POISONS, name=st.sampled_from(["key", "value"]))
@settings(max_examples=12)
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


@EVERY_MASK
@given(data=st.data(), poison=POISONS, name=st.sampled_from(["key", "value"]), seed=NUMBERS)
@settings(max_examples=20)
def test_a_poisoned_key_or_value_changes_no_bit_of_the_queries_that_do_not_see_it(
    case: Case, data: st.DataObject, poison: float, name: str, seed: int
) -> None:
    call = data.draw(drafts(case)).call(case)
    assert_isolated(case, call, name, poison, np.random.default_rng(seed))


@EVERY_MASK
@pytest.mark.parametrize("keys", [1, 2, 3, 8, 9])
def test_a_nan_among_few_values_reaches_every_query_that_sees_it(case: Case, keys: int) -> None:
    call = Shape(1, 3, keys, seed=keys).random(case) | {"query_offset": 0}
    visible = seen_by(case, call)
    call["value"][...] = np.nan
    out = by_key_value_head(case, run(case, call)["out"])
    np.testing.assert_array_equal(np.isnan(out).all(axis=3), visible.any(axis=3))


@given(
    st.integers(1, 70), st.integers(1, 300), POISONS, st.sampled_from(["key", "value"]), NUMBERS,
    st.sampled_from([0.02, 0.3, 0.9]),
)  # fmt: skip
@settings(max_examples=60)
def test_under_any_mask_a_poisoned_key_or_value_stays_with_the_queries_that_see_it(
    queries: int, keys: int, poison: float, name: str, seed: int, share: float
) -> None:
    call = Shape(2, queries, keys, seed).random(CHOSEN) | {"query_offset": 0}
    rng = np.random.default_rng(seed)
    call["chosen"] = rng.random((2, queries, keys)) < share
    assert_isolated(CHOSEN, call, name, poison, rng)


# What is seen


@EVERY_CASE
@pytest.mark.parametrize("name", ["query", "key", "value"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_visible_nan_or_infinity_gives_what_the_reference_gives(
    case: Case, name: str, number: float
) -> None:
    call = Shape(2, 40, 50, seed=9, scores=0.5).random(case) | {"query_offset": 3}
    rows = np.random.default_rng(1).random(call[name].shape[:-1]) < 0.05
    call[name][rows, 0] = number
    gold = named(case.spec, reference(case.spec).attention(**call))
    for result, found in named(case.spec, case.module.attention(**call)).items():
        np.testing.assert_allclose(found, gold[result], rtol=1e-4, atol=1e-4, err_msg=result)


# Threads, neighbours, parts


@EVERY_CASE
def test_results_do_not_depend_on_the_number_of_threads(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "MULTIPLY_ADDS_OF_A_THREAD", 1)
    call = Shape(2, 200, 280, seed=4).random(case)  # tasks of any size begin their groups elsewhere
    results = []
    for threads in (1, 2, 3, 7):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        results.append(case.module.attention(**call))
    for result in results[1:]:
        same_bits(case.spec, result, results[0])


@EVERY_CASE
def test_results_do_not_depend_on_the_other_sequences_in_the_batch(case: Case) -> None:
    call = Shape(3, 70, 90, seed=6, scores=6.0).random(case) | {"query_offset": np.array([4, -9, 40])}
    assert_alone_as_together(case, call)


def is_by_position(case: Case) -> bool:
    """Does nothing but q tell queries apart? An input with an axis of queries is cut with them."""
    return all("queries" not in declared.shape for declared in case.spec.inputs.values())


@pytest.mark.parametrize("case", [*filter(is_by_position, CASES)], ids=repr)
@given(cuts=st.lists(st.integers(1, 139), min_size=1, max_size=3, unique=True), seed=NUMBERS)
@settings(max_examples=10)
def test_queries_in_parts_give_the_bits_of_the_whole(case: Case, cuts: list[int], seed: int) -> None:
    """A prompt may be worked through in chunks: each with the offset of its first query.

    Chunks of so few queries that keys are split between threads add up in another order.
    """
    call = Shape(1, 140, 200, seed, scores=6.0).random(case)
    whole = run(case, call | {"query_offset": 30})
    ends = [0, *sorted(cuts), 140]
    query = plain.heads_first(case.spec, call["query"])
    for first, end in pairwise(ends):
        part = plain.heads_first(case.spec, query[:, :, first:end])
        found = run(case, call | {"query": part, "query_offset": 30 + first})
        for name in whole:
            same = whole[name][:, :, first:end].copy()
            if end - first <= case.schedule.decode_queries:
                np.testing.assert_allclose(found[name], same, rtol=2e-5, atol=2e-5)
                continue
            np.testing.assert_array_equal(bits_of(found[name]), bits_of(same))


def test_a_draft_is_the_same_call_each_time() -> None:
    draft = Draft(Shape(2, 5, 9, seed=1), ("contiguous",) * 4, None)
    for one, other in zip(draft.call(BIASED).values(), draft.call(BIASED).values(), strict=True):
        np.testing.assert_array_equal(one, other)
