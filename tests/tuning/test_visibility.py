"""Tiles are never classified wrongly: the lines of the kernel beside every pair that they speak of."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from expr.random_expressions import ARRAYS, CONSTANTS, conditions
from expr.test_random import parsed
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mhagen import Spec
from mhagen.backend import cpu
from mhagen.codegen.levels import Captured
from mhagen.codegen.tiles import emit_visibility
from mhagen.expr.evaluate import evaluate
from mhagen.expr.simplify import simplify
from mhagen.expr.tree import Expr, to_text
from mhagen.pipeline import compile_to_source
from mhagen.schedule.sight import Shape
from mhagen.tuning.tiled import edges, joined, tiled
from mhagen.tuning.visibility import View, views

EXPRESSIONS = 2000
BATCH, HEADS = 2, 4
AXES: dict[str, tuple[int | str, ...]] = {
    "slope": ("query_heads",),
    "segment": ("batch", "keys"),
    "visible": ("queries", 5),
}
CAPTURED = {name: Captured(name, ARRAYS[name].dtype, axes) for name, axes in AXES.items()}
NAMES = {name: name.upper() for name in CONSTANTS}


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """The lengths of a call, the size of its tiles, one of its heads, and what its arrays hold."""
    length = st.integers(1, 48)
    return {
        "shape": Shape(1, draw(length), draw(length), draw(st.integers(-60, 60))),
        "tile": (draw(st.sampled_from([1, 3, 8, 16])), draw(st.sampled_from([1, 4, 8]))),
        "place": {"b": draw(st.integers(0, BATCH - 1)), "h": draw(st.integers(0, HEADS - 1))},
        "rng": np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        "packed": draw(st.booleans()),
    }


def values(call: dict[str, Any]) -> dict[str, np.ndarray]:
    rng, shape = call["rng"], call["shape"]
    segment = rng.integers(-2, 50, (BATCH, shape.keys)).astype(np.int32)
    return {
        "slope": rng.normal(size=HEADS).astype(np.float32),
        "segment": np.sort(segment // 16, axis=1) if call["packed"] else segment,
        "visible": rng.random((shape.queries, 5)) < 0.5,
    }


def classified(keep: Expr, call: dict[str, Any], arrays: dict[str, np.ndarray]) -> np.ndarray:
    shape = call["shape"]
    known = {"batch": BATCH, "queries": shape.queries, "keys": shape.keys, "QUERY_HEADS": HEADS}
    known |= {NAMES[name]: int(value) for name, value in CONSTANTS.items()}
    addresses = {CAPTURED[name].parameter: array for name, array in arrays.items()}
    code = emit_visibility(keep, CAPTURED, NAMES)
    return views(code, {**known, **call["place"], **edges(shape, *call["tile"])}, addresses)


def seen(keep: Expr, call: dict[str, Any], arrays: dict[str, np.ndarray]) -> np.ndarray:
    shape = call["shape"]
    q = shape.query_offset + np.arange(shape.queries)[:, np.newaxis]
    found = evaluate(keep, {**call["place"], "q": q, "k": np.arange(shape.keys)}, arrays)
    return np.broadcast_to(found, (shape.queries, shape.keys))


def test_no_tile_is_ever_classified_wrongly(record_property: Any) -> None:
    """For any condition, any offset, any size of tiles and any arrays; how many are partial without need?"""
    counts: Counter[str] = Counter()

    @settings(max_examples=EXPRESSIONS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(conditions(), calls())
    def tried(keep: Expr, call: dict[str, Any]) -> None:
        assume(parsed(to_text(keep)) is not None)  # what can wrap around or divide by 0 never reaches it
        arrays = values(call)
        found = classified(simplify(keep), call, arrays)
        pairs = seen(keep, call, arrays)
        some, every = (joined(join, pairs, call["tile"]) for join in (np.logical_or, np.logical_and))
        assert found.shape == some.shape
        assert not some[found == View.HIDDEN].any(), to_text(keep)
        assert every[found == View.FULL].all(), to_text(keep)
        counts["expressions"] += 1
        counts["tiles"] += found.size
        counts["partial"] += int((found == View.PARTIAL).sum())
        counts["needless"] += int(((found == View.PARTIAL) & (every | ~some)).sum())

    tried()
    needless = counts["needless"] / counts["tiles"]
    record_property("partial_without_need", needless)
    print(f"{dict(counts)}: {needless:.1%} of all tiles are called partial without need")
    assert counts["expressions"] >= EXPRESSIONS
    # Measured: 15 % of 90,000. Tile code bounds no reals, and looks at each condition by itself.
    assert needless < 0.3


MASKS = {
    "causal": lambda b, h, q, k: k <= q,
    "window": lambda b, h, q, k: (k <= q) & (q - k < 100),
    "dilated": lambda b, h, q, k: (abs(q - k) % 4 == 0) | (k < 16),
    "chunked": lambda b, h, q, k: (q // 64 == k // 64) & ~(q % 64 < k % 64),
    "chosen": lambda b, h, q, k: k < (q // 32 + 1) * 48 - 7 * h,
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("shape", [Shape(1, 200, 300, 0), Shape(1, 130, 513, 383)], ids=str)
def test_views_are_those_of_the_function_in_the_module(name: str, shape: Shape) -> None:
    spec = Spec(name=f"{name}_mask", heads={"query": 2, "dim": 16}, keep=MASKS[name])
    found = tiled(spec, shape)
    assert found.wrong == 0
    visibility = cpu.load(compile_to_source(spec)[-1]).visibility
    place = (0,) if "7 * h" in str(spec.mask.keep) else ()
    size = found.grid.tile
    for row, column in np.ndindex(found.views.shape):
        q, k = shape.query_offset + row * size[0], column * size[1]
        last = shape.query_offset + shape.queries - 1
        view = visibility(q, min(q + size[0] - 1, last), k, min(k + size[1], shape.keys) - 1, *place)
        assert view == found.views[row, column] or found.views[row, column] != View.PARTIAL
