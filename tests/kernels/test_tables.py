"""A module with a table of schedules: which entry serves a call shows in its speed, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mhagen.backend import cpu
from mhagen.base.digest import digest
from mhagen.base.errors import InternalError
from mhagen.base.target import AVX2, AVX512, AVX512_BF16, NEON, Target
from mhagen.pipeline import compile_to_source, load_kernel
from mhagen.runtime.identity import function_identity
from mhagen.runtime.launch import Kernel, bound
from mhagen.runtime.threads import threads
from mhagen.schedule.plan import SIZES_OF_SUMS, Schedule
from mhagen.schedule.sight import Shape as Lengths
from mhagen.schedule.table import EVERY_CALL, Bounds, Entry, Range, ScheduleTable, faults

from .calls import Shape, assert_right, bits, bits_of, named, same_bits
from .specs import BY_NAME, Case, case, register

ROOT = Path(__file__).resolve().parents[2]
# The first has a short way in; the other has arguments and results that it does not serve.
SHORT_WAY = register(case("short_way", "4/2 32/32", keep="k <= q", lse=False))
CASES = [SHORT_WAY, BY_NAME["everything"]]
each_case = pytest.mark.parametrize("case", CASES, ids=repr)
# Around the edges of the ranges below.
QUERIES, KEYS, BATCHES, THREADS = (1, 3, 4, 20, 21), (48, 49, 99, 100, 131), (1, 2, 3), (1, 2)


def table_of(plan: Schedule, group: int) -> ScheduleTable:
    """Three entries that differ in all that entries may differ in; `group` queries are side by side."""
    rows = plan.key_rows
    last = replace(plan, block_keys=4 * rows, chunk_keys=64, decode_queries=8)
    few = replace(last, tile_queries=group, block_keys=2 * rows, chunk_keys=48, decode_queries=3)
    wide = replace(last, tile_queries=3 * group)
    return ScheduleTable(
        (
            Entry(Range(Bounds(1, 20), Bounds(1, 48)), few),
            Entry(Range(Bounds(4), Bounds(100), Bounds(1, 2), Bounds(2)), wide),
            Entry(EVERY_CALL, last),
        )
    )


@cache
def tabled(name: str) -> tuple[ScheduleTable, cpu.Source]:
    case = BY_NAME[name]
    table = table_of(case.schedule, case.schedule.query_vectors * case.target.lanes)
    assert faults(table, case.target) == ()
    return table, compile_to_source(case.spec, target=case.target, tune=table)[2]


def module_of(case: Case) -> ModuleType:
    return cpu.load(tabled(case.spec.name)[1])


def alone(case: Case, schedule: Schedule) -> ModuleType:
    """The module that has one schedule for all calls."""
    return load_kernel(*compile_to_source(case.spec, tune=ScheduleTable.of(schedule))).module


def shapes() -> Iterator[Shape]:
    for seed, (queries, keys, batch) in enumerate(product(QUERIES, KEYS, BATCHES)):
        yield Shape(batch, queries, keys, seed, scores=4.0)


@each_case
def test_every_entry_equals_the_reference(case: Case) -> None:
    module = module_of(case)
    for shape in shapes():
        call = shape.random(case) | {"query_offset": shape.keys - shape.queries}
        with threads(THREADS[shape.seed % 2]):
            assert_right(case.spec, module.attention(**call), call)


@each_case
def test_a_result_depends_neither_on_threads_nor_on_the_batch(case: Case) -> None:
    """Not even where another entry serves the call because of them."""
    module, longest = module_of(case), Shape(3, 40, 131, scores=4.0)
    for queries, keys in [(4, 100), (21, 131), (40, 100)]:
        call = replace(longest, queries=queries, keys=keys).random(case)
        with threads(1):
            gold = named(case.spec, module.attention(**call))
        for count, batch in product((1, 2, 3), BATCHES):
            part = {name: first(case, name, array, batch) for name, array in call.items()}
            with threads(count):
                found = bits(case.spec, module.attention(**part))
            for name, array in found.items():
                np.testing.assert_array_equal(array, bits_of(gold[name][:batch]), err_msg=name)


def first(case: Case, name: str, array: np.ndarray[Any, Any], batch: int) -> np.ndarray[Any, Any]:
    """The first entries of a batch, of arguments that have one."""
    declared = case.spec.inputs.get(name)
    return array[:batch] if declared is None or "batch" in declared.shape else array


def test_a_result_does_not_depend_on_the_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small call reads the headers of its arrays itself."""
    module = module_of(SHORT_WAY)
    calls = [shape.random(SHORT_WAY) for shape in shapes()]
    short = [module.attention(**call) for call in calls]
    monkeypatch.setattr(Kernel, "attend", lambda *_: None)
    for call, found in zip(calls, short, strict=True):
        same_bits(SHORT_WAY.spec, found, module.attention(**call))


