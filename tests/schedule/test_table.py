"""A table of schedules: the first range that holds a call serves it, and lengths alone order sums."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhagen.base.dtypes import DType
from mhagen.base.target import AVX512_BF16
from mhagen.runtime.entry import Doubt
from mhagen.schedule.choose import DEFAULTS
from mhagen.schedule.plan import SIZES_OF_A_CALL, SIZES_OF_SUMS, Schedule
from mhagen.schedule.sight import Shape
from mhagen.schedule.table import (
    EVERY_CALL,
    MOST_ENTRIES,
    Bounds,
    Entry,
    Range,
    ScheduleTable,
    faults,
    sizes,
)
from mhagen.schedule.written import table_from_json, table_to_json

from .tables import FEW, LONG, PLAN, TARGET, any_tables, legal_tables, table

LENGTHS = st.integers(1, 25)
SHORT = Range(queries=Bounds(1, 64), keys=Bounds(1, 128))
THREE = table((SHORT, FEW), (Range(keys=Bounds(1024), threads=Bounds(2)), LONG), (EVERY_CALL, PLAN))


@given(any_tables(), LENGTHS, LENGTHS, LENGTHS, LENGTHS)
def test_the_first_range_that_holds_a_call_serves_it(
    given_table: ScheduleTable, queries: int, keys: int, batch: int, threads: int
) -> None:
    shape = Shape(batch, queries, keys)
    place = given_table.place(shape, threads)
    served = [each.range.serves(shape, threads) for each in given_table.entries]
    assert served.index(True) == place
    assert given_table.pick(shape, threads) == given_table.entries[place].schedule


@given(legal_tables())
def test_a_legal_table_sums_in_an_order_that_lengths_alone_decide(given_table: ScheduleTable) -> None:
    for queries, keys in product(range(1, 20, 5), repeat=2):
        picked = {
            sizes(given_table.pick(Shape(batch, queries, keys), threads), SIZES_OF_SUMS)
            for batch, threads in product(range(1, 20, 2), repeat=2)
        }
        assert len(picked) == 1


@given(any_tables())
def test_a_table_comes_back_from_json_as_it_was(given_table: ScheduleTable) -> None:
    assert table_from_json(json.loads(json.dumps(table_to_json(given_table)))) == given_table


@given(legal_tables())
def test_a_table_can_be_read_by_people(given_table: ScheduleTable) -> None:
    lines = str(given_table).splitlines()
    assert len(lines) == len(set(lines)) == len(given_table.entries)
    assert lines[-1].startswith("all other calls: tile_queries ")


def test_bounds_are_said_in_words() -> None:
    texts = {Bounds(): "any", Bounds(5): "from 5", Bounds(1, 7): "up to 7", Bounds(3, 3): "3"}
    assert {each: str(each) for each in texts} == texts
    assert str(SHORT) == "queries up to 64, keys up to 128"
    assert str(Range(batch=Bounds(2, 8), threads=Bounds(1, 1))) == "batch 2 to 8, threads 1"


def test_small_calls_are_at_home_where_their_range_is() -> None:
    assert THREE.home == 0
    assert table((Range(keys=Bounds(1024)), LONG), (EVERY_CALL, PLAN)).home == 1


def test_a_legal_table_has_no_faults() -> None:
    assert faults(THREE, TARGET) == ()
    assert faults(ScheduleTable.of(PLAN), TARGET) == ()


WIDE = replace(PLAN, tile_queries=128, query_vectors=4, key_rows=4)
# Illegal tables, and what is said of them.
ILLEGAL = {
    "empty": (ScheduleTable(()), "1 to 12 entries"),
    "endless": (table(*[(SHORT, FEW)] * MOST_ENTRIES, (EVERY_CALL, PLAN)), "1 to 12 entries"),
    "partial": (table((SHORT, FEW)), "the last entry is for every call"),
    "hidden": (table((SHORT, FEW), (SHORT, PLAN), (EVERY_CALL, PLAN)), "entry 1 serves no call"),
    "backwards": (table((Range(keys=Bounds(9, 3)), FEW), (EVERY_CALL, PLAN)), "9 to 3 holds none"),
    "below": (table((Range(keys=Bounds(0, 3)), FEW), (EVERY_CALL, PLAN)), "0 to 3 holds none"),
    "beyond": (table((Range(keys=Bounds(1, 1 << 80)), FEW), (EVERY_CALL, PLAN)), "holds none"),
    "two texts": (table((SHORT, WIDE), (EVERY_CALL, PLAN)), "another key_rows, query_vectors: register"),
    "spilling": (ScheduleTable.of(replace(PLAN, key_rows=32)), "must fit the registers"),
    "ragged": (table((SHORT, replace(FEW, tile_queries=33)), (EVERY_CALL, PLAN)), "entry 0: a task is a"),
    "huge": (ScheduleTable.of(replace(PLAN, chunk_keys=1 << 40)), "no task is larger"),
    "nothing": (ScheduleTable.of(replace(PLAN, decode_queries=0)), "every size counts"),
    "negative": (ScheduleTable.of(replace(PLAN, value_rows=-8)), "every size counts"),
    "by batch": (table((Range(batch=Bounds(1, 4)), FEW), (EVERY_CALL, PLAN)), "entries 0, 1 share calls"),
    "by threads": (table((Range(threads=Bounds(2)), FEW), (EVERY_CALL, PLAN)), "results would depend on the"),
    "by both": (
        table((SHORT, FEW), (Range(queries=Bounds(9, 90), threads=Bounds(1, 1)), FEW), (EVERY_CALL, PLAN)),
        "entries 1, 2 share calls of 9 queries and 129 keys",
    ),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_table_is_told_why(name: str) -> None:
    given_table, said = ILLEGAL[name]
    assert said in "; ".join(faults(given_table, TARGET))


def test_what_one_entry_hides_from_another_may_differ() -> None:
    """Of 1 to 64 queries the third entry serves none, whatever the batch: its sums do not matter."""
    some = Range(queries=Bounds(1, 64), keys=Bounds(1, 128), batch=Bounds(1, 1))
    three = table((some, replace(FEW, tile_queries=64)), (SHORT, FEW), (EVERY_CALL, PLAN))
    assert faults(three, TARGET) == ()


def test_rules_know_the_dtype() -> None:
    plan = DEFAULTS[AVX512_BF16.name]
    assert faults(ScheduleTable.of(plan), AVX512_BF16, DType.BFLOAT16) == ()
    odd = ScheduleTable.of(replace(plan, key_rows=3, block_keys=255))
    assert "a pair would lie in two" in "; ".join(faults(odd, AVX512_BF16, DType.BFLOAT16))
    split = ScheduleTable.of(replace(plan, linear_depth=512))
    assert "takes all inputs at once" in "; ".join(faults(split, AVX512_BF16, DType.BFLOAT16))


def test_sizes_of_sums_are_sizes_of_a_call() -> None:
    assert set(SIZES_OF_SUMS) < set(SIZES_OF_A_CALL) < {field.name for field in fields(Schedule)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_what_is_no_table_is_doubted(value: object) -> None:
    with pytest.raises(Doubt):
        table_from_json(value)


def places(value: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where in JSON anything stands."""
    match value:
        case dict():
            inner = list(value.items())
        case list():
            inner = list(enumerate(value))
        case _:
            inner = []
    return [above, *(place for key, part in inner for place in places(part, (*above, key)))]


