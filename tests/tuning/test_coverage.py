"""How much of a mask is seen."""

from __future__ import annotations

import numpy as np
import pytest

from mhagen.spec.load import load_spec
from mhagen.tuning.coverage import CELLS, Coverage, coverage, sampled_positions


def covered(keep: str, **keys: object) -> Coverage:
    spec = load_spec({"name": "sample", "heads": {"query": 2, "dim": 8}, "mask": {"keep": keep}, **keys})
    expression = spec.keep_expression
    assert expression is not None
    return coverage(spec, expression)


@pytest.mark.parametrize(
    ("keep", "length"),
    [
        ("k <= q", 64),
        ("q - k < 16", 64),
        ("q - k < 17", 128),
        ("q - k < window", 1024),
        ("q - k < 2000000000", 4096),
    ],
)
def test_a_window_is_a_quarter_of_the_picture_or_less(keep: str, length: int) -> None:
    assert covered(keep, constants={"window": 256}).length == length


def test_the_number_of_a_head_is_no_length() -> None:
    keep = "k <= q and (h == 900 or 500 <= h and h < 800 or q - k < 32)"
    assert covered(keep, heads={"query": 1000, "dim": 8}).length == 128


def test_squares_are_whole_empty_or_seen_in_part() -> None:
    squares = np.array(covered("k <= q").squares)
    assert squares.shape == (CELLS, CELLS)
    assert (squares[np.tril_indices(CELLS, -1)] == 1).all()
    assert (squares[np.triu_indices(CELLS, 1)] == 0).all()
    assert ((np.diag(squares) > 0) & (np.diag(squares) < 1)).all()


def test_the_edges_of_a_square_are_looked_at() -> None:
    positions = sampled_positions(1024)
    assert len(positions) == CELLS * 8
    assert {0, 63, 64, 127, 960, 1023} <= set(positions.tolist())


def test_the_share_is_about_that_of_all_pairs() -> None:
    assert covered("k <= q and q - k < window", constants={"window": 256}).share == pytest.approx(
        0.22, abs=0.02
    )
    assert covered("k >= 0").share == 1.0


def test_a_mask_of_heads_and_batch_entries_is_that_of_the_first() -> None:
    assert covered("h > 0 or b > 0").share == 0.0
