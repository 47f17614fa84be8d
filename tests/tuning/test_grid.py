"""The grid: legal specs, and the work that they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mhagen.backend.acceptance import Example
from mhagen.base.dtypes import DType
from mhagen.base.errors import InputError
from mhagen.spec.load import load_spec
from mhagen.tuning.grid import DTYPES, GRID, NAMES, Row, row_named
from mhagen.tuning.problem import Problem, as_dtype

EVERY_ROW = pytest.mark.parametrize("row", GRID, ids=NAMES)


def problem(row: Row, dtype: DType = DType.FLOAT32) -> Problem:
    return Problem(load_spec(row.spec(dtype)), Example(row.batch, row.queries, row.keys, seed=0))


def tiny(keep: str | None, queries: int, keys: int, **more: object) -> Problem:
    spec = {"name": "tiny", "heads": {"query": 6, "key_value": 2, "dim": 8}, **more}
    if keep is not None:
        spec["mask"] = {"keep": keep}
    return Problem(load_spec(spec), Example(3, queries, keys, seed=0))


@EVERY_ROW
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_is_a_legal_spec(row: Row, dtype: DType) -> None:
    spec = load_spec(row.spec(dtype))
    assert spec.dtype is dtype
    assert spec.name.endswith(dtype.value)


def test_rows_have_names_of_their_own_and_know_each_other() -> None:
    assert len(set(NAMES)) == len(GRID)
    assert {row.beside for row in GRID} <= {None, *NAMES}


def test_a_row_is_found_by_its_name() -> None:
    assert row_named(" p4 DENSE ").name == "P4 dense"
    with pytest.raises(InputError, match="P4 dense"):
        row_named("P4 dens")


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("P1", 4 * 12 * 1024**2 * 64),
        ("P2", 2 * 12 * 1024**2 * 64),
        ("P5", 4 * 32 * 12 * 128**2 * 64),
        ("P10", 4 * 12 * 1024**2 * 64 + 4 * 2 * 1024 * 768**2),
    ],
)
def test_work_is_counted_by_custom(name: str, operations: int) -> None:
    assert problem(row_named(name)).operations == operations


@pytest.mark.parametrize(("name", "heads"), [("P7", 8), ("P8", 32)])
def test_decoding_is_bound_by_the_keys_and_values(name: str, heads: int) -> None:
    decoding = problem(row_named(name))
    assert decoding.is_decoding
    assert decoding.key_value_bytes == 2 * heads * 4096 * 128 * 4
    assert problem(row_named(name), DType.BFLOAT16).key_value_bytes == heads * 4096 * 128 * 4


@pytest.mark.parametrize(
    ("keep", "queries", "keys", "seen"),
    [
        (None, 5, 7, 3 * 6 * 35),
        ("k <= q", 7, 7, 3 * 6 * 49 / 2),
        ("k <= q", 1, 7, 3 * 6 * 7),
        ("k <= q", 2, 7, 3 * 6 * 13),
        ("k <= q and q - k < 2", 5, 5, 3 * 6 * 9),
        ("k < h", 5, 7, 3 * 5 * 15),
        ("b < 1 and k < h", 5, 7, 5 * 15),
    ],
)
def test_the_pairs_that_a_mask_shows_are_counted(
    keep: str | None, queries: int, keys: int, seen: float
) -> None:
    assert tiny(keep, queries, keys).visible_pairs == seen


@pytest.mark.parametrize(("keep", "shared"), [("k < length[b] + h", 1), ("k < length[b]", 4), ("k <= q", 24)])
def test_no_more_of_a_mask_is_looked_at_than_fits(
    keep: str, shared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mhagen.tuning.problem.PAIRS_AT_A_TIME", 24 * 30)
    heads, length = {"query": 4, "dim": 8}, {"shape": ["batch"], "dtype": "int32"}
    spec = load_spec({"name": "wide", "heads": heads, "mask": {"keep": keep}, "inputs": {"length": length}})
    masks = list(Problem(spec, Example(6, 50, 30, seed=0)).masks(spec.visible_expression))
    assert {mask.size for mask in masks[:-1]} == {24 * 30}
    assert sum(mask.shape[2] for mask in masks) == 50
    assert {mask.shape[0] * mask.shape[1] * shared for mask in masks} == {24}


def test_projections_of_pruned_heads_are_no_work() -> None:
    def work(**heads: Any) -> float:
        keys = {"name": "layer", "heads": {"dim": 8, **heads}, "projections": {"model_dim": 16}}
        return Problem(load_spec(keys), Example(2, 5, 5, seed=0)).operations

    assert work(query=8, key_value=4, pruned=[0, 1, 2]) == work(query=5, key_value=5) - 2 * 10 * 2 * 16 * 16


def test_arrays_come_in_the_format_of_the_spec() -> None:
    arrays = tiny(None, 2, 2, dtype="bfloat16").arguments
    assert {array.dtype.name for array in arrays.values()} == {"bfloat16"}
    assert as_dtype(np.ones(2, np.float32), DType.FLOAT16).dtype == np.float16
