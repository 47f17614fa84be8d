"""A kernel gives the same bits whoever calls it, on however many threads; its code stands on its own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from mhagen.base.digest import digest
from mhagen.base.errors import InternalError, UnsupportedError
from mhagen.base.target import NEON
from mhagen.runtime import launch
from mhagen.runtime.compiler import compile_kernel
from mhagen.runtime.elf import read_symbols
from mhagen.runtime.host import host_cpu, host_target
from mhagen.runtime.launch import (
    ALIGNMENT,
    ENTRY,
    WORKERS_AT,
    Kernel,
    compiler_identity,
    function_identity,
    without_imports,
)
from mhagen.runtime.native import ALLOWED_SYMBOLS
from mhagen.runtime.obtain import obtain_function
from mhagen.runtime.simd import claim, fma, load, load_each, load_int64, load_real, splat, store, store_real
from mhagen.runtime.store import CacheWarning, Store

from .lanes import address

TARGET = host_target()
VECTOR = TARGET.vector_bytes
LANES = TARGET.lanes
SCRATCH_BYTES = 3 * VECTOR + 4  # ends inside a cache line: rounded up
MUCH_WORK = 1 << 40  # multiply-adds that pay for any number of threads
ROUNDS = 50
TASKS = 300

# mypy: disable-error-code="no-untyped-def, no-untyped-call"


def forget(scratch):
    for place in range(0, 3 * VECTOR, VECTOR):
        store(scratch + place, splat(0.0))


def fading_sums(source, out, tasks, counter, scratch, worker):
    """out[task] = a sum over rounds that depends on their order, kept in the worker's scratch."""
    scratch += worker * ((SCRATCH_BYTES + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT)
    task = claim(counter)
    while task < tasks:
        forget(scratch)
        for step in range(ROUNDS):
            place = scratch + step % 3 * VECTOR
            weight = load_each(source + 4 * ((task + step) % tasks))
            store(place, fma(load(place), splat(0.9), weight * load(source + 4 * task)))
        store(out + task * VECTOR, load(scratch) + load(scratch + VECTOR) + load(scratch + 2 * VECTOR))
        task = claim(counter)


def leave_mark(out, mark, counter, scratch, worker):
    """out = what the call before has left in the scratch, and how the scratch is aligned; leaves a mark."""
    task = claim(counter)
    while task < 1:
        store_real(out, load_real(scratch))
        store_real(out + 4, 1.0 * (scratch % ALIGNMENT))
        store_real(scratch, 1.0 * mark)
        task = claim(counter)


def tell_workers(out, counter, scratch, worker):
    """out[task] = how many workers there are said to be."""
    task = claim(counter)
    while task < TASKS:
        store_real(out + 4 * task, 1.0 * load_int64(counter + WORKERS_AT))
        task = claim(counter)


def make(*functions: Callable[..., None], target: str = TARGET.name) -> Kernel:
    return Kernel(name="sums", target=target, functions=functions, scratch_bytes=SCRATCH_BYTES)


@pytest.fixture(scope="module")
def sums() -> Kernel:
    return make(forget, fading_sums)


@pytest.fixture
def marks() -> Kernel:
    return make(leave_mark)


def run_sums(kernel: Kernel, seed: int) -> bytes:
    source = np.random.default_rng(seed).standard_normal(TASKS + LANES, dtype=np.float32)
    out = np.full((TASKS, LANES), np.nan, np.float32)
    kernel.run((address(source), address(out), TASKS), TASKS, MUCH_WORK)
    return out.tobytes()


def run_mark(kernel: Kernel, mark: int) -> tuple[float, float]:
    out = np.zeros(2, np.float32)
    kernel.run((address(out), mark), 1, 0)
    return float(out[0]), float(out[1])


def test_results_do_not_depend_on_the_number_of_threads(
    sums: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = set()
    for threads in (1, 2, 3, 8):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        results |= {run_sums(sums, seed=1) for _ in range(10)}
    assert len(results) == 1
    assert not np.isnan(np.frombuffer(results.pop(), np.float32)).any()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_kernel_is_told_how_many_threads_claim_its_tasks(threads: int) -> None:
    out = np.zeros(TASKS, np.float32)
    make(tell_workers).run((address(out),), TASKS, MUCH_WORK, threads)
    assert (out == threads).all()


def test_callers_from_several_threads_do_not_disturb_each_other(
    sums: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    expected = [run_sums(sums, seed) for seed in range(4)]

    def call(seed: int) -> set[bytes]:
        return {run_sums(sums, seed) for _ in range(50)}

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, range(4)))
    assert found == [{result} for result in expected]


def test_threads_that_call_first_at_once_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def counted(self: Kernel) -> bytes:
        compiled.append(self)
        return compile_kernel(self.functions, self.target, self.computed, host_cpu(), ENTRY)

    monkeypatch.setattr(Kernel, "_compile", counted)
    kernel = make(only_for(7))
    out = np.zeros(4, np.float32)
    barrier = threading.Barrier(4)

    def call(i: int) -> None:
        barrier.wait()
        kernel.run((address(out[i:]),), 1, 0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(4)))
    assert len(compiled) == 1
    assert out.tolist() == [7.0] * 4


