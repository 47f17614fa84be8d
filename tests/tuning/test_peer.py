"""The best form of a peer: right first, then fast; and why a form or a peer is left out."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from mhagen.backend.acceptance import Example
from mhagen.base.errors import UnsupportedError
from mhagen.spec.load import load_spec
from mhagen.tuning.peer import REASON_LENGTH, Absent, Chosen, Form, Peer, Ready, best_form, reason
from mhagen.tuning.problem import Array, Problem

PROBLEM = Problem(load_spec({"name": "tiny", "heads": {"query": 1, "dim": 8}}), Example(1, 2, 2, seed=0))
EXPECTED = np.ones((1, 1, 2, 8))


def form(name: str, run: Callable[[], Array], make_error: Exception | None = None) -> Form:
    def make(problem: Problem, threads: int) -> Ready:
        if make_error is not None:
            raise make_error
        return Ready(run, lambda result: result)

    return Form(name, make)


def slow() -> Array:
    time.sleep(0.01)
    return EXPECTED


RIGHT = form("right", lambda: EXPECTED)
SLOW = form("slow", slow)
WRONG = form("wrong", lambda: EXPECTED + 1)
LACKING = form("lacking", slow, UnsupportedError("it has no window"))
BROKEN = form("broken", slow, ValueError("bad\nthing"))
OF_LAYERS = Form("of layers", RIGHT.make, lambda problem: problem.is_layer)


def best(*forms: Form) -> Chosen | Absent:
    return best_form(Peer("peer", forms), PROBLEM, 1, EXPECTED)


def test_the_fastest_right_form_is_chosen_and_the_others_are_named() -> None:
    chosen = best(SLOW, WRONG, RIGHT, BROKEN, LACKING, OF_LAYERS)
    assert isinstance(chosen, Chosen)
    assert (chosen.name, chosen.form, chosen.error) == ("peer", "right", 0.0)
    assert chosen.left_out == (
        "wrong: its result differs by 1.0e+00, and 2e-05 is allowed",
        "broken: ValueError: bad",
        "lacking: it has no window",
    )


def test_a_peer_without_a_right_form_is_absent_with_all_reasons() -> None:
    assert best(LACKING, BROKEN) == Absent("peer", "lacking: it has no window; broken: ValueError: bad")
    assert best(LACKING, LACKING) == Absent("peer", "it has no window")


def test_a_peer_whose_forms_are_for_other_work_is_absent() -> None:
    assert best(OF_LAYERS) == Absent("peer", "it does not do attention alone")


def test_a_result_of_another_shape_is_wrong() -> None:
    absent = best(form("flat", lambda: EXPECTED.reshape(-1)))
    assert isinstance(absent, Absent)
    assert "inf" in absent.reason


def test_a_reason_is_one_short_line() -> None:
    text = reason(RuntimeError("\n\n  first\nsecond"))
    assert text == "RuntimeError: first"
    assert len(reason(RuntimeError("x" * 1000))) < REASON_LENGTH + 10
