"""What a thread needs next is fetched beside what it computes: functions of kernels, run as Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from inspect import Signature, signature
from itertools import pairwise
from types import ModuleType
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest

from mhagen.backend import cpu
from mhagen.pipeline import compile_to_source
from mhagen.runtime.host import host_target
from mhagen.runtime.launch import Kernel
from mhagen.schedule.cost import load_of, with_enough_tasks
from mhagen.schedule.machine import typical_machine
from mhagen.schedule.sight import Shape
from mhagen.schedule.workload import workload_of

LINE = 64
Lines = dict[str, set[int]]  # of each array
KEY_HEADS, GROUP, BATCH = 2, 2, 2
HEADS = KEY_HEADS * GROUP
DIM, VALUE_DIM = 24, 40
GAP = 1 << 12  # bytes behind each row, so that nothing of one is in a line of another
ARRAYS = ("query", "key", "value", "out")
COUNTER, SCRATCH, OFFSETS = 1 << 20, 1 << 21, 1 << 22
MASKS = {"dense": None, "causal": "k <= q", "window": "k <= q and q - k < 90", "pruned": None}
OFFSET = 400  # of queries: a window then begins behind the first block


@cache
def built(mask: str, dtype: str) -> ModuleType:
    """A module of its own: what is replaced in it is nobody else's."""
    heads: dict[str, Any] = {"query": HEADS, "key_value": KEY_HEADS, "dim": DIM, "value_dim": VALUE_DIM}
    heads |= {"pruned": [1]} if mask == "pruned" else {}
    spec: dict[str, Any] = {"name": f"ahead_{mask}", "dtype": dtype, "heads": heads}
    keep = MASKS[mask]
    return cpu.load(compile_to_source(spec | ({"mask": {"keep": keep}} if keep else {}), tune="never")[2])


@cache
def attending(mask: str, dtype: str) -> Signature:
    return signature(built(mask, dtype).attend_block)


