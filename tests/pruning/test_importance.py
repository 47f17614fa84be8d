"""Each measure of heads against its formula: derivatives by differences, the rest in plain NumPy."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import mhagen
from mhagen.backend.acceptance import Example
from mhagen.ir.reference import Reference
from mhagen.pruning.importance import measures
from mhagen.pruning.methods import Method
from mhagen.pruning.observed import observe, watching_kernel
from mhagen.pruning.seen import seen_layer

from .layers import COUNTED, GRADIENT, SMALL, WEIGHTS, X, spec_of, with_gates

CASES = {
    "the layer's own loss": {},
    "a gradient": {"gradient": GRADIENT},
    "padding": {"counted": COUNTED},
    "a gradient and padding": {"gradient": GRADIENT, "counted": COUNTED.astype(np.int64)},
}
STEP = 1e-5


@pytest.fixture(scope="module")
def kernel():
    return watching_kernel(SMALL)


@pytest.fixture(params=CASES.values(), ids=CASES, scope="module")
def case(request, kernel):
    """What is given beside x, and what was observed."""
    return request.param, observe(seen_layer(SMALL, WEIGHTS, {"x": X, **request.param}), kernel)


def losses(given, gates):
    """(batch, queries): the loss of each token, of a layer whose heads have these gates."""
    y = Reference(SMALL).layer(X, with_gates(SMALL, WEIGHTS, gates))
    each = (y * given["gradient"] if "gradient" in given else y * y / 2).sum(axis=2)
    return np.where(given.get("counted", True), each, 0.0)


def derivatives(given):
    """(heads, batch, queries): of the tokens' losses by the gates, by central differences."""
    steps = STEP * np.eye(SMALL.heads.query)
    return np.array([(losses(given, 1 + step) - losses(given, 1 - step)) / (2 * STEP) for step in steps])


def unit(values):
    return values / np.linalg.norm(values)


def measured(layer, method, batch=1):
    return np.array(measures([layer], method, batch)[0])


def test_the_papers_measure_takes_the_absolute_of_each_example(case):
    given, layer = case
    expected = unit(np.abs(derivatives(given).sum(axis=2)).mean(axis=1))
    np.testing.assert_allclose(measured(layer, Method.MICHEL), expected, rtol=1e-7)


def test_the_authors_code_takes_the_absolute_of_each_token(case):
    given, layer = case
    expected = unit(np.abs(derivatives(given)).sum(axis=(1, 2)))
    np.testing.assert_allclose(measured(layer, Method.MICHEL_CODE), expected, rtol=1e-7)


def test_transformers_takes_the_absolute_of_each_batch(case):
    given, layer = case
    of_examples = derivatives(given).sum(axis=2)
    expected = unit(np.abs(of_examples[:, :2].sum(axis=1)) + np.abs(of_examples[:, 2]))
    expected = (expected - expected.min()) / np.ptp(expected)
    found = measured(layer, Method.MICHEL_TRANSFORMERS, batch=2)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_transformers_ranks_as_the_paper_where_a_batch_is_an_example(case):
    _, layer = case
    paper = measured(layer, Method.MICHEL)
    expected = (paper - paper.min()) / np.ptp(paper)
    np.testing.assert_allclose(measured(layer, Method.MICHEL_TRANSFORMERS), expected, atol=1e-12)


def attention_weights():
    """(batch, heads, queries, keys) of SMALL, in plain NumPy."""
    heads, group, dim = SMALL.heads.query, 2, SMALL.heads.dim
    wide = {name: array.astype(np.float64) for name, array in WEIGHTS.items()}
    query = (X @ wide["wq"].T + wide["bq"]).reshape(3, 11, heads, dim)
    key = (X @ wide["wk"].T + wide["bk"]).reshape(3, 11, heads // group, dim).repeat(group, axis=2)
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(dim)
    powers = np.where(np.tri(11, dtype=bool), np.exp(scores), 0.0)
    return powers / powers.sum(axis=3, keepdims=True)


def over_tokens(given, values):
    counted = given.get("counted", np.ones(X.shape[:2], bool)).astype(bool)
    return np.array([values[:, head][counted].mean() for head in range(values.shape[1])])


def test_confidence_is_the_mean_of_the_greatest_weights(case):
    given, layer = case
    expected = over_tokens(given, attention_weights().max(axis=3))
    np.testing.assert_allclose(measured(layer, Method.CONFIDENCE), expected, rtol=1e-6)


def test_entropy_is_that_of_the_weights(case):
    given, layer = case
    weights = attention_weights()
    expected = over_tokens(given, -(weights * np.log(np.where(weights > 0, weights, 1))).sum(axis=3))
    np.testing.assert_allclose(measured(layer, Method.ENTROPY), expected, rtol=1e-6)


def test_ablation_is_the_change_of_the_output(case):
    given, layer = case
    counted = given.get("counted", np.ones(X.shape[:2], bool)).astype(bool)
    gates = np.ones(4)
    whole = Reference(SMALL).layer(X, with_gates(SMALL, WEIGHTS, gates))[counted]
    for head, found in enumerate(measured(layer, Method.ABLATION)):
        without = Reference(SMALL).layer(X, with_gates(SMALL, WEIGHTS, gates - np.eye(4)[head]))[counted]
        assert found == pytest.approx(np.linalg.norm(whole - without) / np.linalg.norm(whole), rel=1e-9)


def test_layers_are_normalised_each_and_stretched_together(kernel):
    louder = {**WEIGHTS, "wo": 3 * WEIGHTS["wo"]}
    layers = [observe(seen_layer(SMALL, weights, X), kernel) for weights in (WEIGHTS, louder)]
    for method in (Method.MICHEL, Method.MICHEL_CODE):
        for row in measures(layers, method, 1):
            assert np.linalg.norm(row) == pytest.approx(1)
    both = np.array(measures(layers, Method.MICHEL_TRANSFORMERS, 1))
    assert (both.min(), both.max()) == (0, 1)


def test_a_context_an_offset_and_turned_queries_are_as_in_the_layer():
    spec = spec_of(
        name="placed", mask={"keep": "k <= q"}, projections={"model_dim": 24, "rotary": {}, "qk_norm": {}}
    )
    example = Example(2, 5, 5, 1)
    weights, x, context = example.weights(spec), example.x(spec), Example(2, 9, 9, 2).x(spec)
    given = {"x": x, "context": context, "query_offset": np.array([3, 4])}
    observed = observe(seen_layer(spec, weights, given), watching_kernel(spec))
    expected = Reference(spec).layer(x, weights, context=context, query_offset=[3, 4])
    np.testing.assert_allclose(observed.output, expected, rtol=1e-10, atol=1e-12)


def test_no_scores_of_a_long_sequence_lie_in_memory():
    long = np.tile(X[:1], (1, 373, 1))  # 4,103 tokens: scores of one head would take 134 MB
    mhagen.prune(SMALL, WEIGHTS, X)  # compiled by now
    tracemalloc.start()
    mhagen.prune(SMALL, WEIGHTS, long)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6
