"""Each op's example is a graph; each op's meaning is what its sentence says."""

from __future__ import annotations

import re
from textwrap import dedent, indent

import numpy as np
import pytest
from numpy import inf, nan

from ir.specimens import random_array
from mhagen.ir.evaluate import run_graph
from mhagen.ir.fused_ops import StreamedAttention
from mhagen.ir.ops import RepeatHeads, Scores, WeightedValues
from mhagen.ir.parse import VOCABULARY, parse_graph
from mhagen.ir.softmax_ops import LogSumExp, Softmax
from mhagen.ir.text import print_graph
from mhagen.ir.types import Base
from mhagen.ir.verify import verify
from mhagen.spec.fields import Layout

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
LENGTHS = {"batch": 2, "queries": 3, "keys": 5}
EVERY_OP = pytest.mark.parametrize("op", VOCABULARY.values(), ids=VOCABULARY)


def example(op):
    body = dedent(op.__doc__.split("Example\n")[1]).strip()
    results = re.findall(r"%(\w+): \S", body[body.index("\n%") :])
    outputs = "\n".join(f"output {name} = %{name}" for name in results)
    lines = indent(f"layout = bhsd\nalign = start\n{body}\n{outputs}", "  ")
    return parse_graph(f"graph example {{\n{lines}\n}}\n")


@EVERY_OP
def test_the_example_of_an_op_is_a_valid_graph_of_that_op(op):
    graph = example(op)
    verify(graph, "the docstring")
    assert [type(node.op) for node in graph.nodes] == [op]
    assert parse_graph(print_graph(graph)) == graph


@EVERY_OP
def test_an_op_makes_arrays_of_the_shapes_it_infers(op):
    graph = example(op)
    generator = np.random.default_rng(0)
    arrays = {each.name: random_array(generator, each, LENGTHS) for each in graph.inputs}
    for name, result in run_graph(graph, arrays).items():
        assert result.shape == tuple(LENGTHS.get(axis, axis) for axis in graph.types[name].shape)
        assert np.isfinite(result).any()


@EVERY_OP
def test_every_op_says_what_it_means(op):
    assert "Meaning  " in op.__doc__


def test_a_shared_key_head_serves_consecutive_query_heads():
    generator = np.random.default_rng(0)
    query, key = generator.normal(size=(1, 6, 2, 3)), generator.normal(size=(1, 2, 4, 3))
    repeated = RepeatHeads(3).evaluate(key)[0]
    assert (repeated[0, 0] == repeated[0, 2]).all() and (repeated[0, 3] == key[0, 1]).all()
    np.testing.assert_allclose(Scores(3).evaluate(query, key)[0], Scores().evaluate(query, repeated)[0])


def test_softmax_weights_of_a_row_sum_to_one_whatever_the_base():
    scores = np.random.default_rng(0).normal(size=(1, 2, 3, 4), scale=300)
    for base in Base:
        np.testing.assert_allclose(Softmax(base).evaluate(scores)[0].sum(axis=3), 1)


def test_a_row_of_nothing_but_minus_infinity_has_weights_zero_and_lse_minus_infinity():
    scores = np.array([[[[-inf, -inf], [-inf, 2.0]]]])
    assert Softmax().evaluate(scores)[0].tolist() == [[[[0, 0], [0, 1]]]]
    assert LogSumExp().evaluate(scores)[0].tolist() == [[[-inf, 2.0]]]


def test_log_sum_exp_is_a_natural_logarithm_in_both_bases():
    scores = np.array([[[[1.0, 2.0, 3.0]]]])
    (natural,) = LogSumExp().evaluate(scores)
    (binary,) = LogSumExp(Base.TWO).evaluate(scores * np.log2(np.e))
    np.testing.assert_allclose([natural, binary], np.log(np.exp(scores).sum()) * np.ones((2, 1, 1, 1)))


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_a_weight_of_zero_contributes_nothing_of_a_value_that_is_not_finite(bad):
    weights = np.array([[[[0.0, 1.0], [0.5, 0.5]]]])
    value = np.array([[[[bad], [3.0]]]])
    hidden, seen = WeightedValues().evaluate(weights, value)[0][0, 0, :, 0]
    assert hidden == 3.0
    np.testing.assert_equal(seen, bad)


def test_infinities_of_both_signs_add_up_to_nan():
    value = np.array([[[[inf], [-inf]]]])
    assert np.isnan(WeightedValues().evaluate(np.full((1, 1, 1, 2), 0.5), value)[0]).all()


def test_streamed_attention_reads_and_writes_either_layout():
    generator = np.random.default_rng(0)
    query, key, value = (generator.normal(size=(2, 2, length, 3)) for length in (4, 5, 5))
    offset = np.zeros(2, np.int64)
    (heads_first,) = StreamedAttention().evaluate(query, key, value, offset)
    rows = [x.swapaxes(1, 2) for x in (query, key, value)]
    (rows_first,) = StreamedAttention(reads=Layout.BSHD, writes=Layout.BSHD).evaluate(*rows, offset)
    assert (rows_first.swapaxes(1, 2) == heads_first).all()