@dataclass
class Call:
    """One worker of a call, and what it did: lines fetched and rows used, task by task."""

    mask: str
    dtype: str
    queries: int
    keys: int
    worker: int
    workers: int
    offset: int = OFFSET
    words: dict[int, int] = field(default_factory=dict)
    tasks: Iterator[int] = field(init=False)
    fetched: list[set[int]] = field(default_factory=list)
    used: list[Lines] = field(default_factory=list)
    times: Counter[int] = field(default_factory=Counter)
    staged: list[int] = field(default_factory=list)  # rows of values, task by task

    @property
    def module(self) -> ModuleType:
        return built(self.mask, self.dtype)

    def base(self, name: str) -> int:
        return (1 + ARRAYS.index(name)) << 40

    def strides(self, name: str) -> tuple[int, int, int]:
        width = GAP
        rows = self.queries if name in ("query", "out") else self.keys
        heads = HEADS if name in ("query", "out") else KEY_HEADS
        return heads * rows * width, rows * width, width

    def first_block(self, used: Lines) -> set[int]:
        """The keys and values with which a task begins that uses these."""
        rows = min(self.module.BLOCK_KEYS, self.keys)
        found = (
            self.rows(name, min(used[name]) * LINE, rows, GAP) & used[name]
            for name in ("key", "value")
            if used[name]
        )
        return set().union(*found)

    def rows(self, name: str, first: int, count: int, stride: int) -> set[int]:
        """The cache lines of so many rows of an array."""
        size = self.module.KEY_BYTES if name in ("query", "key") else self.module.VALUE_BYTES
        starts = (first + row * stride for row in range(count))
        return {line // LINE for start in starts for line in range(start, start + size, LINE)}

    def run(self) -> None:
        self.tasks = iter(range(self.worker, 1 << 20, self.workers))
        self.words |= {OFFSETS + 8 * entry: self.offset for entry in range(BATCH)}
        self.words[COUNTER + self.module.WORKERS_AT] = self.workers
        arrays = (number for name in ARRAYS for number in (self.base(name), *self.strides(name)))
        self.module.attention_tasks(
            *arrays, BATCH, self.queries, self.keys, OFFSETS, COUNTER, SCRATCH, self.worker
        )

    def claim(self, counter: int) -> int:
        assert counter == COUNTER
        self.fetched.append(set())
        self.staged.append(0)
        self.used.append({name: set() for name in ARRAYS})
        return next(self.tasks)

    def start_group(self, query: int, query_stride: int, rows: int, *_: object) -> None:
        self.used[-1]["query"] |= self.rows(
            "query", query, min(rows, self.module.GROUP_QUERIES), query_stride
        )

    def attend_block(self, **given: int) -> None:
        for row in range(0, given["block_keys"], self.module.KEY_ROWS):
            self.module.prefetch_ahead(given["ahead"], row)
        self.used[-1]["key"] |= self.rows("key", given["key"], given["block_keys"], given["key_stride"])
        if given["value"] >> 40:  # else pairs of them, made before
            self.used[-1]["value"] |= self.rows(
                "value", given["value"], given["block_keys"], given["value_stride"]
            )
        self.used[-1]["out"] |= self.rows("out", given["out"], given["query_count"], given["out_stride"])

    def stage(self, value: int, stride: int, rows: int, target: int) -> None:
        assert rows > 0 and self.base("value") <= value
        self.staged[-1] += rows

    def prefetch(self, place: int) -> None:
        self.fetched[-1].add(place // LINE)
        self.times[place // LINE] += 1


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes the words of a module those of a call."""

    def plant(call: Call) -> Call:
        attend = attending(call.mask, call.dtype)
        module, words = call.module, call.words

        def attend_block(*given: int) -> None:
            call.attend_block(**attend.bind(*given).arguments)

        meanings = {
            "claim": call.claim,
            "load_int64": lambda place: words.get(place, 0),
            "store_int64": words.__setitem__,
            "prefetch": call.prefetch,
            "prefetch_far": call.prefetch,
            "start_group": call.start_group,
            "finish_group": lambda *_: None,
            "clear_head": lambda *_: None,
            "zip_values": call.stage,
            "copy_values": call.stage,
            "attend_block": attend_block,
        }
        for name, meaning in meanings.items():
            monkeypatch.setattr(module, name, meaning, raising=False)
        near = call.keys * (module.KEY_BYTES + module.VALUE_BYTES)
        monkeypatch.setattr(module, "NEAR_BYTES", near)  # one head is near, all are not
        return call

    return plant


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_thread_has_fetched_what_its_next_task_begins_with(
    planted: Any, mask: str, blocks: int, workers: int, dtype: str
) -> None:
    module = built(mask, dtype)
    queries = 2 * module.TILE_QUERIES + 5
    keys = blocks * module.BLOCK_KEYS - 3
    is_guessed = mask == "window" and workers > 1  # where a head begins depends on which task comes first
    for worker in range(workers):
        call = planted(Call(mask, dtype, queries, keys, worker, workers))
        call.run()
        done = [task for task in call.used if task["query"]]  # pruned heads use nothing, and come last
        assert len(done) > 1
        near = set[int]()
        for number, task in enumerate(done[1:]):
            fetched, near = call.fetched[number], near | done[number]["key"]
            assert task["query"] | task["out"] <= fetched, "queries and outputs of the next task"
            if task["key"].isdisjoint(near):  # of another head
                assert call.first_block(task) <= fetched or is_guessed, "its keys and values"


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("blocks", [1, 2])
def test_only_lines_of_the_arrays_are_fetched_and_none_twice_in_a_task(
    planted: Any, mask: str, workers: int, blocks: int
) -> None:
    module = built(mask, "float32")
    queries, keys = module.TILE_QUERIES + 9, blocks * module.BLOCK_KEYS - 3
    call = planted(Call(mask, "float32", queries, keys, 0, workers))
    everything = {
        line
        for name in ARRAYS
        for line in call.rows(name, call.base(name), BATCH * call.strides(name)[0] // GAP, GAP)
    }
    call.run()
    assert call.times
    assert call.times.keys() <= everything
    assert call.times.total() == sum(map(len, call.fetched))


def test_the_first_task_of_a_head_fetches_all_its_keys_block_by_block(planted: Any) -> None:
    module = built("dense", "float32")
    call = planted(Call("dense", "float32", module.TILE_QUERIES + 1, 3 * module.BLOCK_KEYS, 0, 1))
    call.run()
    first = call.rows("key", call.base("key") + module.BLOCK_KEYS * GAP, 2 * module.BLOCK_KEYS, GAP)
    assert first <= call.fetched[0]
    assert not first & set().union(*call.fetched[1 : 2 * GROUP - 1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_window_finds_the_keys_it_moves_to_fetched(
    planted: Any, monkeypatch: pytest.MonkeyPatch, workers: int, dtype: str
) -> None:
    module = built("window", dtype)
    queries = keys = 6 * module.TILE_QUERIES + 5
    call = planted(Call("window", dtype, queries, keys, 0, workers, offset=0))
    seen = module.TILE_QUERIES + 90 + 2 * module.KEY_ROWS  # what a task sees stays near, a head does not
    monkeypatch.setattr(module, "NEAR_BYTES", seen * (module.KEY_BYTES + module.VALUE_BYTES))
    call.run()
    done = [task for task in call.used if task["query"]]
    moves = 0
    for number, (before, task) in enumerate(pairwise(done)):
        fetched = call.fetched[number]
        assert task["query"] | task["out"] <= fetched
        for name in ("key", "value"):
            if task[name] and max(task[name]) < max(before[name]):  # of the same head
                moves += 1
                assert task[name] - before[name] <= fetched
    assert moves > len(done) // 2


@pytest.mark.parametrize("mask", ["dense", "causal"])
def test_of_heads_that_do_not_stay_near_rows_are_fetched_and_keys_for_those_who_begin_with_them(
    planted: Any, monkeypatch: pytest.MonkeyPatch, mask: str
) -> None:
    module = built(mask, "float32")
    call = planted(Call(mask, "float32", 2 * module.TILE_QUERIES, 2 * module.BLOCK_KEYS, 0, 1))
    monkeypatch.setattr(module, "NEAR_BYTES", 1)
    call.run()
    near = set[int]()
    for number, (task, following) in enumerate(pairwise(call.used[:-1])):
        begins, near = task["key"].isdisjoint(near), near | task["key"]
        later = (task["key"] | task["value"]) - call.first_block(task) if begins else set()
        assert call.fetched[number] == following["query"] | following["out"] | later


@pytest.mark.parametrize("offset", [0, 77, 400, 5000])
def test_a_task_stages_and_scores_no_key_that_its_mask_hides_from_all_its_queries(
    planted: Any, offset: int
) -> None:
    module = built("window", "bfloat16")
    tile, block = module.TILE_QUERIES, module.BLOCK_KEYS
    queries, keys, window = 2 * tile + 5, 3 * block - 3, 90
    call = planted(Call("window", "bfloat16", queries, keys, 0, 1, offset=offset))
    call.run()
    tasks = [task for task in zip(call.used, call.staged, strict=True) if task[0]["query"]]
    assert len(tasks) == HEADS * BATCH * 3
    for number, (used, staged) in enumerate(tasks):
        end = queries - number % 3 * tile
        first_key = max(0, max(0, end - tile) + offset - window + 1)
        seen = max(0, min(keys, end + offset) - first_key)
        scored = sum(line * LINE % GAP == 0 for line in used["key"])
        assert seen <= staged == scored < seen + 2 * module.KEY_ROWS


def test_what_is_near_is_not_fetched(planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = built("causal", "float32")
    call = planted(Call("causal", "float32", module.TILE_QUERIES, module.BLOCK_KEYS, 0, 1))
    monkeypatch.setattr(module, "NEAR_BYTES", 1 << 40)
    call.run()
    assert not call.times


# How many queries a task has.


@pytest.mark.parametrize("workers", [1, 2, 7, 64])
def test_the_cost_model_knows_how_many_queries_a_task_has(workers: int) -> None:
    spec = {"name": "tasks", "heads": {"query": 3, "dim": 32}}
    _, program, source = compile_to_source(spec, tune="never")
    module, work = cpu.load(source), workload_of(program.attention)
    machine = typical_machine(host_target("float32"))
    for batch in (1, 5):
        for queries in (9, 100, 1000, 5000):
            found = with_enough_tasks(work, source.schedule, Shape(batch, queries, 64), machine, workers)
            assert found.tile_queries == module.task_queries(3 * batch, queries, workers)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_tasks_are_smaller_where_threads_would_have_too_few(dtype: str) -> None:
    module = built("dense", dtype)
    tile, group, least = module.TILE_QUERIES, module.GROUP_QUERIES, module.TASKS_OF_A_THREAD
    for heads in (1, 3, 32):
        for queries in (1, group, 3 * group + 1, tile, 5 * tile + 1):
            assert module.task_queries(heads, queries, 1) == tile
            for workers in (2, 7, 64):
                found = module.task_queries(heads, queries, workers)
                assert found % group == 0 and group <= found <= tile
                assert found == group or heads * -(-queries // found) >= least * workers
                assert found == tile or heads * -(-queries // tile) < least * workers


# How many threads a call pays for.


@pytest.mark.parametrize(("queries", "keys"), [(300, 200), (2, 700)])
@pytest.mark.parametrize(
    ("dtype", "heads"), [("float32", {}), ("float32", {"pruned": [0, 1, 3]}), ("bfloat16", {})]
)
def test_the_cost_model_knows_how_much_work_a_call_says_it_is(
    dtype: str, heads: dict[str, Any], queries: int, keys: int
) -> None:
    spec = {"name": "said", "dtype": dtype, "heads": {"query": 4, "key_value": 2, "dim": 32} | heads}
    _, program, source = compile_to_source(spec, tune="never")
    module, work = cpu.load(source), workload_of(program.attention)
    query, key = (
        np.zeros((3, count, length, 32), np.uint16 if dtype == "bfloat16" else dtype)
        for count, length in ((4, queries), (2, keys))
    )
    said = Mock()
    with patch.object(Kernel, "run", said):
        module.attend(query, key, key, query.copy(), np.zeros(3, np.int64))
    machine = typical_machine(host_target(dtype))
    shape = Shape(3, queries, keys)
    assert said.call_args.args[2] == load_of(work, shape, machine, is_few=queries <= module.DECODE_QUERIES)