def changed(value: Any, place: tuple[str | int, ...], part: object) -> Any:
    if not place:
        return part
    copied = value.copy()
    copied[place[0]] = changed(value[place[0]], place[1:], part)
    return copied


@given(st.data(), JSON)
def test_whatever_stands_in_a_table_it_is_doubted_or_it_is_a_table(data: st.DataObject, part: object) -> None:
    """Nothing but Doubt is raised, and nothing but integers gets through to the rules, which judge any."""
    written = json.loads(json.dumps(table_to_json(THREE)))
    place = data.draw(st.sampled_from(places(written)))
    try:
        found = table_from_json(changed(written, place, part))
    except Doubt:
        return
    assert all(type(size) is int for entry in found.entries for size in asdict(entry.schedule).values())
    faults(found, TARGET)


@pytest.mark.parametrize("name", ["keys", "schedule"])
def test_an_entry_has_all_of_its_keys_and_no_other(name: str) -> None:
    entry = dict(table_to_json(ScheduleTable.of(PLAN))["entries"][0])
    for wrong in ({**entry, "comment": "x"}, {key: part for key, part in entry.items() if key != name}):
        with pytest.raises(Doubt, match="an entry has queries, keys, batch, threads, schedule"):
            table_from_json({"entries": [wrong]})


def test_an_entry_is_a_value() -> None:
    assert Entry(SHORT, FEW) == Entry(replace(SHORT), replace(FEW))
    assert len({THREE, table_from_json(table_to_json(THREE))}) == 1
