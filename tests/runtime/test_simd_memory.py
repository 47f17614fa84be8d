"""Words that read and write memory touch what they name and nothing else."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from .lanes import (
    Machine,
    address,
    on_every_target,
    page_before_a_forbidden_one,
    random_reals,
    survives,
    text_of,
)

LONGEST = 64  # elements of a small array: more lanes than any target has


def reals() -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).standard_normal(LONGEST, dtype=np.float32)


@on_every_target
def test_load_and_store_copy_every_bit_at_any_address(machine: Machine) -> None:
    copy = machine.compile_text(text_of(["x", "out"], "store(out + i * VECTOR, load(x + i * VECTOR))"))
    values = random_reals(np.random.default_rng(4), (LONGEST,))
    for shift in range(4):
        found = np.zeros(LONGEST + 8, np.float32)
        source = np.zeros(LONGEST + 8, np.float32)
        source[shift : shift + LONGEST] = values
        copy(address(source) + 4 * shift, address(found) + 4 * (3 - shift), LONGEST // machine.lanes)
        assert found[3 - shift :][:LONGEST].tobytes() == values.tobytes()
        assert not found[: 3 - shift].any() and not found[3 - shift + LONGEST :].any()


@on_every_target
def test_load_first_gives_zero_behind_the_count(machine: Machine) -> None:
    load_first = machine.compile_text(text_of(["x", "count", "out"], "store(out, load_first(x, count))"))
    values = reals()
    for count in range(-1, machine.lanes + 3):
        found = np.full(machine.lanes, np.nan, np.float32)
        load_first(address(values), count, address(found), 1)
        kept = max(0, min(count, machine.lanes))
        assert np.array_equal(found[:kept], values[:kept])
        assert not found[kept:].any()


@on_every_target
def test_store_first_leaves_what_is_behind_the_count(machine: Machine) -> None:
    store_first = machine.compile_text(text_of(["x", "count", "out"], "store_first(out, load(x), count)"))
    values = reals()
    for count in range(-1, machine.lanes + 3):
        found = np.full(LONGEST, 7.0, np.float32)
        store_first(address(values), count, address(found), 1)
        kept = max(0, min(count, machine.lanes))
        assert np.array_equal(found[:kept], values[:kept])
        assert (found[kept:] == 7.0).all()


@on_every_target
def test_the_first_lanes_before_a_forbidden_page_can_be_read_and_written(machine: Machine) -> None:
    copy_first = machine.compile_text(
        text_of(["x", "count", "out"], "store_first(out, load_first(x, count), count)")
    )
    with page_before_a_forbidden_one() as page:

        def work() -> None:
            for count in range(machine.lanes + 1):
                end = address(page) + len(page)
                copy_first(end - 4 * count, count, end - 4 * count, 1)

        assert survives(work)


@on_every_target
def test_a_forbidden_page_is_forbidden(machine: Machine) -> None:
    copy = machine.compile_text(text_of(["x", "out"], "store(out, load(x))"))
    with page_before_a_forbidden_one() as page:
        end = address(page) + len(page)
        assert survives(lambda: copy(end - machine.target.vector_bytes, address(page), 1))
        assert not survives(lambda: copy(end - machine.target.vector_bytes + 4, address(page), 1))


@on_every_target
def test_one_number_is_read_and_written(machine: Machine) -> None:
    kernel = machine.compile_text(
        text_of(["x", "out"], "store(out, load_each(x))", "store_real(out + VECTOR, load_real(x + 4))")
    )
    values = np.array([-0.0, 2.0**-149], np.float32)
    found = np.full(machine.lanes + 2, 7.0, np.float32)
    kernel(address(values), address(found), 1)
    expected = np.array([-0.0] * machine.lanes + [2.0**-149, 7.0], np.float32)
    assert found.tobytes() == expected.tobytes()


SCALARS = {
    "load_bits": (np.float32, [0.0, -0.0, 1.0, -np.inf, np.nan]),
    "load_int32": (np.int32, [0, -1, 2**31 - 1, -(2**31)]),
    "load_int64": (np.int64, [0, -1, 2**53, -(2**62)]),
    "load_byte": (np.uint8, [0, 1, 127, 128, 255]),
    "load_bool": (np.uint8, [0, 1, 2, 128, 255]),
}


@on_every_target
@pytest.mark.parametrize("word", SCALARS)
def test_a_number_is_read_as_what_it_is(machine: Machine, word: str) -> None:
    dtype, numbers = SCALARS[word]
    values = np.array(numbers, dtype)
    expected = {
        "load_bits": values.view(np.int32) if word == "load_bits" else values,
        "load_bool": values != 0,
        "load_byte": values != 0,
    }
    known = expected.get(word, values).astype(np.int64)
    text = text_of(
        ["x", "known", "out"],
        f"value = {word}(x + {values.itemsize} * i)",
        "store_real(out + 4 * i, 1.0 if value == load_int64(known + 8 * i) else 0.0)",
    )
    right = np.zeros(len(values), np.float32)
    machine.compile_text(text)(address(values), address(known), address(right), len(values))
    assert right.all()


TAKES = {
    "take_float32": (np.float32, 100, "take_float32(x, at)"),
    "take_int32": (np.int32, 100, "real(take_int32(x, at))"),
    "take_int64": (np.int64, 100, "real(take_int64(x, at))"),
    "take_bool": (np.bool_, 2, "where(take_bool(x, at), splat(1.0), 0.0)"),
}


@on_every_target
@pytest.mark.parametrize("word", TAKES)
def test_lanes_take_elements_by_index(machine: Machine, word: str) -> None:
    dtype, end, text = TAKES[word]
    rng = np.random.default_rng(5)
    values = rng.integers(0, end, 1000).astype(dtype)
    indices = rng.integers(-500, 500, LONGEST)
    kernel = machine.compile_text(
        text_of(
            ["x", "indices", "out"],
            "at = take_int64(indices, wide(lane_numbers()) + i * LANES)",
            f"store(out + i * VECTOR, {text})",
        )
    )
    found = np.empty(LONGEST, np.float32)
    kernel(address(values[500:]), address(indices), address(found), LONGEST // machine.lanes)
    assert np.array_equal(found, values[500 + indices])


@on_every_target
def test_an_index_beyond_32_bits_is_whole(machine: Machine) -> None:
    values = reals()
    far = 2**33
    kernel = machine.compile_text(
        text_of(["x", "out"], f"store(out, take_float32(x, wide(lane_numbers()) + {far}))")
    )
    found = np.empty(machine.lanes, np.float32)
    kernel(address(values) - 4 * far, address(found), 1)
    assert np.array_equal(found, values[: machine.lanes])


@on_every_target
def test_prefetch_of_any_address_is_harmless(machine: Machine) -> None:
    prefetch = machine.compile_text(text_of(["place"], "prefetch(place + i)"))
    with page_before_a_forbidden_one() as page:

        def work() -> None:
            for place in (0, -1, 2**62, address(page), address(page) + len(page)):
                prefetch(place, 2)

        assert survives(work)


@on_every_target
def test_every_task_is_claimed_by_exactly_one_thread(machine: Machine) -> None:
    text = (
        "def kernel(counter, tasks, done):\n"
        "    task = claim(counter)\n"
        "    while task < tasks:\n"
        "        store_real(done + 4 * task, load_real(done + 4 * task) + 1.0)\n"
        "        task = claim(counter)\n"
    )
    kernel = machine.compile_text(text)
    tasks = 1_000_000
    counter, done = np.zeros(1, np.int64), np.zeros(tasks, np.float32)
    threads = [
        threading.Thread(target=kernel, args=(address(counter), tasks, address(done))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (done == 1.0).all()
    assert counter[0] == tasks + 4
