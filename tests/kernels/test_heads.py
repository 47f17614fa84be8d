"""Heads that differ, and heads that are pruned: what each of them means, reads and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mhagen import build, reference
from mhagen.backend import cpu
from mhagen.base.target import AVX2
from mhagen.pipeline import compile_to_source

from . import plain
from .calls import Array, Call, Shape, named, same_bits
from .layers import LAYERS, rows, weights_of
from .specs import BY_NAME, Case

ROOT = Path(__file__).resolve().parents[2]
MIXED = [BY_NAME[name] for name in ("grouped", "uneven", "assorted")]
EVERY_MIXED = pytest.mark.parametrize("case", MIXED, ids=repr)
PRUNED = pytest.mark.parametrize("case", [each for each in MIXED if each.spec.heads.pruned], ids=repr)
SHAPES = pytest.mark.parametrize("shape", [Shape(2, 1, 600), Shape(2, 5, 70), Shape(2, 70, 300)], ids=str)
GATED = LAYERS["gated"]
SMALL: dict[str, Any] = {"name": "small", "heads": {"query": 4, "dim": 8}, "mask": {"keep": "k <= q"}}


@EVERY_MIXED
def test_a_head_is_as_in_a_spec_whose_heads_are_all_like_it(case: Case) -> None:
    """The keys of each head are written out here by hand."""
    group_of = {head: group for group in case.spec.groups for head in group.heads}
    call = Shape(2, 9, 33).random(case)
    found = named(case.spec, case.module.attention(**call))
    for head in case.spec.kept_heads:
        keys = case.spec.model_dump(mode="json", exclude_none=True, exclude={"groups", "name"})
        keys["heads"]["pruned"] = []
        if head in group_of:
            own = group_of[head].model_dump(mode="json", exclude_none=True, exclude={"heads"})
            keys |= {table: keys[table] | said for table, said in own.items()}
        wanted = named(case.spec, reference({"name": "alone", **keys}).attention(**call))
        for name in found:
            mine, its = (of_head(case, name, each[name], head) for each in (found, wanted))
            np.testing.assert_allclose(mine, its, rtol=2e-5, atol=2e-5, err_msg=f"{name} of head {head}")


def of_head(case: Case, name: str, array: Array, head: int) -> Array:
    return plain.heads_first(case.spec, array)[:, head] if name == "out" else array[:, head]


@PRUNED
@SHAPES
def test_a_pruned_head_gives_zero_and_what_only_it_reads_is_not_read(case: Case, shape: Shape) -> None:
    clean = shape.random(case)
    found = case.module.attention(**poisoned(case, clean))
    same_bits(case.spec, found, case.module.attention(**clean))
    blind = {"out": 0, "lse": -np.inf, "max": -np.inf, "entropy": 0, "confidence": 0}
    for name, array in named(case.spec, found).items():
        for head in case.spec.heads.pruned:
            np.testing.assert_array_equal(of_head(case, name, array, head), blind[name])


def poisoned(case: Case, call: Call) -> Call:
    """The call with NaN in pruned queries, and in keys and values that no head is left for."""
    heads = case.spec.heads
    group = heads.query // heads.key_value
    read = {head // group for head in case.spec.kept_heads}
    unread = [head for head in range(heads.key_value) if head not in read]
    arrays = {name: call[name].copy() for name in ("query", "key", "value")}
    plain.heads_first(case.spec, arrays["query"])[:, list(heads.pruned)] = np.nan
    for name in ("key", "value"):
        plain.heads_first(case.spec, arrays[name])[:, unread] = np.nan
    return call | arrays


def test_key_value_heads_of_pruned_heads_alone_are_there_to_be_skipped() -> None:
    call = Shape(1, 2, 3).random(BY_NAME["uneven"])
    assert np.isnan(poisoned(BY_NAME["uneven"], call)["query"]).any()
    assert not np.isnan(poisoned(BY_NAME["uneven"], call)["key"]).any()
    few = build({**SMALL, "heads": {"query": 4, "key_value": 2, "dim": 8, "pruned": [2, 3]}}, tune="never")
    query, key = np.ones((1, 4, 1, 8), np.float32), np.ones((1, 2, 5, 8), np.float32)
    key[:, 1] = query[:, 2:] = np.nan
    np.testing.assert_array_equal(few.attention(query, key, key)[:, :2], 1)


def test_a_layer_is_the_full_one_with_pruned_heads_gated_to_zero() -> None:
    """Weights of pruned heads, and of key/value heads that none is left for, are not read."""
    spec, weights = GATED.spec, weights_of(GATED.spec, 3)
    x = rows(spec, 2, 40, seed=5)
    full = spec.model_copy(update={"heads": spec.heads.model_copy(update={"pruned": ()})})
    opened = np.ones((20, 6, 12), np.float32)
    opened[:, [0, 1, 4]] = 0
    gated = weights | {"wo": weights["wo"] * opened.reshape(20, 72)}
    wanted = named(spec, reference(full).layer(x, gated))["out"]
    spoilt = {name: array.copy() for name, array in weights.items()}
    for name, heads, dim in (("wq", 6, 16), ("wk", 3, 16), ("wv", 3, 12)):
        unread = [0, 1, 4] if name == "wq" else [0]
        spoilt[name].reshape(heads, dim, 20)[unread] = np.nan
        spoilt[name.replace("w", "b")].reshape(heads, dim)[unread] = np.nan
    spoilt["wo"].reshape(20, 6, 12)[:, [0, 1, 4]] = np.nan
    found = GATED.module.layer(x, GATED.module.prepare(spoilt))
    np.testing.assert_allclose(found.out, wanted, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(found.lse[:, [0, 1, 4]], -np.inf)


def test_weights_of_pruned_heads_are_not_packed() -> None:
    panels = GATED.module.prepare(weights_of(GATED.spec, 3)).panels
    width = panels[0][1].weights.shape[2]
    of_head = {16: -(-16 // width), 12: -(-12 // width), 20: -(-20 // width)}
    counts = [len(each.places) for _, each in panels]
    assert counts[0] == (3 + 2) * of_head[16] + 2 * of_head[12]
    assert panels[-1][1].weights.shape[1] == 3 * 12


def test_groups_that_say_what_all_heads_do_leave_no_trace() -> None:
    groups = [
        {"heads": [1, 2], "scores": {"modify": "1.0 * score"}},
        {"heads": [0], "mask": {"keep": "q >= k"}},
    ]
    plain_text = compile_to_source(SMALL, target=AVX2, tune="never")[2].text
    same = {**SMALL, "groups": groups[:1]}
    assert compile_to_source(same, target=AVX2, tune="never")[2].text == plain_text
    differs = compile_to_source({**SMALL, "groups": groups[1:]}, target=AVX2, tune="never")[2].text
    assert differs != plain_text


def test_heads_with_the_most_to_do_come_first_and_each_head_has_one_place() -> None:
    module, heads = BY_NAME["grouped"].module, BY_NAME["grouped"].spec.heads.query
    order = [module.head_at(place) for place in range(heads)]
    assert order == [0, 5, 2, 1, 3, 4, 6, 7]  # all keys, then causal, then a window
    turns = [module.turn_of(turn, 3) for turn in range(3 * heads)]
    assert [kind for *_, kind in turns] == [0] * 6 + [1] * 3 + [2] * 15
    assert sorted((b, place) for b, place, _ in turns) == [
        (b, place) for b in range(3) for place in range(heads)
    ]


@EVERY_MIXED
@pytest.mark.parametrize("queries", [1, 5])
def test_parts_that_decode_in_chunks_of_their_own_meet_the_reference(case: Case, queries: int) -> None:
    """Entries stand far apart, so chunks that one needs are none of the other's."""
    call = Shape(2, queries, 1700).random(case) | {"query_offset": np.array([1600, 300])}
    found, wanted = (named(case.spec, each.attention(**call)) for each in (case.module, reference(case.spec)))
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("keys", [8192, 65_536])
def test_a_window_of_some_heads_is_no_more_chunks_in_many_keys(keys: int) -> None:
    """Four heads see all keys, 28 the last 512: a query's tasks are counted part by part."""
    source = compile_to_source(ROOT / "examples/per_head_windows.toml", tune="never")[-1]
    module = cpu.load(source)
    (_, last), (first, end) = (module.reached_chunks(kind, keys - 1, 1, keys) for kind in (0, 1))
    assert last == end == keys // module.CHUNK_KEYS
    assert end - first == 512 // module.CHUNK_KEYS
    assert "end1 = end0 + batch * 8 * span1 * row_blocks" in source.text


