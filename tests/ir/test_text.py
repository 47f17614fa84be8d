"""The textual form holds all of a graph, and says where it cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.specimens import specs
from mhagen.base.errors import InputError
from mhagen.ir.build import build_graph
from mhagen.ir.parse import parse_graph
from mhagen.ir.text import LINE_LENGTH, print_graph
from mhagen.passes import PASSES, run_passes
from mhagen.spec.load import load_spec

CAUSAL = """\
graph causal {
  layout = bhsd
  align = start
  constant window = 256
  input %query: f32[batch, 8, queries, 64]
  input %key: f32[batch, 8, keys, 64]
  input %query_offset: i64[batch]
  %scores: f32[batch, 8, queries, keys] = scores(%query, %key)
  %masked: f32[batch, 8, queries, keys] = mask(%scores, %query_offset, keep="k <= q and q - k < window")
  output out = %masked
}
"""


@given(specs(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_stage_of_a_graph_is_printed_and_parsed_to_an_equal_graph(spec, self_attention):
    graph = build_graph(load_spec(spec), self_attention=self_attention)
    stages = [graph]
    run_passes(graph, PASSES, observe=lambda _, after: stages.append(after))
    for stage in stages:
        text = print_graph(stage)
        parsed = parse_graph(text)
        assert parsed == stage
        assert print_graph(parsed) == text


def test_the_text_of_a_graph_is_what_it_was_read_from():
    assert print_graph(parse_graph(CAUSAL)) == CAUSAL


def test_comments_and_line_breaks_mean_nothing():
    spread = CAUSAL.replace("(%scores, ", "(  # the scores\n      %scores,\n").replace("{", "{\n")
    assert parse_graph(spread) == parse_graph(CAUSAL)


def test_a_long_node_takes_a_line_for_each_field():
    keep = " or ".join(f"k == q - {distance}" for distance in range(1, 5))
    text = print_graph(parse_graph(CAUSAL.replace("k <= q and q - k < window", keep)))
    assert max(map(len, text.splitlines())) <= LINE_LENGTH
    assert f'\n    keep="{keep}",\n' in text


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("graph causal", "grph causal", "1:1", "expected 'graph'"),
        ("layout = bhsd", "layout = sbhd", "2:12", "'sbhd' is none of bhsd, bshd"),
        ("= scores(", "= score(", "8:43", "'score' is none of linear, "),
        ("%scores, %query_offset", "%scores, query_offset", "9:57", "'query_offset' is none of keep"),
        ("%scores, %query_offset", "%scores %query_offset", "9:56", "expected ','"),
        ("f32[batch, 8, keys", "f31[batch, 8, keys", "6:15", "'f31' is none of f32, "),
        ("k <= q and", "k <= p and", "9:83", "`p` is not declared"),
        (', keep="k <= q and q - k < window"', "", "9:43", "mask needs keep="),
        ("output out = %masked", "output out = masked", "10:16", "expected a value, as %name"),
        ("}\n", "} more", "11:3", "expected the end"),
    ],
)
def test_a_mistake_in_the_text_is_shown_where_it_is(old, new, place, message):
    with pytest.raises(InputError) as caught:
        parse_graph(CAUSAL.replace(old, new), "causal.txt")
    assert f"causal.txt:{place}\n" in str(caught.value)
    assert message in str(caught.value)