def test_small_calls_of_every_entry_take_the_short_way() -> None:
    module = module_of(SHORT_WAY)
    for queries, keys in [(1, 16), (4, 48), (20, 49), (21, 16)]:
        call = Shape(1, queries, keys).random(SHORT_WAY)
        kernel = module.kernel_for(call["query"], call["key"])
        kernel.load()
        assert kernel.attend(call["query"], call["key"], call["value"], None, None) is not None


STEEP = {"plain": 9.0, "everything": 4.0}


def changes(case: Case, name: str, size: int) -> bool:
    """Does another size change a bit of some result?"""
    plan = case.schedule
    lengths = [(3, 700), (40, 600), (131, 259)]
    calls = [Shape(2, *each, seed=5, scores=STEEP[case.spec.name]).random(case) for each in lengths]
    one, other = alone(case, plan), alone(case, replace(plan, **{name: size}))
    return any(
        not np.array_equal(array, bits(case.spec, other.attention(**call))[which])
        for call in calls
        for which, array in bits(case.spec, one.attention(**call)).items()
    )


@pytest.mark.parametrize("name", STEEP)
def test_the_size_of_a_task_changes_no_bit(name: str) -> None:
    """So it may depend on the batch and on threads."""
    case = BY_NAME[name]
    group = case.schedule.query_vectors * case.target.lanes
    for groups in (1, 8):
        assert not changes(case, "tile_queries", groups * group)


@pytest.mark.parametrize(("size", "other"), [("block_keys", 64), ("chunk_keys", 64), ("decode_queries", 2)])
def test_sizes_of_sums_do_change_bits(size: str, other: int) -> None:
    """So the rule that keeps them apart from the batch is needed."""
    assert size in SIZES_OF_SUMS
    assert changes(BY_NAME["plain"], size, other)


FORMATS = [
    *((target, "float32") for target in (AVX512, AVX2, NEON)),
    *((AVX512, "float64"), (AVX512, "bfloat16"), (AVX512_BF16, "bfloat16"), (AVX2, "float16")),
]


@pytest.mark.parametrize(("target", "dtype"), FORMATS, ids=lambda each: getattr(each, "name", each))
def test_the_kernels_of_an_entry_are_those_of_its_schedule_alone(target: Target, dtype: str) -> None:
    """Every constant that the sizes have a part in has the value it has in a module of this schedule."""
    heads = {"query": 4, "key_value": 2, "dim": 40, "value_dim": 24}
    spec = {"name": "formats", "dtype": dtype, "heads": heads, "mask": {"keep": "k <= q"}}
    plan = compile_to_source(spec, target=target, tune="never")[2].schedule
    table = table_of(plan, plan.query_vectors * target.lanes)
    module = cpu.load(compile_to_source(spec, target=target, tune=table)[2])
    for entry, each in zip(module.TABLE, table.entries, strict=True):
        gold = cpu.load(compile_to_source(spec, target=target, tune=ScheduleTable.of(each.schedule))[2])
        sizes = (gold.DECODE_QUERIES, gold.CHUNK_KEYS, gold.ROWS_OF_TASK)
        assert (entry.decode_queries, entry.chunk_keys, entry.rows_of_task) == sizes
        for found, wanted in ((entry.kernel, gold.KERNEL), (entry.decode, gold.DECODE)):
            assert identity(found).items() <= identity(wanted).items()
            assert found.scratch_bytes == wanted.scratch_bytes
            assert found.functions[-1].__name__ == wanted.functions[-1].__name__


def identity(kernel: Kernel) -> dict[str, str]:
    """Of each function its digest, without the choice of an entry, which only the short way in calls."""
    functions = [each for each in kernel.functions if each.__name__ != "serving_entry"]
    return {each.__name__: digest(function_identity(each, kernel.functions)) for each in functions}


@each_case
def test_every_constant_of_an_entry_is_in_the_key(case: Case) -> None:
    module = module_of(case)
    for kernel in {*(entry.kernel for entry in module.TABLE), *(entry.decode for entry in module.TABLE)}:
        constants = {name for each in kernel.functions for name in each.__code__.co_names if name.isupper()}
        constants = {name for name in constants if type(getattr(module, name, None)) is int}
        assert {"SCRATCH_BYTES", "TILE_QUERIES"} < constants or {"CHUNK_KEYS", "SCORES"} < constants
        for name in constants:
            changed = replace_constant(kernel, name)
            assert digest(changed.key) != digest(kernel.key), f"{name} can change, and the key does not"


