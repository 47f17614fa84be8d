"""What a call sees, sampled: compared with masks that are written out."""

from __future__ import annotations

import numpy as np
import pytest

from mhagen.base.dtypes import DType
from mhagen.expr.parse import ArrayType, parse_expression
from mhagen.expr.tree import Expr
from mhagen.schedule.sight import Shape, Shares, Sight
from mhagen.tuning.looking import sight_of

SEGMENTS = {"segment": ArrayType(DType.INT32, 2)}


def expression(text: str) -> Expr:
    return parse_expression(text, constants={}, arrays=SEGMENTS)


def seen(text: str, shape: Shape) -> Sight:
    return sight_of(expression(text), 4, shape, {})


@pytest.mark.parametrize("length", [1, 7, 128, 1000, 4096])
def test_a_causal_mask_shows_half_and_half_of_the_diagonal(length: int) -> None:
    share = seen("k <= q", Shape(1, length, length)).visible_share
    assert share == pytest.approx((length + 1) / (2 * length), rel=2e-3)


def test_queries_that_stand_at_the_end_see_more() -> None:
    assert seen("k <= q", Shape(1, 1, 100, query_offset=99)).visible_share == 1.0


def test_no_mask_shows_everything() -> None:
    assert sight_of(None, 4, Shape(1, 100, 100), {}).shares(32, 64, 256) == Shares()


@pytest.mark.parametrize(("group", "tile", "block"), [(32, 64, 128), (16, 64, 64), (64, 256, 256)])
def test_tiles_of_a_causal_mask_are_classified_as_their_positions_say(
    group: int, tile: int, block: int
) -> None:
    length, cell = 256, 8
    mask = np.tril(np.ones((length, length), bool))
    tiles = mask.reshape(length // group, group, length // cell, cell)
    some, every = tiles.any(axis=(1, 3)), tiles.all(axis=(1, 3))
    blocks = mask.reshape(length // group, group, length // block, block).any(axis=(1, 3))
    found = seen("k <= q", Shape(1, length, length)).shares(group, tile, block)
    assert found.full == pytest.approx(every.mean())
    assert found.partial == pytest.approx((some & ~every).mean())
    assert found.group_blocks == pytest.approx(blocks.mean())
    assert found.passed == pytest.approx((np.repeat(blocks, block // cell, axis=1) & ~some).mean())


def test_values_are_read_from_the_first_key_seen_to_the_last() -> None:
    lines = seen("k <= q and q - k < 64", Shape(1, 1024, 1024)).shares(32, 64, 256).lines
    assert 64 / 1024 < lines < 80 / 1024


@pytest.mark.parametrize("block", [64, 256])
def test_a_task_goes_from_the_first_key_it_sees_to_the_last(block: int) -> None:
    rows = seen("k <= q and q - k < 64", Shape(1, 1024, 1024)).shares(32, 128, block).task_rows
    assert rows == pytest.approx((64 + 128) / 1024, rel=0.05)


def test_a_task_leaves_out_blocks_of_which_it_sees_nothing() -> None:
    rows = seen("k < 64 or k >= 960", Shape(1, 1024, 1024)).shares(32, 128, 128).task_rows
    assert rows == 2 * 128 / 1024


def test_a_mask_reads_its_arrays() -> None:
    keep = expression("segment[b, q] == segment[b, k]")
    segment = np.repeat(np.arange(4, dtype=np.int32), 128)[np.newaxis]
    sight = sight_of(keep, 4, Shape(1, 512, 512), {"segment": segment})
    assert sight.visible_share == pytest.approx(1 / 4)
    assert sight.shares(32, 64, 128) == Shares(1 / 4, 0.0, 0.0, 1 / 4, 1 / 4, 1 / 4)


def test_heads_are_looked_at_where_they_differ() -> None:
    assert seen("h < 2", Shape(1, 64, 64)).visible_share == 0.5


def test_very_long_calls_are_sampled() -> None:
    assert seen("k <= q", Shape(1, 1 << 17, 1 << 17)).visible_share == pytest.approx(0.5, rel=0.1)


def test_heads_that_are_few_and_in_a_pattern_are_not_missed() -> None:
    keep = expression("(h == 0 or h == 8 or h == 16 or h == 24) or q - k < 64 and k <= q")
    found = sight_of(keep, 32, Shape(1, 1024, 1024), {})
    window = (64 * 1024 - 63 * 64 / 2) / 1024**2
    assert found.visible_share == pytest.approx((4 + 28 * window) / 32, rel=1e-2)