ARRAYS: dict[str, Any] = {
    "groups": [{"heads": [1], "mask": {"keep": "k < length[b, q] and k >= length[b, q] - 100"}}],
    "inputs": {"length": {"shape": ["batch", "queries"], "dtype": "int32"}},
}


def test_chunks_of_a_part_are_bounded_by_arrays() -> None:
    spec = {**SMALL, "mask": {"keep": "k == 0"}, **ARRAYS, "heads": {"query": 4, "dim": 8, "pruned": [2]}}
    rng = np.random.default_rng(0)
    query, key = (rng.standard_normal((2, 4, length, 8), np.float32) for length in (3, 1700))
    length = np.array([[600, 700, 800], [1690, 1, 0]], np.int32)
    module = build(spec, tune="never")
    assert "reached_chunks_like_head_1" in module.source.text
    found, wanted = (each.attention(query, key, key, length=length) for each in (module, reference(spec)))
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


@EVERY_MIXED
def test_a_bundle_is_heads_of_one_kind_that_share_keys(case: Case) -> None:
    module, spec = case.module, case.spec
    group = spec.heads.query // spec.heads.key_value
    seen = []
    for bundle in range(module.BUNDLES):
        first, members, *_ = module.bundle_at(bundle)
        heads = [module.head_at(first + member) for member in range(members)]
        assert members <= module.MEMBERS and len({head // group for head in heads}) == 1
        seen += heads
    assert sorted(seen) == list(spec.kept_heads) and len(seen) == module.KEPT_HEADS
