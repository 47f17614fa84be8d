"""Products with packed weights: any sizes, exact where numbers are whole, and clear about wrong weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhagen.backend import cpu
from mhagen.base.errors import InputError
from mhagen.ir.program import build_program
from mhagen.passes import PASSES, run_passes
from mhagen.runtime.linear import LinearKernel, Part, Prepared, Product
from mhagen.schedule.choose import choose_schedule
from mhagen.schedule.table import ScheduleTable
from mhagen.spec.load import load_spec

from .lanes import MACHINES, page_before_a_forbidden_one, survives

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]

SPEC = {"name": "products", "heads": {"query": 2, "dim": 24}, "projections": {"model_dim": 40}}
# Small blocks, so that small arrays have several of each.
DEPTH, BLOCK_TILES = 16, 2


@pytest.fixture(scope="module", params=MACHINES)
def linear(request: pytest.FixtureRequest) -> LinearKernel:
    """The products of a generated module; they serve layers of any sizes."""
    target = request.param.target
    program = build_program(load_spec(SPEC)).map(lambda graph: run_passes(graph, PASSES))
    plan = choose_schedule(program.attention, target)
    plan = replace(plan, linear_depth=DEPTH, linear_block_rows=BLOCK_TILES * plan.linear_rows)
    kernel = cpu.load(cpu.generate(program, ScheduleTable.of(plan), target)).LINEAR
    assert isinstance(kernel, LinearKernel)
    return kernel


LAYER = Product(
    depth=DEPTH + 5,
    parts=(
        Part("wq", "bq", heads=3, dim=40),
        Part("wk", None, heads=1, dim=7),
        Part("wv", "bv", heads=2, dim=33),
    ),
)


def weights_of(product: Product, seed: int = 0, *, whole: bool = False) -> Weights:
    rng = np.random.default_rng(seed)
    arrays: Weights = {}
    for part in product.parts:
        outputs = part.heads * part.dim
        arrays[part.weight] = numbers(rng, (outputs, product.depth), whole=whole)
        if part.bias is not None:
            arrays[part.bias] = numbers(rng, (outputs,), whole=whole)
    return arrays


def numbers(rng: np.random.Generator, shape: tuple[int, ...], *, whole: bool) -> Array:
    """Normal numbers, or small whole ones, of which every sum is exact."""
    if whole:
        return rng.integers(-8, 9, shape).astype(np.float32)
    return rng.standard_normal(shape, dtype=np.float32)


def inputs(product: Product, batch: int, length: int, seed: int = 1, *, whole: bool = False) -> Array:
    return numbers(np.random.default_rng(seed), (batch, length, product.depth), whole=whole)


def expected_heads(part: Part, weights: Weights, x: Array) -> Array:
    """(batch, heads, length, dim) in float64."""
    flat = x.astype(np.float64) @ weights[part.weight].astype(np.float64).T
    if part.bias is not None:
        flat = flat + weights[part.bias]
    return flat.reshape(*x.shape[:2], part.heads, part.dim).transpose(0, 2, 1, 3)


def project(linear: LinearKernel, product: Product, weights: Weights, x: Array) -> tuple[Array, ...]:
    return linear.project(product, linear.prepare((product,), weights), x)


@st.composite
def products(draw: st.DrawFn) -> Product:
    depth = draw(st.sampled_from([1, 2, DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH, 3 * DEPTH + 7]))
    count = draw(st.integers(1, 3))
    parts = [
        Part(
            f"w{i}",
            draw(st.sampled_from([None, f"b{i}"])),
            heads=draw(st.integers(1, 3)),
            dim=draw(st.sampled_from([1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 65])),
        )
        for i in range(count)
    ]
    return Product(depth, tuple(parts))


@given(product=products(), batch=st.integers(1, 3), length=st.integers(1, 40), seed=st.integers(0, 999))
def test_products_of_whole_numbers_are_exact(
    linear: LinearKernel, product: Product, batch: int, length: int, seed: int
) -> None:
    weights, x = weights_of(product, seed, whole=True), inputs(product, batch, length, seed, whole=True)
    for part, found in zip(product.parts, project(linear, product, weights, x), strict=True):
        assert found.shape == (batch, part.heads, length, part.dim) and found.dtype == np.float32
        np.testing.assert_array_equal(found, expected_heads(part, weights, x))


def test_a_sum_is_rounded_no_more_than_its_length_asks(linear: LinearKernel) -> None:
    product = replace(LAYER, depth=500)
    weights, x = weights_of(product), inputs(product, 2, 30)
    sizes = {name: np.abs(array) for name, array in weights.items()}
    for part, found in zip(product.parts, project(linear, product, weights, x), strict=True):
        bound = expected_heads(part, sizes, np.abs(x)) * product.depth * 2.0**-24
        assert (np.abs(found - expected_heads(part, weights, x)) <= bound).all()


def test_each_row_of_heads_is_contiguous(linear: LinearKernel) -> None:
    for found in project(linear, LAYER, weights_of(LAYER), inputs(LAYER, 2, 9)):
        assert found.strides[2:] == (4 * found.shape[3], 4)


def test_a_row_does_not_depend_on_its_neighbours(linear: LinearKernel) -> None:
    weights, x = weights_of(LAYER), inputs(LAYER, 1, 21)
    x[0, 3], x[0, 20] = np.nan, np.inf
    prepared = linear.prepare((LAYER,), weights)
    together = linear.project(LAYER, prepared, x)
    for row in range(21):
        alone = linear.project(LAYER, prepared, x[:, row : row + 1])
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[:, :, 0], all_[:, :, row])


def test_results_do_not_depend_on_the_number_of_threads(
    linear: LinearKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = replace(LAYER, depth=400)
    prepared = linear.prepare((product,), weights_of(product))
    x = inputs(product, 2, 200)
    results = set()
    for threads in (1, 2, 5):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        for _ in range(3):
            results.add(b"".join(found.tobytes() for found in linear.project(product, prepared, x)))
    assert len(results) == 1


def test_no_rows_give_no_rows(linear: LinearKernel) -> None:
    for batch, length in ((0, 5), (3, 0)):
        for part, found in zip(
            LAYER.parts, project(linear, LAYER, weights_of(LAYER), inputs(LAYER, batch, length)), strict=True
        ):
            assert found.shape == (batch, part.heads, length, part.dim)


INPUT_STRIDES: dict[str, Callable[[Array], Array]] = {
    "gaps between rows": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "length before batch": lambda x: np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1),
    "backwards": lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    "one row for all": lambda x: np.broadcast_to(x[:1, :1], x.shape),
}


@pytest.mark.parametrize("strided", INPUT_STRIDES.values(), ids=INPUT_STRIDES.keys())
def test_rows_may_lie_anywhere(linear: LinearKernel, strided: Callable[[Array], Array]) -> None:
    weights, x = weights_of(LAYER), strided(inputs(LAYER, 2, 11))
    prepared = linear.prepare((LAYER,), weights)
    plain = linear.project(LAYER, prepared, np.ascontiguousarray(x))
    for found, expected in zip(linear.project(LAYER, prepared, x), plain, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_heads_are_merged_in_place_of_a_concatenation(linear: LinearKernel) -> None:
    heads, dim, width = 3, 13, 45
    product = Product(heads * dim, (Part("wo", "bo", heads=1, dim=width),))
    weights = weights_of(product, whole=True)
    prepared = linear.prepare((product,), weights)
    values = numbers(np.random.default_rng(2), (2, heads, 19, dim), whole=True)
    expected = values.transpose(0, 2, 1, 3).reshape(2, 19, heads * dim) @ weights["wo"].T + weights["bo"]
    for contiguous in (True, False):
        found = values.transpose(0, 2, 1, 3)
        found = linear.merge_heads(product, prepared, np.ascontiguousarray(found) if contiguous else found)
        np.testing.assert_array_equal(found, expected)


def test_weights_may_lie_anywhere_and_may_change_later(linear: LinearKernel) -> None:
    weights, x = weights_of(LAYER), inputs(LAYER, 1, 5)
    expected = project(linear, LAYER, weights, x)
    strided = {name: np.repeat(array, 2, axis=-1)[..., ::2] for name, array in weights.items()}
    fortran = {name: np.asfortranarray(array) for name, array in weights.items()}
    for variant in (strided, fortran):
        prepared = linear.prepare((LAYER,), variant)
        for array in variant.values():
            array[...] = np.nan
        for found, known in zip(linear.project(LAYER, prepared, x), expected, strict=True):
            np.testing.assert_array_equal(found, known)


def test_nothing_behind_any_array_is_touched(linear: LinearKernel) -> None:
    product = Product(DEPTH + 3, (Part("w", "b", heads=1, dim=21),))
    panels = linear.prepare((product,), weights_of(product)).of(product, linear.packing)
    with page_before_a_forbidden_one() as x_page, page_before_a_forbidden_one() as out_page:

        def work() -> None:
            for rows in range(1, 20):
                x, out = (
                    page[len(page) - 4 * rows * width :].view(np.float32).reshape(rows, width)
                    for page, width in ((x_page, product.depth), (out_page, 21))
                )
                linear.multiply(product, panels, x, out)

        assert survives(work)


WRONG_WEIGHTS: dict[str, tuple[dict[str, Any], str]] = {
    "one is missing": ({"wk": None}, "weights lacks wk; needs wq, bq, wk, wv, bv"),
    "several are missing": ({"wq": None, "bq": None}, "weights lacks wq, bq; needs wq, bq, wk, wv, bv"),
    "one is unknown": ({"bk": np.zeros(7)}, "weights has unknown bk; needs wq, bq, wk, wv, bv"),
    "one is misspelt": (
        {"wk": None, "wK": np.zeros(7)},
        "weights lacks wk and has unknown wK; needs wq, bq, wk, wv, bv",
    ),
    "a name is no text": ({"wk": None, 3: np.zeros(7)}, "weights lacks wk and has unknown 3; needs wq"),  # type: ignore[dict-item]
    "one is turned over": ({"wk": np.zeros((21, 7), np.float32)}, r"wk .*\(21, 7\).*\(7, 21\)"),
    "one is too short": ({"wq": np.zeros((119, 21), np.float32)}, r"wq .*\(119, 21\).*\(120, 21\)"),
    "a bias is a column": ({"bv": np.zeros((66, 1), np.float32)}, r"bv .*\(66, 1\)"),
    "one is of float64": ({"wv": np.zeros((66, 21))}, r"wv .*float64.*float32"),
    "one is a list": ({"wv": [[1.0]]}, "wv is a list"),
}


@pytest.mark.parametrize(("change", "message"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS.keys())
def test_wrong_weights_are_named(linear: LinearKernel, change: dict[str, Any], message: str) -> None:
    weights = {name: array for name, array in (weights_of(LAYER) | change).items() if array is not None}
    with pytest.raises(InputError, match=message):
        linear.prepare((LAYER,), weights)


@pytest.mark.parametrize("weights", [None, 3, [np.zeros(3)], np.zeros(3)], ids=type)
def test_weights_that_are_no_mapping_are_refused(linear: LinearKernel, weights: Any) -> None:
    name = type(weights).__name__
    with pytest.raises(InputError, match=f"^weights is a {name}; needs a mapping of names to arrays$"):
        linear.prepare((LAYER,), weights)


def test_weights_of_another_layer_are_refused(linear: LinearKernel) -> None:
    other = replace(LAYER, depth=LAYER.depth + 1)
    prepared = linear.prepare((other,), weights_of(other))
    assert isinstance(prepared, Prepared)
    with pytest.raises(InputError, match="weights were prepared for another layer"):
        linear.project(LAYER, prepared, inputs(LAYER, 1, 3))


def test_all_products_of_a_layer_are_prepared_at_once(linear: LinearKernel) -> None:
    query = replace(LAYER, parts=LAYER.parts[:1])
    weights, x = weights_of(LAYER), inputs(LAYER, 1, 3)
    prepared = linear.prepare((LAYER, query), weights)
    np.testing.assert_array_equal(
        linear.project(query, prepared, x)[0], linear.project(LAYER, prepared, x)[0]
    )
