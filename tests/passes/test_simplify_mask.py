"""What intervals decide holds at the ends of every range too."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from ir.specimens import LONGEST, extreme_array, masks, same_results, spec_with

from mhagen.ir.build import build_graph
from mhagen.ir.evaluate import run_graph
from mhagen.passes.simplify_mask import simplify_mask
from mhagen.spec.load import load_spec

LENGTHS = {"batch": 2, "queries": LONGEST, "keys": LONGEST}


@given(masks(), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_simpler_mask_hides_the_same_keys_at_the_ends_of_every_range(keep, seed):
    graph = build_graph(load_spec(spec_with(heads={"query": 4, "key_value": 2, "dim": 2}, keep=keep)))
    generator = np.random.default_rng(seed)
    arrays = {each.name: extreme_array(generator, each, LENGTHS) for each in graph.inputs}
    same_results(run_graph(graph, arrays), run_graph(simplify_mask(graph), arrays))
