"""The naive graph has one node for each step, and the inputs that a caller knows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ir.specimens import specs
from mhagen.ir.build import build_graph
from mhagen.ir.verify import verify
from mhagen.spec.load import load_spec

HEADS = {"query": 4, "key_value": 2, "dim": 8}
PROJECTIONS = {"model_dim": 16, "bias": True, "output_bias": True}


def graph_of(self_attention=True, **keys):
    return build_graph(load_spec({"name": "claim", "heads": HEADS, **keys}), self_attention=self_attention)


def names(values):
    return [value.name for value in values]


def steps(graph):
    return [node.op.mnemonic() for node in graph.nodes]


@given(specs(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_graph_of_every_spec_is_valid(spec, self_attention):
    verify(build_graph(load_spec(spec), self_attention=self_attention), "build_graph")


def test_steps_stand_in_the_order_of_the_mathematics():
    graph = graph_of(
        layout="bshd",
        scores={"modify": "2 * score"},
        mask={"keep": "k <= q"},
        outputs={"statistics": ["lse"]},
    )
    assert steps(graph) == [
        *("heads_first", "heads_first", "heads_first", "repeat_heads", "scores", "scale", "modify_scores"),
        *("mask", "softmax", "repeat_heads", "weighted_values", "log_sum_exp", "heads_last"),
    ]


def test_what_a_spec_does_not_say_is_no_step():
    graph = graph_of(heads=HEADS | {"key_value": 4})
    assert steps(graph) == ["scores", "scale", "softmax", "weighted_values"]


def test_inputs_come_in_the_order_of_the_signature():
    inputs = {"slope": {"shape": ["query_heads"]}}
    attention = graph_of(scores={"modify": "score + slope[h]"}, inputs=inputs)
    assert names(attention.inputs) == ["query", "key", "value", "query_offset", "slope"]
    layer = graph_of(projections=PROJECTIONS, scores={"modify": "score + slope[h]"}, inputs=inputs)
    weights = ["wq", "wk", "wv", "wo", "bq", "bk", "bv", "bo"]
    assert names(layer.inputs) == ["x", *weights, "query_offset", "slope"]


def test_a_cross_attention_layer_reads_a_context_of_its_own_length():
    layer = graph_of(projections=PROJECTIONS, self_attention=False)
    assert names(layer.inputs)[:2] == ["x", "context"]
    assert layer.types["scores"].shape == ("batch", 4, "queries", "keys")


def test_in_self_attention_keys_are_as_many_as_queries():
    inputs = {"valid": {"shape": ["batch", "keys"], "dtype": "bool"}}
    layer = graph_of(projections=PROJECTIONS, mask={"keep": "valid[b, k]"}, inputs=inputs)
    assert layer.types["scores"].shape == ("batch", 4, "queries", "queries")
    assert layer.types["valid"].shape == ("batch", "queries")


def test_an_input_named_like_a_step_keeps_its_name():
    graph = graph_of(
        scores={"modify": "score + scores[h] + scaled_scores[0]"},
        inputs={"scores": {"shape": ["query_heads"]}, "scaled_scores": {"shape": [1]}},
    )
    verify(graph, "build_graph")
    assert graph.types["scores"].shape == (4,)
    assert graph.types["scores_"].shape == ("batch", 4, "queries", "keys")
