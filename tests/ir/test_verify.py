"""The verifier names the stage and the node of a planted fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mhagen.base.dtypes import DType
from mhagen.base.errors import InternalError
from mhagen.ir.build import build_graph
from mhagen.ir.graph import Node, Value
from mhagen.ir.ops import Scale
from mhagen.ir.types import TensorType
from mhagen.ir.verify import verify
from mhagen.spec.load import load_spec

SPEC = load_spec(
    {
        "name": "victim",
        "heads": {"query": 4, "key_value": 2, "dim": 8},
        "scores": {"modify": "score + slope[h] * (k - q)"},
        "inputs": {"slope": {"shape": ["query_heads"]}},
    }
)
GRAPH = build_graph(SPEC)


def with_node(name, **changes):
    nodes = [replace(n, **changes) if n.result == name else n for n in GRAPH.nodes]
    return replace(GRAPH, nodes=tuple(nodes))


def node(name):
    return GRAPH.producers[name]


def refuses(graph, *words):
    with pytest.raises(InternalError) as caught:
        verify(graph, "some_pass")
    assert "some_pass left an invalid graph victim" in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_what_build_graph_makes_is_valid():
    verify(GRAPH, "build_graph")


def test_a_result_of_another_type_than_its_op_makes_is_caught():
    wrong = Value("weights", TensorType(DType.FLOAT32, ("batch", 4, "keys", "queries")))
    refuses(
        with_node("weights", results=(wrong,)), "%weights", "= softmax(", "[batch, 4, queries, keys], not"
    )


def test_a_value_read_before_it_is_made_is_caught():
    nodes = (GRAPH.nodes[-1], *GRAPH.nodes[:-1])
    refuses(replace(GRAPH, nodes=nodes), "= weighted_values(", "is read before it is made")


def test_a_value_that_no_node_makes_is_caught():
    refuses(with_node("weights", operands=("nothing",)), "= softmax(%nothing)", "%nothing is read before")


def test_a_name_made_twice_is_caught():
    again = Node(Scale(1.0), ("query",), (Value("key", GRAPH.types["query"]),))
    refuses(replace(GRAPH, nodes=(again, *GRAPH.nodes)), "= scale(%query", "%key is made twice")


def test_two_inputs_of_one_name_are_caught():
    refuses(replace(GRAPH, inputs=(*GRAPH.inputs, GRAPH.inputs[0])), "input %query", "two inputs")


def test_a_wrong_number_of_results_is_caught():
    results = (*node("weights").results, Value("more", GRAPH.types["weights"]))
    refuses(with_node("weights", results=results), "%more", "names 2 results and makes 1")


def test_a_wrong_number_of_operands_is_caught():
    refuses(with_node("weights", operands=("scaled_scores", "query")), "softmax", "has 2 operands")


def test_operands_whose_shapes_do_not_fit_are_caught():
    refuses(with_node("scores", operands=("query", "key")), "= scores(%query, %key)", "4 and 2 differ")


def test_an_operand_that_is_not_the_array_of_the_expression_is_caught():
    graph = replace(GRAPH, inputs=(*GRAPH.inputs, Value("slopes", GRAPH.types["slope"])))
    operands = (*node("modified_scores").operands[:-1], "slopes")
    nodes = [replace(n, operands=operands) if n.result == "modified_scores" else n for n in graph.nodes]
    refuses(replace(graph, nodes=tuple(nodes)), "modify_scores(", "not the arrays", "slope")


def test_an_output_that_nothing_makes_is_caught():
    refuses(replace(GRAPH, outputs=(("out", "nothing"),)), "output out", "no value is called %nothing")


def test_two_outputs_of_one_name_are_caught():
    refuses(replace(GRAPH, outputs=GRAPH.outputs * 2), "output out", "two of this name")
