"""Digests: equal for equal values in any process, different for all others."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhagen.base.digest import digest
from mhagen.base.dtypes import DType
from mhagen.base.errors import InternalError


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Tile:
    rows: int
    name: str = "tile"
    place: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Block:
    rows: int
    name: str = "tile"


@dataclass
class Changing:
    rows: int


NUMBERS: list[object] = [0, 1, -1, 2**70, True, False, None, 0.0, -0.0, 1.0, math.inf, -math.inf]
TEXTS: list[object] = ["", "1", "int", "a", "a\x00b", "\ud800", b"", b"1"]
TUPLES: list[object] = [(), ((),), ((), ()), (1, 2), (1, (2,)), ("1", 2), ("12",), ("1", "2"), (Tile(1),)]
NAMED: list[object] = [Colour.RED, Colour.BLUE, DType.FLOAT32, Tile(1), Tile(2), Tile(1, "x"), Block(1)]
VALUES = [*NUMBERS, *TEXTS, *TUPLES, *NAMED]


def test_different_values_have_different_digests() -> None:
    assert len({digest(value) for value in VALUES}) == len(VALUES)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12)


@given(values, values)
def test_digests_are_equal_exactly_when_values_are_written_equally(left: object, right: object) -> None:
    assert (digest(left) == digest(right)) == (repr(left) == repr(right))


def test_what_does_not_take_part_in_equality_does_not_take_part_in_the_digest() -> None:
    assert Tile(1, place=3) == Tile(1, place=4)
    assert digest(Tile(1, place=3)) == digest(Tile(1, place=4))


@pytest.mark.parametrize("value", [[1], {1: 2}, {1}, object(), Changing(1), Tile, 1j, (1, [2])])
def test_a_value_that_could_change_has_no_digest(value: object) -> None:
    with pytest.raises(InternalError):
        digest(value)


def test_digests_do_not_depend_on_the_process() -> None:
    program = "from mhagen.base.digest import digest; print(digest(('a', 1, 2.5, None, frozenset and True)))"
    found = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert found == {f"{digest(('a', 1, 2.5, None, True))}\n".encode()}
