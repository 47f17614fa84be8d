"""The kernels for few queries: keys in parts, the heads of a group together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu.attention import Call, assert_right, module_of, needless_waits, run, shows, spec_of
from gpu.test_attention import (
    ALL,
    CHOSEN,
    HEADS,
    VOCABULARY,
    spoil,
    spoil_values,
    with_another_swizzle,
    without,
)
from gpu.toolchain import assemble_in_registers, needs_compiler, needs_sass

pytestmark = needs_compiler
GROUPED = {"query": 6, "key_value": 2, "dim": 32}
CAUSAL = spec_of(heads=GROUPED, mask={"keep": "k <= q"}, outputs={"statistics": ALL})


@pytest.mark.parametrize(("keys", "parts"), [(1, 1), (33, 2), (130, 3)])
@pytest.mark.parametrize("queries", [1, 5, 6, 11])
def test_rows_and_parts_of_any_number_are_right(queries: int, keys: int, parts: int) -> None:
    call = Call(queries, keys, query_offset=keys - queries, seed=queries, parts=parts)
    assert_right(run(CAUSAL, call), "float16")


def test_every_batch_entry_can_have_an_offset_of_its_own() -> None:
    assert_right(run(CAUSAL, Call(3, 70, batch=3, offsets=(67, -2, 12), parts=2)), "float16")


def test_a_query_that_sees_no_key_gives_zero() -> None:
    outcome = run(CAUSAL, Call(4, 70, query_offset=-2, parts=3))
    assert_right(outcome, "float16")
    assert (outcome.found[0][:, :, :2] == 0).all()
    assert (outcome.found[1][:, :, :2] == -np.inf).all()


@pytest.mark.parametrize("gap", [3, 8])
def test_rows_may_lie_apart(gap: int) -> None:
    assert_right(run(CAUSAL, Call(2, 40, query_offset=30, gap=gap, parts=2)), "float16")


def test_the_other_layout_is_the_same_kernel() -> None:
    spec = spec_of(heads=GROUPED, layout="bshd")
    assert_right(run(spec, Call(2, 40, layout="bshd", batch=2, parts=2)), "float16")


def test_what_is_hidden_reaches_nobody() -> None:
    outcome = run(CAUSAL, Call(5, 40, query_offset=17, parts=2, change=spoil))
    found, wanted = outcome.found[0], outcome.wanted[0]
    assert np.isfinite(found[:, :, :3]).all()
    np.testing.assert_allclose(found[:, :, :3], wanted[:, :, :3], atol=2e-3)


def test_an_infinite_value_is_the_sum_of_those_who_see_it() -> None:
    assert_right(run(CAUSAL, Call(5, 40, query_offset=31, parts=2, change=spoil_values)), "float16")


@pytest.mark.parametrize("heads", [name for name in HEADS if name not in ("16", "128")])
def test_heads_of_any_width_are_right(heads: str) -> None:
    spec = spec_of(dtype="bfloat16", heads=HEADS[heads])
    assert_right(run(spec, Call(3, 34, parts=2)), "bfloat16")


@pytest.mark.parametrize(
    "words", ["a bias for each cell", "documents and a sink", "a mask of booleans", "integers"]
)
def test_what_expressions_say_is_done(words: str) -> None:
    changes, arrays = VOCABULARY[words]
    assert_right(run(spec_of(**changes), Call(40, 50, inputs=arrays, parts=2)), "float16")


def test_heads_of_a_group_may_see_different_keys() -> None:
    spec = spec_of(
        heads=GROUPED,
        scores={"modify": "score + slope[h] * (k - q)"},
        mask={"keep": "k <= q and q - k < 9 * (h + 1) and (h != 2 or k % 3 == 0)"},
        softmax={"sink": "0.25 * h + 0.01 * q"},
        inputs={"slope": {"shape": ["query_heads"]}},
        outputs={"statistics": ALL},
    )
    slope = np.linspace(-0.5, 0.5, 6, dtype=np.float32)
    call = Call(5, 130, query_offset=120, inputs={"slope": slope}, parts=3)
    assert_right(run(spec, call), "float16")


FAULTS = {
    "the first wait": without(r"cp\.async\.wait_group"),
    "the last wait": without(r"cp\.async\.wait_group", -1),
    "the swizzle": with_another_swizzle,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_left_out_shows(fault: str) -> None:
    assert shows(CAUSAL, Call(5, 130, query_offset=125, parts=1), FAULTS[fault])


def test_no_wait_and_no_barrier_is_needless() -> None:
    spoiled = Call(5, 40, query_offset=31, parts=2, change=spoil_values)
    calls = (Call(5, 130, query_offset=125, parts=1), spoiled)
    assert needless_waits(CAUSAL, calls, module_of(CAUSAL)) == []


@needs_sass
@pytest.mark.parametrize("spec", ["128 causal", "64 with a bias"])
def test_tiles_stay_in_registers(spec: str, tmp_path: Path) -> None:
    module = module_of(CHOSEN[spec], None, "sm_90")
    for kernel in (module.PARTS, module.MERGING):
        assemble_in_registers(kernel, tmp_path)


def test_the_widest_heads_are_right() -> None:
    spec = CHOSEN["256"]
    assert_right(run(spec, Call(3, 40, parts=2), module_of(spec, None, "sm_90")), "bfloat16")


def waves(query: Any, key: Any, value: Any) -> None:
    """The same numbers in every batch entry."""
    for array in (query, key, value):
        array[:] = np.cos(np.arange(array[0].size)).reshape(array.shape[1:])


def test_results_do_not_depend_on_the_batch() -> None:
    alone, among = (
        run(CAUSAL, Call(2, 70, batch, query_offset=60, parts=2, change=waves)).found for batch in (1, 3)
    )
    for one, others in zip(alone, among, strict=True):
        np.testing.assert_array_equal(np.repeat(one, 3, 0), others)
