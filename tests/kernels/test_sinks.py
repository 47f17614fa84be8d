"""A sink takes its share of the weights, whatever its size, on every dtype and class of CPU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen import reference

from .calls import Array, Call, Shape, assert_right, drafts, named
from .dtypes import LAYERS_ON_THE_WIDEST, MAIN, made, made_mainly
from .layers import rows, weights_of
from .specs import BY_NAME, Case

SINKS = {
    "sink": {
        "heads": "4/2 17/33",
        "keep": "k <= q and q - k < 40 and h != 2",
        "sink": "logit[h] + where(q % 2 == 0, 0.0, tilt[b])",
        "logit": "float32 query_heads",
        "tilt": "float32 batch",
    }
}
LAYERS = {"sink_layer": LAYERS_ON_THE_WIDEST["odd_layer"] | {"sink": "slope[h] / 2"}}
CASES = made_mainly(SINKS)
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=repr)
EVERY_LAYER = pytest.mark.parametrize("case", made(LAYERS, widest=True, dtypes=MAIN), ids=repr)
QUERIES = pytest.mark.parametrize("queries", [1, 3, 70], ids="{} queries".format)
KEYS = pytest.mark.parametrize("keys", [50, 700], ids="{} keys".format)


def with_logits(case: Case, shape: Shape, *logits: float) -> Call:
    call = shape.random(case) | {"query_offset": shape.keys - shape.queries}
    call["tilt"][...] = 0
    return call | {"logit": np.array(logits, np.float32)}


def run(case: Case, call: Call) -> dict[str, Array]:
    return named(case.spec, case.module.attention(**call))


@EVERY_CASE
@given(data=st.data())
@settings(max_examples=15)
def test_a_kernel_with_a_sink_equals_the_reference(case: Case, data: st.DataObject) -> None:
    call = data.draw(drafts(case)).call(case)
    assert_right(case.spec, case.module.attention(**call), call)


@EVERY_CASE
@QUERIES
@KEYS
def test_a_sink_may_be_far_above_or_below_all_scores(case: Case, queries: int, keys: int) -> None:
    call = with_logits(case, Shape(1, queries, keys, seed=1), 60.0, 12.0, -12.0, -200.0)
    assert_right(case.spec, case.module.attention(**call), call)
    out, lse = case.module.attention(**with_logits(case, Shape(1, queries, keys, seed=1), *[3e4] * 4))
    np.testing.assert_array_equal(out, 0)
    np.testing.assert_allclose(lse, 3e4, rtol=1e-6)


@EVERY_CASE
@QUERIES
@KEYS
def test_a_sink_of_minus_infinity_is_none(case: Case, queries: int, keys: int) -> None:
    call = with_logits(case, Shape(2, queries, keys, seed=2), *[-np.inf] * 4)
    assert_right(case.spec, case.module.attention(**call), call)
    assert (run(case, call)["lse"][:, 2] == -np.inf).all()


@EVERY_CASE
@QUERIES
def test_a_sink_that_is_nan_spoils_its_own_head_only(case: Case, queries: int) -> None:
    call = with_logits(case, Shape(2, queries, 50, seed=3), 0.0, np.nan, np.nan, 1.0)
    found, gold = run(case, call), named(case.spec, reference(case.spec).attention(**call))
    for name, array in found.items():
        np.testing.assert_array_equal(np.isnan(array.astype(np.float32)), np.isnan(gold[name]), err_msg=name)
    assert np.isnan(found["out"][:, 1, -1].astype(np.float32)).all()
    np.testing.assert_array_equal(found["out"][:, 2], 0)  # sees no key


@EVERY_CASE
@QUERIES
@pytest.mark.parametrize("keys", [0, 5])
def test_a_query_that_sees_no_key_has_the_logit_of_the_sink_as_lse(
    case: Case, queries: int, keys: int
) -> None:
    call = with_logits(case, Shape(2, queries, keys, seed=4), 0.5, -3.0, 7.0, -np.inf)
    found = run(case, call | {"query_offset": -1000})
    np.testing.assert_array_equal(found["out"], 0)
    expected = np.broadcast_to(call["logit"][:, np.newaxis], found["lse"].shape[1:])
    np.testing.assert_allclose(found["lse"], np.broadcast_to(expected, found["lse"].shape), rtol=1e-6)


@EVERY_LAYER
def test_a_layer_with_a_sink_equals_the_reference(case: Case) -> None:
    spec = case.spec
    x, weights = rows(spec, 2, 37, seed=1), weights_of(spec, seed=2)
    slope = np.array([2.0, -1.0, 5.0], np.float32)
    found = named(spec, case.module.layer(x, weights, slope=slope))
    gold = named(spec, reference(spec).layer(x, weights, slope=slope))
    for name, array in found.items():
        room = 0.03 if spec.dtype.bytes == 2 else 1e-4
        np.testing.assert_allclose(array.astype(np.float64), gold[name], atol=room, rtol=room, err_msg=name)


@pytest.mark.parametrize("name", ["off_by_one", "sinks", "sunk"])
def test_without_keys_out_is_zero_and_lse_the_logit(name: str) -> None:
    case = BY_NAME[name]
    for queries in (1, 40):
        call = Shape(2, queries, 0).random(case)
        found, gold = run(case, call), named(case.spec, reference(case.spec).attention(**call))
        for each in found:
            np.testing.assert_allclose(found[each], gold[each], rtol=1e-6, atol=1e-6)
