"""Rotary positions and the norm of queries and keys, against their definitions."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from mhagen import reference
from mhagen.backend.numpy_baseline import NumpyBaseline
from mhagen.base.target import AVX2, Target
from mhagen.pipeline import compile_to_source
from mhagen.runtime.rotary import Rotation, Turning
from mhagen.spec.load import load_spec

from .calls import Array, same_bits
from .layers import LAYERS, Table, layer, rows, weights_of
from .specs import Case, scheduled

TURNED = LAYERS["turned"]
HEADS, WIDTH = "4/2 24/40", 36
SCALED: Table = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
ROTARY: dict[str, Table] = {
    "half": {},
    "interleaved": {"layout": "interleaved"},
    "partial": {"dim": 10, "base": 100.0},
    "partial_neighbours": {"dim": 10, "layout": "interleaved"},
    "yarn": {"scaling": SCALED, "layout": "interleaved"},
    "dynamic": {"scaling": {**SCALED, "type": "dynamic"}},
}
NORMS: dict[str, Table] = {"bare": {}, "normed": {"qk_norm": {"eps": 0.1}}}


def spec_of(rotary: Table, norm: Table) -> dict[str, Any]:
    heads = {"query": 4, "key_value": 2, "dim": 24, "value_dim": 40}
    projections = {"model_dim": WIDTH, "rotary": rotary, **norm}
    return {"name": "turns", "heads": heads, "mask": {"keep": "k <= q"}, "projections": projections}


def turned(x: Array, positions: Array, rotary: Table, keys: int) -> Array:
    """Heads (batch, heads, length, dim) as complex numbers times powers of e ** i: the definition."""
    spec = load_spec(spec_of(rotary, {}))
    assert spec.projections is not None and spec.projections.rotary is not None
    turning = spec.projections.rotary.turning(24)
    count, half = turning.dim, turning.dim // 2
    pairs = np.arange(count).reshape((half, 2) if "layout" in rotary else (2, half))
    first, second = pairs.T if "layout" in rotary else pairs
    angles = positions[:, None, :, None] * np.array(turning.rates(keys))
    numbers = (x[..., first] + 1j * x[..., second]) * np.exp(1j * angles) * turning.attention_factor
    result = x.copy()
    result[..., first], result[..., second] = numbers.real, numbers.imag
    return result


def by_hand(x: Array, context: Array, weights: dict[str, Array], rotary: Table, offset: Array) -> Array:
    """The layer in float64, step by step."""

    def heads(source: Array, letter: str, count: int) -> Array:
        rows = source.astype(np.float64) @ weights[f"w{letter}"].astype(np.float64).T
        found = rows.reshape(*source.shape[:2], count, -1).swapaxes(1, 2)
        if f"{letter}_norm" not in weights:
            return found
        return found / np.sqrt(np.square(found).mean(-1, keepdims=True) + 0.1) * weights[f"{letter}_norm"]

    queries, keys = x.shape[1], context.shape[1]
    q_at, k_at = offset[:, None] + np.arange(queries), np.broadcast_to(np.arange(keys), (len(x), keys))
    query = turned(heads(x, "q", 4), q_at, rotary, keys)
    key = turned(heads(context, "k", 2), k_at, rotary, keys).repeat(2, axis=1)
    scores = query @ key.swapaxes(2, 3) / np.sqrt(24)
    seen = k_at[:, None, None, :] <= q_at[:, None, :, None]
    powers = np.where(seen, np.exp(scores - scores.max(-1, keepdims=True)), 0)
    out = powers / powers.sum(-1, keepdims=True) @ heads(context, "v", 2).repeat(2, axis=1)
    return np.asarray(out.swapaxes(1, 2).reshape(len(x), queries, -1) @ weights["wo"].astype(np.float64).T)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rotary", ROTARY)
def test_the_reference_is_the_definition(rotary: str, norm: str) -> None:
    spec = load_spec(spec_of(ROTARY[rotary], NORMS[norm]))
    weights = weights_of(spec, 0)
    x, context = rows(spec, 2, 5, seed=1), rows(spec, 2, 40, seed=2)
    offset = np.array([3, 1_000_000])
    found = reference(spec).layer(x, weights, context=context, query_offset=offset)
    np.testing.assert_allclose(found, by_hand(x, context, weights, ROTARY[rotary], offset), atol=1e-9)
    alone = reference(spec).layer(context, weights)
    zero = np.zeros(2, np.int64)
    np.testing.assert_allclose(alone, by_hand(context, context, weights, ROTARY[rotary], zero), atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rotary", ROTARY)
def test_plain_numpy_turns_as_the_reference(rotary: str, norm: str) -> None:
    spec = load_spec(spec_of(ROTARY[rotary], NORMS[norm]))
    x, weights = rows(spec, 2, 20, seed=1), weights_of(spec, 0)
    gold = reference(spec).layer(x, weights, query_offset=3)
    np.testing.assert_allclose(NumpyBaseline(spec).layer(x, weights, query_offset=3), gold, atol=1e-5)


KINDS = {
    "bfloat16": layer("turned_bf16", "4/2 64/64", 64, "", {"qk_norm": {}, "rotary": {}}, dtype="bfloat16"),
    "float16": layer("turned_f16", HEADS, WIDTH, "", {"rotary": ROTARY["partial"]}, dtype="float16"),
    "float64": layer("turned_f64", HEADS, WIDTH, "", {"rotary": ROTARY["dynamic"]}, dtype="float64"),
}
TOLERANCES = {"bfloat16": 2e-2, "float16": 3e-3, "float64": 1e-9}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_turns_as_the_reference(kind: str) -> None:
    case = KINDS[kind]
    weights = weights_of(case.spec, 0)
    for batch, length, offset in ((1, 1, 0), (2, 17, None), (1, 150, 999_900)):
        x = rows(case.spec, batch, length, seed=length)
        found = case.module.layer(x, weights, query_offset=offset)
        gold = reference(case.spec).layer(x, weights, query_offset=offset)
        np.testing.assert_allclose(found[0].astype(np.float64), gold[0], atol=TOLERANCES[kind])


@pytest.mark.parametrize("target", [AVX2])
def test_odd_register_tiles_turn_as_the_reference(target: Target) -> None:
    module = scheduled(TURNED, target, linear_vectors=1, linear_depth=16)
    x, weights = rows(TURNED.spec, 2, 31, seed=0), weights_of(TURNED.spec, 0)
    gold = reference(TURNED.spec).layer(x, weights)
    np.testing.assert_allclose(module.layer(x, weights)[0], gold[0], atol=2e-5)


def test_the_last_rows_with_a_context_are_those_of_the_whole() -> None:
    """How a cache of earlier tokens is served: aligned at the end, queries stand at the last keys."""
    x, weights = rows(TURNED.spec, 2, 40, seed=7), weights_of(TURNED.spec, 0)
    whole = TURNED.module.layer(x, weights)
    for count in (1, 9):
        last = TURNED.module.layer(x[:, -count:], weights, context=x)
        np.testing.assert_allclose(last[0], whole[0][:, -count:], atol=1e-5)


@pytest.mark.parametrize("offset", [[0, 1_000_000], [-70_000, 5], [2**28, -(2**28)]])
def test_positions_may_be_far_apart(offset: list[int]) -> None:
    x, weights = rows(TURNED.spec, 2, 12, seed=3), weights_of(TURNED.spec, 0)
    together = TURNED.module.layer(x, weights, query_offset=np.array(offset))
    gold = reference(TURNED.spec).layer(x, weights, query_offset=np.array(offset))
    for entry in range(2):
        alone = TURNED.module.layer(x[entry : entry + 1], weights, query_offset=offset[entry])
        same_bits(TURNED.spec, alone, [part[entry : entry + 1] for part in together])
        np.testing.assert_allclose(alone[0][0], gold[0][entry], atol=2e-5)


def test_a_table_is_kept_and_turns_are_rounded_once() -> None:
    rotation = Rotation(Turning(6), computed="float32", lanes=8)
    wide = np.array([1_000_003])
    for offset, queries, keys in ((0, 3, 3), (200, 1, 201), (255, 2, 257), (1_000_003, 2, 2)):
        turns = rotation.turns(queries, keys, np.array([offset]))
        angles = np.outer(offset + np.arange(queries), Turning(6).rates(0))
        np.testing.assert_array_equal(turns.turns[turns.of_queries, 0, :3], np.cos(angles).astype("f4"))
        np.testing.assert_array_equal(turns.turns[turns.of_queries, 1, :3], np.sin(angles).astype("f4"))
        assert len(turns.turns) <= 512
    assert rotation.turns(5, 9, wide * 0).turns is rotation.turns(200, 256, wide * 0).turns


def test_neighbours_are_halves_in_another_order() -> None:
    spec = load_spec(spec_of(ROTARY["partial_neighbours"], NORMS["normed"]))
    halves = load_spec(spec_of({"dim": 10}, NORMS["normed"]))
    order = np.r_[np.arange(0, 10, 2), np.arange(1, 10, 2), np.arange(10, 24)]
    weights = weights_of(spec, 0)
    moved = {name: array.copy() for name, array in weights.items()}
    for letter in "qk":
        heads = weights[f"w{letter}"].reshape(-1, 24, WIDTH)
        moved[f"w{letter}"] = heads[:, order].reshape(-1, WIDTH)
        moved[f"{letter}_norm"] = weights[f"{letter}_norm"][order]
    x = rows(spec, 1, 20, seed=4)
    results = reference(spec).layer(x, weights), reference(halves).layer(x, moved)
    np.testing.assert_allclose(*results, atol=1e-12)


def test_every_key_of_a_rotary_table_shapes_the_module() -> None:
    scaling = {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}
    tables: list[Table] = [
        *ROTARY.values(),
        {"base": 99.0},
        {"scaling": {"type": "linear", "factor": 2.0}},
        {"scaling": {"type": "ntk", "factor": 2.0}},
        *({"scaling": {**scaling, "type": kind}} for kind in ("dynamic", "llama3", "yarn")),
        {"scaling": {**scaling, "type": "llama3", "low_freq_factor": 2.0}},
        {"scaling": {**scaling, "type": "llama3", "high_freq_factor": 2.0}},
        *({"scaling": {**scaling, key: 3.0}} for key in ("factor", "beta_fast", "beta_slow")),
        {"scaling": {**scaling, "attention_factor": 3.0}},
        {"scaling": {**scaling, "truncate": False}},
        {"scaling": {**scaling, "original_max_position_embeddings": 65}},
    ]
    texts = [compile_to_source(spec_of(each, {}), target=AVX2, tune="never")[2].text for each in tables]
    same = [(tables[i], tables[j]) for i, j in combinations(range(len(texts)), 2) if texts[i] == texts[j]]
    assert not same


def test_a_missing_norm_is_named(turned: Case = TURNED) -> None:
    weights = weights_of(turned.spec, 0)
    del weights["k_norm"]
    with pytest.raises(Exception, match="weights lacks k_norm"):
        turned.module.prepare(weights)