def only_for(number: int) -> Callable[..., None]:
    """A kernel that no other test has compiled."""
    text = f"def write(out, counter, scratch, worker):\n    store_real(out, {float(number)})\n"
    return from_text(text)


def from_text(text: str, file: str = "<one>", **names: Any) -> Callable[..., None]:
    namespace: dict[str, Any] = {"store_real": store_real, "load_real": load_real, **names}
    known = set(namespace)
    exec(compile(text, file, "exec"), namespace)
    (function,) = (
        value for name, value in namespace.items() if name not in known and isinstance(value, FunctionType)
    )
    return function


def test_a_call_without_work_is_a_call(sums: Kernel) -> None:
    sums.run((0, 0, 0), 0, 0)


def test_scratch_is_kept_from_call_to_call(marks: Kernel) -> None:
    run_mark(marks, 1)
    assert [run_mark(marks, mark)[0] for mark in (2, 3, 4)] == [1.0, 2.0, 3.0]


def test_scratch_begins_at_a_cache_line(marks: Kernel) -> None:
    assert run_mark(marks, 1)[1] == 0.0


def test_each_calling_thread_has_scratch_of_its_own(marks: Kernel) -> None:
    run_mark(marks, 1)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run_mark, marks, 2).result()
        assert pool.submit(run_mark, marks, 3).result()[0] == 2.0
    assert run_mark(marks, 4)[0] == 1.0


def test_each_kernel_has_scratch_of_its_own(marks: Kernel) -> None:
    other = make(leave_mark)
    run_mark(marks, 1)
    run_mark(other, 2)
    assert run_mark(marks, 3)[0] == 1.0


def test_a_kernel_for_another_cpu_is_refused_before_it_runs() -> None:
    foreign = NEON.name if TARGET != NEON else "avx2"
    with pytest.raises(UnsupportedError, match=f"^sums was generated for {foreign}, but this CPU"):
        make(forget, fading_sums, target=foreign).run((0, 0, 0), 1, 0)


def test_compiled_code_refers_to_nothing_of_python() -> None:
    code = compile_kernel((forget, fading_sums), TARGET, "float32", host_cpu(), ENTRY)
    symbols = read_symbols(code)
    assert symbols.defined == {ENTRY}
    assert symbols.undefined <= ALLOWED_SYMBOLS


def identity(function: Callable[..., None]) -> str:
    return digest(function_identity(function, (function,)))


def test_which_function_is_the_short_way_in_is_in_the_key(sums: Kernel) -> None:
    keywords: dict[str, Any] = {"name": "sums", "target": TARGET.name, "scratch_bytes": SCRATCH_BYTES}
    other = Kernel(functions=(forget,), direct=fading_sums, **keywords)
    assert other.everything == sums.everything and other.key != sums.key


def test_code_without_the_short_way_in_is_a_miss(tmp_path: Path) -> None:
    store, key = Store(tmp_path / "cache"), "0" * 64
    code = compile_kernel((leave_mark,), TARGET, "float32", host_cpu(), ENTRY)
    obtain_function(store, key, "note", ENTRY, 5, lambda: code)
    both = compile_kernel((leave_mark,), TARGET, "float32", host_cpu(), ENTRY, ("other", leave_mark))
    with pytest.warns(CacheWarning, match="has no function other"):
        obtain_function(store, key, "note", ENTRY, 5, lambda: both, ("other",))
    assert store.load(key) == both


