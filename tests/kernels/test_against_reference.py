"""Every kernel gives what the reference gives, whatever the lengths, offsets, strides and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen import reference

from . import plain
from .calls import OUT_STRIDES, STRIDES, Shape, assert_right, drafts, named, same_bits
from .specs import BY_NAME, CASES, Case


@pytest.mark.parametrize("case", CASES, ids=repr)
@given(data=st.data())
@settings(max_examples=25)
def test_a_kernel_equals_the_reference(case: Case, data: st.DataObject) -> None:
    call = data.draw(drafts(case)).call(case)
    assert_right(case.spec, case.module.attention(**call), call)


@pytest.mark.parametrize("case", [BY_NAME[name] for name in ("plain", "narrow", "everything")], ids=repr)
@given(data=st.data())
@settings(max_examples=15)
def test_out_is_written_in_place_whatever_its_strides_and_nothing_beside_it(
    case: Case, data: st.DataObject
) -> None:
    call = data.draw(drafts(case)).call(case)
    expected = case.module.attention(**call)
    fresh = named(case.spec, expected)["out"]
    out = STRIDES[data.draw(st.sampled_from(OUT_STRIDES))](np.full_like(fresh, 7))
    memory = out if out.base is None else out.base
    untouched = np.count_nonzero(np.isnan(memory))
    result: Any = case.module.attention(**call, out=out)
    assert named(case.spec, result)["out"] is out
    same_bits(case.spec, result, expected)
    assert np.count_nonzero(np.isnan(memory)) == untouched


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_a_long_call_equals_the_reference(case: Case) -> None:
    shape = Shape(1, 3 * case.schedule.tile_queries + 5, 3 * case.schedule.block_keys + 3, seed=5)
    call = shape.random(case) | {"query_offset": shape.keys - shape.queries}
    assert_right(case.spec, case.module.attention(**call), call)


@pytest.mark.parametrize("case", CASES, ids=repr)
@pytest.mark.parametrize("keys", [70, 0])
def test_the_reference_and_numpy_written_by_hand_agree(case: Case, keys: int) -> None:
    call = Shape(2, 33, keys, seed=3).random(case)
    wide = {name: plain.widened(array) for name, array in call.items()}
    expected = plain.attention(case.spec, **wide, query_offset=np.array([5, -20]))
    found = named(case.spec, reference(case.spec).attention(**call, query_offset=np.array([5, -20])))
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-10, atol=1e-10)
