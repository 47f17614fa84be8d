"""A pass may change how something is computed, never what."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir.specimens import arrays_for, same_results, specs

from mhagen.base.errors import InternalError
from mhagen.ir.build import build_graph
from mhagen.ir.evaluate import run_graph
from mhagen.ir.fused_ops import GroupedAttention, OutputLinear, ProjectHeads, StreamedAttention
from mhagen.ir.head_ops import NormalizeHeads, Rotary
from mhagen.passes import PASSES, Stage, run_passes
from mhagen.spec.load import load_spec


@given(specs(), st.booleans(), st.data())
@settings(max_examples=400, deadline=None)
def test_every_pass_preserves_what_the_graph_before_it_means(spec, self_attention, data):
    before = build_graph(load_spec(spec), self_attention=self_attention)
    arrays = data.draw(arrays_for(before))
    wanted = run_graph(before, arrays)

    def compare(stage, graph):
        same_results(wanted, run_graph(graph, arrays))

    run_passes(before, PASSES, observe=compare)


@given(specs(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_last_graph_is_one_attention_between_its_projections(spec, self_attention):
    graph = run_passes(build_graph(load_spec(spec), self_attention=self_attention), PASSES)
    kinds = [type(node.op) for node in graph.nodes]
    (attention,) = (kind for kind in kinds if kind in (StreamedAttention, GroupedAttention))
    assert (attention is GroupedAttention) <= bool(spec["groups"] or spec["heads"]["pruned"])
    if "projections" not in spec:
        assert kinds == [attention]
    else:
        projections = [ProjectHeads] if self_attention else [ProjectHeads, ProjectHeads]
        placed = [kind for kind in kinds if kind in (NormalizeHeads, Rotary)]
        assert kinds == [*projections, *placed, attention, OutputLinear]


@given(specs(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_pass_finds_nothing_to_do_after_itself(spec, self_attention):
    graph = build_graph(load_spec(spec), self_attention=self_attention)
    for stage in PASSES:
        graph = stage.run(graph)
        assert stage.run(graph) == graph, stage.name


@given(specs(), st.booleans())
@settings(max_examples=50, deadline=None)
def test_passes_keep_the_inputs_and_the_names_of_the_outputs(spec, self_attention):
    before = build_graph(load_spec(spec), self_attention=self_attention)
    after = run_passes(before, PASSES)
    assert after.inputs == before.inputs
    assert [shown for shown, _ in after.outputs] == [shown for shown, _ in before.outputs]


def test_an_observer_is_shown_every_stage_in_order():
    spec = load_spec({"name": "tiny", "heads": {"query": 1, "dim": 2}})
    seen = []
    last = run_passes(build_graph(spec), PASSES, observe=lambda stage, graph: seen.append((stage, graph)))
    assert [stage for stage, _ in seen] == [stage.name for stage in PASSES]
    assert seen[-1][1] == last


def test_a_pass_that_breaks_the_graph_is_named():
    def lose_a_node(graph):
        return type(graph)(
            graph.name, graph.inputs, graph.nodes[1:], graph.outputs, graph.align, graph.layout
        )

    spec = load_spec({"name": "tiny", "heads": {"query": 1, "dim": 2}})
    with pytest.raises(InternalError, match=r"lose_a_node left an invalid graph tiny:\n.*scaled_scores"):
        run_passes(build_graph(spec), [Stage(lose_a_node, "to be caught")])


def test_every_pass_says_why_it_runs_where_it_does():
    for stage in PASSES:
        assert len(stage.reason) > 20
        for heading in ("Before ", "After ", "Leaves ", "Numbers "):
            assert heading in stage.run.__doc__, (stage.name, heading)