def replace_constant(kernel: Kernel, name: str) -> Kernel:
    return kernel.with_constants(scratch_bytes=kernel.scratch_bytes, **{name: 977})


def test_a_constant_that_no_kernel_reads_is_refused() -> None:
    functions = module_of(SHORT_WAY).KERNEL.functions
    for name in ("TILE_QUERY", "attend_block", "LOWEST"):
        with pytest.raises(InternalError, match=f"{name} is no integer constant"):
            bound(functions, {name: 8})


def test_a_schedule_is_compiled_when_a_call_of_its_range_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    case = SHORT_WAY
    table, _ = tabled(case.spec.name)
    moved = replace(table.entries[1], range=replace(table.entries[1].range, keys=Bounds(101)))
    source = compile_to_source(case.spec, tune=ScheduleTable((table.entries[0], moved, table.entries[2])))[2]
    module = cpu.load(source)
    compiled: list[Kernel] = []
    load = Kernel.load
    monkeypatch.setattr(Kernel, "load", lambda kernel: compiled.append(kernel) or load(kernel))
    few, wide, last = module.TABLE
    expected: list[Kernel] = []
    for (queries, keys), kernel in (
        ((10, 30), few.kernel),
        ((3, 30), few.decode),
        ((30, 64), last.kernel),
        ((300, 130), wide.kernel),  # so much that a second thread pays
    ):
        expected.append(kernel)
        for _ in range(2):
            with threads(2):
                module.attention(**Shape(1, queries, keys).random(case))
        assert compiled == expected


def test_equal_kernels_are_one() -> None:
    few, wide, last = module_of(SHORT_WAY).TABLE
    assert wide.decode is last.decode is not few.decode
    assert len({few.kernel, wide.kernel, last.kernel}) == 3


@each_case
def test_the_entry_that_serves_is_the_one_the_table_says(case: Case) -> None:
    table, _ = tabled(case.spec.name)
    choose = module_of(case).serving_entry
    for queries, keys, batch, count in product(QUERIES, KEYS, BATCHES, THREADS):
        assert choose(queries, keys, batch, count) == table.place(Lengths(batch, queries, keys), count)


@each_case
def test_a_module_says_which_sizes_serve_which_calls(case: Case) -> None:
    table, source = tabled(case.spec.name)
    said = " ".join((module_of(case).__doc__ or "").split())
    assert "Sizes: tuned by measurement" in said
    for entry in table.entries:
        plan = entry.schedule
        assert f"{entry.range}: tasks of up to {plan.tile_queries}, blocks of {plan.block_keys};" in said
        assert f"    # {entry.range}\n" in source.text
    untuned = compile_to_source(case.spec, tune="never")[2].text
    assert "Sizes:" not in untuned and "TABLE = " not in untuned and "thread_count" not in untuned


def test_only_lengths_that_ranges_bound_are_asked_for() -> None:
    plan = SHORT_WAY.schedule
    table = ScheduleTable(
        (Entry(Range(keys=Bounds(1, 64)), replace(plan, block_keys=64)), Entry(EVERY_CALL, plan))
    )
    text = compile_to_source(SHORT_WAY.spec, tune=table)[2].text
    assert "def serving_entry(keys):" in text and "thread_count" not in text


def test_the_same_table_gives_the_same_bytes_and_another_another() -> None:
    table, source = tabled(SHORT_WAY.spec.name)
    assert compile_to_source(SHORT_WAY.spec, tune=ScheduleTable(table.entries))[2] == source
    other = ScheduleTable(
        (replace(table.entries[0], range=Range(Bounds(1, 19), Bounds(1, 48))), *table.entries[1:])
    )
    assert compile_to_source(SHORT_WAY.spec, tune=other)[2].text != source.text
    one = ScheduleTable.of(SHORT_WAY.schedule)
    untuned = compile_to_source(SHORT_WAY.spec, tune="never")[2]
    assert compile_to_source(SHORT_WAY.spec, tune=one)[2].text == untuned.text


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_generated_code_is_clean(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "short_way.py").write_text(tabled(SHORT_WAY.spec.name)[1].text)
    options = ["--config", str(ROOT / "pyproject.toml"), "--config", "line-length = 110"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, *options, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_module_with_a_table_works_without_mhagen(tmp_path: Path) -> None:
    cpu.write(tabled(SHORT_WAY.spec.name)[1], tmp_path)
    script = """
import sys
sys.modules["mhagen"] = None
import numpy as np, short_way
ones = np.ones((2, 4, 30, 32), np.float32)
np.testing.assert_array_equal(short_way.attention(ones, ones[:, :2], ones[:, :2]), ones)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