BODY = "def f(x, counter, scratch, worker):\n    store_real(x, FACTOR * load_real(x))\n"


def test_equal_functions_in_different_files_have_one_key() -> None:
    here, there = from_text(BODY, "<here>", FACTOR=2.0), from_text("\n\n" + BODY, "<there>", FACTOR=2.0)
    assert here.__code__.co_filename != there.__code__.co_filename
    assert make(here).key == make(there).key


def test_a_function_that_has_run_keeps_its_key() -> None:
    """Python rewrites the bytecode of functions that run often."""

    def count(n):
        total = 0
        for i in range(n):
            total += i
        return total

    before = identity(count)
    for _ in range(100):
        count(10)
    assert identity(count) == before


def other_functions() -> Iterator[tuple[str, Callable[..., None]]]:
    yield "another constant", from_text(BODY, FACTOR=3.0)
    yield "the constant as another type", from_text(BODY, FACTOR=2)
    yield "another number in the text", from_text(BODY.replace("FACTOR", "2.5"))
    yield "another operator", from_text(BODY.replace("*", "+"), FACTOR=2.0)
    yield "another name", from_text(BODY.replace("def f(", "def g("), FACTOR=2.0)
    yield "another parameter", from_text(BODY.replace("x, ", "x, y, "), FACTOR=2.0)
    yield "another meaning of a word", from_text(BODY, FACTOR=2.0, load_real=load_each)


@pytest.mark.parametrize(("change", "function"), tuple(other_functions()))
def test_what_shapes_a_function_shapes_its_key(change: str, function: Callable[..., None]) -> None:
    assert identity(function) != identity(from_text(BODY, FACTOR=2.0)), change


def test_a_negative_zero_is_another_constant() -> None:
    assert identity(from_text(BODY, FACTOR=0.0)) != identity(from_text(BODY, FACTOR=-0.0))


@pytest.mark.parametrize("value", [[2.0], (2.0,), "2", None, np.ones(1), len, np], ids=repr)
def test_a_global_name_that_no_key_holds_is_refused(value: object) -> None:
    with pytest.raises(InternalError, match="reads the global name 'FACTOR'"):
        identity(from_text(BODY, FACTOR=value))


def test_a_helper_that_is_not_compiled_with_the_kernel_is_refused() -> None:
    with pytest.raises(InternalError, match="reads the global name 'forget'"):
        digest(function_identity(fading_sums, (fading_sums,)))


def with_default(x, y=1):
    return x


def with_keyword_default(x, *, y=1):
    return x


def with_closure() -> Callable[..., None]:
    inside = 3.0

    def function(x):
        return x * inside

    return function


@pytest.mark.parametrize("function", [with_default, with_keyword_default, with_closure()])
def test_defaults_and_closures_are_refused(function: Callable[..., None]) -> None:
    with pytest.raises(InternalError, match=f"{function.__name__} has defaults or a closure"):
        identity(function)


def test_a_function_inside_a_function_is_refused() -> None:
    with pytest.raises(InternalError, match="a code has no digest"):
        identity(from_text("def f(x):\n    return [i for i in (lambda: x)()]\n"))


def test_import_lines_of_the_compiler_are_not_in_the_key() -> None:
    """They alone differ in the copies that travel with generated modules."""
    here = ["from ..base.target import Target", "import numpy", "x = 1", "def f():", "    import y"]
    there = ["from .target import Target", "x = 1", "def f():", "    import y"]
    assert list(without_imports(here)) == list(without_imports(there))


def test_the_compiler_is_known_by_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler_identity.cache_clear()
    whole = compiler_identity()
    for name in launch.COMPILER_SOURCES:
        rest = tuple(other for other in launch.COMPILER_SOURCES if other != name)
        monkeypatch.setattr(launch, "COMPILER_SOURCES", rest)
        compiler_identity.cache_clear()
        assert compiler_identity() != whole
    monkeypatch.undo()
    compiler_identity.cache_clear()
    assert re.fullmatch("[0-9a-f]{64}", whole) and compiler_identity() == whole
