"""Second passes over the scores: what keys receive, and the keys with the greatest scores."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu import attention, hardware
from gpu.attention import Call, assert_right, module_of, run, spec_of
from gpu.machine.faults import Fault
from gpu.machine.run import Launch
from gpu.test_attention import inputs, labels, reals, spoil
from gpu.toolchain import assemble_in_registers, needs_compiler, needs_sass

pytestmark = needs_compiler
ALL = {"statistics": ["argmax", "lse", "received", "top_4"]}
CAUSAL = spec_of(heads={"query": 4, "key_value": 2, "dim": 32}, mask={"keep": "k <= q"}, outputs=ALL)
# Rows that are never aligned, and of which no whole number is copied at once.
PLAIN = spec_of(
    dtype="bfloat16",
    layout="bshd",
    heads={"query": 1, "dim": 40, "value_dim": 33},
    softmax={"sink": "0.25 * h"},
    outputs=ALL,
)


@pytest.mark.parametrize("queries", [1, 64, 65])
@pytest.mark.parametrize("keys", [1, 63, 130])
def test_tails_of_any_length_are_right(queries: int, keys: int) -> None:
    assert_right(run(PLAIN, Call(queries, keys, layout="bshd", seed=queries)), "bfloat16")


def whole_numbers(query: Any, key: Any, value: Any) -> None:
    rng = np.random.default_rng(1)
    query[:], key[:] = rng.integers(-1, 2, query.shape), rng.integers(-1, 2, key.shape)


@pytest.mark.parametrize("parts", [0, 2], ids=["tiles", "decoding"])
def test_of_equal_scores_the_first_key_is_the_first(parts: int) -> None:
    call = Call(9, 130, query_offset=121, batch=2, parts=parts, change=whole_numbers)
    outcome = run(CAUSAL, call)
    assert_right(outcome, "float16")
    np.testing.assert_array_equal(outcome.found[1], outcome.wanted[1])
    np.testing.assert_array_equal(outcome.found[4], outcome.wanted[4])


def test_every_batch_entry_can_have_an_offset_of_its_own() -> None:
    """The first queries of an entry see no key: they have no greatest one, and give nothing."""
    outcome = run(CAUSAL, Call(20, 70, batch=3, offsets=(50, -5, 12)))
    assert_right(outcome, "float16")
    assert (outcome.found[1][1, :, :5] == -1).all()
    assert (outcome.found[3][1, :, 15:] == 0).all()


def test_what_is_no_number_is_no_greatest_score_and_reaches_only_keys_that_are_seen_with_it() -> None:
    outcome = run(CAUSAL, Call(40, 40, change=spoil))
    for found, wanted in zip(outcome.found[1:], outcome.wanted[1:], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert np.isnan(outcome.found[3][:, :2]).all()


READING = spec_of(
    scores={"modify": "score + slope[h] * (k - q) - bias[q, k]"},
    mask={"keep": "document[b, q] == document[b, k] and k <= q + 9"},
    inputs=inputs(
        slope=(["query_heads"], "float32"),
        bias=(["queries", "keys"], "float32"),
        document=(["batch", "keys"], "int32"),
    ),
    outputs={"statistics": ["received", "top_8"]},
)


def reading(queries: int, keys: int) -> Call:
    arrays = {"slope": reals(2), "bias": reals(queries, keys), "document": labels(keys)}
    return Call(queries, keys, inputs=arrays)


def test_expressions_are_those_of_the_first_pass() -> None:
    assert_right(run(READING, reading(70, 130)), "float16")


def test_keys_that_no_query_meets_receive_nothing_and_no_input_is_read() -> None:
    """A fault would say so: there is no element to read."""
    assert_right(run(READING, reading(0, 70)), "float16")


OF_HOPPER = spec_of(heads={"query": 2, "key_value": 1, "dim": 64}, mask={"keep": "k <= q"}, outputs=ALL)


def test_a_module_for_hopper_has_the_same_second_passes() -> None:
    module = module_of(OF_HOPPER, None, "sm_90a")
    assert_right(run(OF_HOPPER, Call(70, 130, query_offset=60), module), "float16")


@pytest.mark.parametrize("step", [r"bar(?:rier)?\.sync", r"cp\.async\.wait_group"])
def test_a_step_left_out_shows(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if hardware.is_chosen():
        pytest.skip("a GPU would hang: faults are for the machine that interprets")
    whole = attention.launch

    def launch(text: str, how: Launch, *rest: Any) -> Any:
        """Kernels of second passes lack the step."""
        is_second = how.shared_bytes == module_of(CAUSAL).SECOND_SHARED_BYTES
        return whole(re.sub(rf"{step}[^;]*;", "", text) if is_second else text, how, *rest)

    monkeypatch.setattr(attention, "launch", launch)
    with pytest.raises((Fault, AssertionError)):
        assert_right(run(CAUSAL, Call(130, 130)), "float16")


# The widest heads with the longest lists, a mask that reads arrays, and a module for Hopper.
WIDE = {
    "256 for little shared memory": (
        spec_of(heads={"query": 2, "dim": 256}, outputs={"statistics": ["top_32", "received"]}),
        "sm_86",
    ),
    "documents": (
        spec_of(
            heads={"query": 2, "dim": 128},
            mask={"keep": "document[b, q] == document[b, k] and k <= q"},
            inputs=inputs(document=(["batch", "keys"], "int32")),
            outputs={"statistics": ["top_32", "received"]},
        ),
        "sm_90",
    ),
}


@needs_sass
@pytest.mark.parametrize("spec", WIDE)
def test_tiles_stay_in_registers(spec: str, tmp_path: Path) -> None:
    changes, arch = WIDE[spec]
    module = module_of(changes, None, arch)
    for kernel in (module.LEADING, module.RECEIVING):
        assemble_in_registers(kernel, tmp_path)
