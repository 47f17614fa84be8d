"""Kernels against the reference and NumPy on sizes that people use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mhagen.backend.acceptance import MOST_ALLOWED, Example, distance
from mhagen.backend.numpy_baseline import NumpyBaseline
from mhagen.base.dtypes import DType
from mhagen.ir.reference import Reference
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec
from mhagen.tuning import verification
from mhagen.tuning.samples import sample_inputs
from mhagen.tuning.sampling import MOST_SCORES
from mhagen.tuning.verification import Call, Case, fitted, measured

CASE = Case(
    *("attention", 1, 8, 8),
    error=1e-6,
    numpy_error=1e-6,
    seconds=2.0,
    numpy_seconds=5.0,
    rounds=3,
    allowed=2e-5,
)


def spec_of(**keys: object) -> Spec:
    return load_spec(
        {"name": "sample", "heads": {"query": 4, "key_value": 2, "dim": 8, "value_dim": 12}, **keys}
    )


SPECS = {
    "plain": spec_of(),
    "causal, rows first": spec_of(layout="bshd", mask={"keep": "k <= q"}),
    "nothing is seen": spec_of(mask={"keep": "k < 0"}),
    "some see nothing": spec_of(mask={"keep": "k + 3 < q"}),
    "alibi": spec_of(
        scores={"modify": "score + slope[h] * (k - q)", "scale": 0.5},
        inputs={"slope": {"shape": ["query_heads"]}},
    ),
    "without the score": spec_of(scores={"modify": "0.1 * (k - q)"}),
    "lengths": spec_of(
        mask={"keep": "k < length[b]"}, inputs={"length": {"shape": ["batch"], "dtype": "int32"}}
    ),
    "a layer": spec_of(projections={"model_dim": 20, "bias": True, "output_bias": True}),
}


@pytest.mark.parametrize("name", SPECS)
def test_plain_numpy_computes_what_the_reference_does(name: str) -> None:
    spec, example = SPECS[name], Example(2, 5, 9, seed=1)
    keywords = {**sample_inputs(spec, example), "query_offset": 4}
    arrays = example.attention(spec)
    found = NumpyBaseline(spec).attention(**arrays, **keywords)
    assert found.dtype == np.float32
    assert distance(found, Reference(spec).attention(**arrays, **keywords)) < 1e-6
    if spec.projections is not None:
        x, weights = example.x(spec), example.weights(spec)
        assert distance(NumpyBaseline(spec).layer(x, weights), Reference(spec).layer(x, weights)) < 2e-6


def test_plain_numpy_leaves_its_arguments_alone() -> None:
    spec, example = SPECS["plain"], Example(2, 5, 9, seed=1)
    arrays = example.attention(spec)
    NumpyBaseline(spec).attention(**arrays)
    assert all(np.array_equal(array, example.attention(spec)[name]) for name, array in arrays.items())


def test_a_kernel_may_lose_what_float32_loses_too() -> None:
    assert CASE.is_right
    assert not replace(CASE, error=1e-3).is_right
    assert replace(CASE, error=1e-3, allowed=2e-3).is_right
    assert not replace(CASE, error=np.nan).is_right
    assert not replace(CASE, error=np.inf).is_right


def test_speed_is_compared_as_a_ratio() -> None:
    assert CASE.times_faster == 2.5


def test_lengths_are_halved_until_the_reference_can_hold_the_scores() -> None:
    wide = load_spec({"name": "wide", "heads": {"query": 128, "dim": 8}})
    example = fitted(wide, 1, 1024, 1024)
    assert (example.queries, example.keys) == (256, 256)
    assert 128 * example.queries * example.keys <= MOST_SCORES
    assert fitted(wide, 1, 1, 1024) == Example(1, 1, 1024, 0)


def test_errors_are_those_of_the_output_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "SECONDS_OF_A_CASE", 0.001)
    right, statistics = np.ones((1, 2)), np.zeros(3)

    def giving(value: float) -> Callable[[], object]:
        return lambda: (value * right, statistics)

    kernel, reference, numpy = giving(1.25), giving(1.0), lambda: right + 0.5
    call = Call("attention", DType.FLOAT32, Example(1, 2, 2, 0), kernel, reference, numpy)
    case = measured(call)
    assert (case.error, case.numpy_error, case.allowed) == (0.25, 0.5, MOST_ALLOWED)
    assert case.seconds > 0 < case.numpy_seconds


def test_overflow_of_plain_arithmetic_excuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "SECONDS_OF_A_CASE", 0.001)
    kernel, reference, numpy = (partial(np.full, (1, 2), each) for each in (0.0, 1.0, np.nan))
    case = measured(Call("attention", DType.FLOAT32, Example(1, 2, 2, 0), kernel, reference, numpy))
    assert case.allowed == 2e-5
    assert not case.is_right


INPUTS = spec_of(
    inputs={
        "segment": {"shape": ["batch", "keys"], "dtype": "int32"},
        "length": {"shape": ["batch"], "dtype": "int64"},
        "slope": {"shape": ["query_heads", 3]},
        "allowed": {"shape": ["queries", "keys"], "dtype": "bool"},
    }
)


def test_sampled_arrays_have_the_shape_and_dtype_that_the_spec_says() -> None:
    arrays = sample_inputs(INPUTS, Example(3, 7, 40, seed=0))
    shapes = {"segment": (3, 40), "length": (3,), "slope": (4, 3), "allowed": (7, 40)}
    assert {name: array.shape for name, array in arrays.items()} == shapes
    assert {name: DType(str(array.dtype)) for name, array in arrays.items()} == {
        name: each.dtype for name, each in INPUTS.inputs.items()
    }


def test_labels_rise_and_lengths_are_between_half_and_all() -> None:
    arrays = sample_inputs(INPUTS, Example(500, 7, 41, seed=0))
    assert (np.diff(arrays["segment"], axis=-1) >= 0).all()
    assert len(np.unique(arrays["segment"])) > 1
    assert arrays["length"].min() >= 21
    assert arrays["length"].max() == 41


def test_samples_are_the_same_each_time() -> None:
    example = Example(2, 3, 4, seed=5)
    first, second = sample_inputs(INPUTS, example), sample_inputs(INPUTS, example)
    assert all(np.array_equal(first[name], second[name]) for name in first)
