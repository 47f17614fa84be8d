"""The smaller layer equals the layer with its heads gated to 0, whatever heads go."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mhagen.backend.acceptance import Example
from mhagen.ir.reference import Reference
from mhagen.pruning.cut import Cut, cut_heads, smaller_name, smaller_spec, smaller_weights
from mhagen.spec.load import load_spec

from .layers import spec_of, with_gates

HEADS = {"query": 6, "key_value": 3, "dim": 8, "value_dim": 5}
SPECS = {
    "grouped": spec_of(heads=HEADS),
    "one each": spec_of(heads={"query": 4, "dim": 8}),
    "no biases": spec_of(heads=HEADS, projections={"model_dim": 24}),
    "normed and turned": spec_of(heads=HEADS, projections={"model_dim": 24, "qk_norm": {}, "rotary": {}}),
    "heads that differ": spec_of(
        heads=HEADS,
        groups=[{"heads": [1, 4], "mask": {"keep": "q - k < 3"}}, {"heads": [2], "scores": {"scale": 1.0}}],
    ),
    "numbers of heads": spec_of(heads=HEADS, scores={"modify": "score - 0.5 * h * abs(q - k)"}),
    "an array of heads": spec_of(
        heads=HEADS,
        scores={"modify": "score + slope[h] * (k - q)"},
        inputs={"slope": {"shape": ["query_heads"]}},
    ),
    "pruned before": spec_of(heads={**HEADS, "pruned": [3, 0]}),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_smaller_layer_is_the_gated_one(spec):
    example = Example(2, 6, 6, 5)
    weights, x, inputs = example.weights(spec), example.x(spec), example.inputs(spec)
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    for count in range(len(spec.kept_heads)):
        for pruned in combinations(spec.kept_heads, count):
            cut = cut_heads(spec, pruned)
            small = smaller_spec(spec, cut, "smaller")
            gates = np.array([head not in pruned for head in range(spec.heads.query)])
            expected = Reference(spec).layer(x, with_gates(spec, weights, gates), **inputs)
            found = Reference(small).layer(x, smaller_weights(spec, cut, weights), **inputs)
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=str(pruned))


def test_a_key_value_head_goes_with_its_query_heads():
    assert cut_heads(SPECS["grouped"], (0, 2, 3, 5)) == Cut((1, 4), (0, 2), (), ())


def test_where_key_value_heads_keep_unequally_many_places_stand_empty():
    assert cut_heads(SPECS["grouped"], (0, 2, 3)) == Cut((0, 1, 4, 5), (0, 2), (0,), ())


def test_where_the_number_of_a_head_matters_all_places_stay():
    cut = cut_heads(SPECS["an array of heads"], (2, 3, 4))
    assert cut == Cut((0, 1, 2, 3, 4, 5), (0, 1, 2), (2, 3, 4), (1,))


def test_an_empty_group_of_heads_leaves_the_spec():
    spec = SPECS["heads that differ"]
    small = smaller_spec(spec, cut_heads(spec, (2, 3, 4)), "smaller")
    assert small.heads.pruned == (2,)
    assert [group.heads for group in small.groups] == [(1, 2)]


def test_weights_of_empty_places_are_zero_and_keep_their_format():
    spec = SPECS["grouped"]
    weights = {name: array.astype(np.float16) for name, array in Example(1, 1, 1, 0).weights(spec).items()}
    small = smaller_weights(spec, cut_heads(spec, (0,)), weights)
    assert {array.dtype for array in small.values()} == {np.dtype(np.float16)}
    assert not small["wq"][:8].any() and not small["wo"][:, :5].any() and not small["bq"][:8].any()
    np.testing.assert_array_equal(small["wq"][8:], weights["wq"][8:])


def test_a_smaller_spec_has_a_name_that_a_spec_may_have():
    spec = spec_of(name="a" * 48)
    name = smaller_name(spec, "_pruned_12")
    assert load_spec(spec.model_dump(mode="json", exclude_none=True) | {"name": name}).name == name
