"""Streams of calls: memory comes from where the kernel runs, and the kernel waits for what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gpu import libraries
from gpu.attention import module_of
from gpu.libcuda import Library, OnGpu
from gpu.libcuda import installed as driver_installed
from gpu.test_call import SPEC, STREAM, arrays

CURRENT = 0xC0
OF_STATISTICS = {**SPEC, "name": "of_streams", "outputs": {"statistics": ["lse", "argmax", "received"]}}


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Library:
    return driver_installed(monkeypatch)


def on_gpu(**lengths: int) -> dict[str, Any]:
    return {name: each for name, each in arrays(**lengths).items() if isinstance(each, OnGpu)}


def told_of(each: OnGpu) -> tuple[int, tuple[int, ...], str]:
    return each.address, each.shape, each.typestr


def given_to(library: libraries.Module, **lengths: int) -> dict[str, Any]:
    """Arrays of a library, and none for results."""
    return {**{name: library.array(each) for name, each in on_gpu(**lengths).items()}, "out": None}


@pytest.mark.parametrize(
    ("stream", "runs_on"), [(None, CURRENT), (CURRENT, CURRENT), (STREAM, STREAM), (0, 0), (1, 0), (2, 2)]
)
@pytest.mark.parametrize("name", ["torch", "cupy"])
def test_results_and_workspaces_are_made_on_the_stream_of_the_kernel(
    driver: Library, monkeypatch: pytest.MonkeyPatch, name: str, stream: int | None, runs_on: int
) -> None:
    """Memory that was freed on another stream may be in use there."""
    library = libraries.installed(name, CURRENT, monkeypatch)
    module = module_of(OF_STATISTICS, None)
    module.attention(**given_to(library, queries=2, keys=600), stream=stream)
    parts = 3 * 4 * 2 * 3 * (64 + 2)
    out, of_queries, of_keys = (3, 4, 2, 64), (3, 4, 2), (3, 4, 600)
    shapes = [out, of_queries, of_queries, of_keys, (3 * 4 * 2,), (3 * 4 * 2,), (parts,)]
    assert library.made == [(shape, runs_on) for shape in shapes]
    assert {how[7].value or 0 for how, _ in driver.launched} == {runs_on}
    assert library.current == CURRENT


@pytest.mark.parametrize("name", ["torch", "cupy"])
def test_a_counter_of_tasks_is_made_on_the_stream_of_the_kernel(
    driver: Library, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    library = libraries.installed(name, CURRENT, monkeypatch)
    module = module_of({**SPEC, "name": "of_counters"}, None, "sm_90a")
    assert module.KERNEL.counts_tasks
    module.attention(**given_to(library, queries=600), stream=STREAM)
    assert library.made == [((3, 4, 600, 64), STREAM), ((1,), STREAM)]
    assert driver.called.count("cuMemsetD32Async") == 1


NAMED = [(None, 0, 1), (0, 0, 1), (1, 0, 1), (2, 2, 2), (STREAM, STREAM, STREAM)]


@pytest.mark.parametrize(("stream", "runs_on", "told"), NAMED)
def test_producers_of_dlpack_are_told_the_stream_of_the_kernel(
    driver: Library, stream: int | None, runs_on: int, told: int
) -> None:
    """By the numbers of DLPack: 0 would be refused, and for -1 nobody waits."""
    module = module_of(SPEC, None)
    given = {name: libraries.OfJax(*told_of(each)) for name, each in on_gpu().items()}
    module.attention(**given, stream=stream)
    assert [each.told for each in given.values()] == [[told]] * 5
    assert (driver.launched[0][0][7].value or 0) == runs_on
    assert not driver.waits, "that is the producer's part"


@pytest.mark.parametrize(("stream", "told"), [(None, -1), (CURRENT, -1), (STREAM, STREAM), (0, 1)])
def test_cupy_is_told_that_its_current_stream_is_in_order(
    driver: Library, monkeypatch: pytest.MonkeyPatch, stream: int | None, told: int
) -> None:
    libraries.installed("cupy", CURRENT, monkeypatch)
    module = module_of(SPEC, None)
    given = {name: libraries.OfCupy(*told_of(each)) for name, each in on_gpu().items()}
    module.attention(**given, stream=stream)
    assert [each.told for each in given.values()] == [[told]] * 5


@pytest.mark.parametrize(("stream", "waits"), [(None, []), (CURRENT, []), (STREAM, [(CURRENT, STREAM)] * 4)])
def test_the_kernel_waits_for_the_current_stream_of_pytorch_where_it_runs_on_another(
    driver: Library, monkeypatch: pytest.MonkeyPatch, stream: int | None, waits: list[tuple[int, int]]
) -> None:
    """Of query, key, value and slope; the results are new, and nothing is pending there."""
    library = libraries.installed("torch", CURRENT, monkeypatch)
    module_of(SPEC, None).attention(**given_to(library), stream=stream)
    assert driver.waits == waits
    assert driver.called.count("cuEventDestroy_v2") == len(waits)


@dataclass(frozen=True)
class Bound(OnGpu):
    """An array that names a stream, as those of Numba do that are bound to one."""

    stream: int | None = None

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**super().__cuda_array_interface__, "stream": self.stream}


@pytest.mark.parametrize("stream", [None, 0, 1, 2, STREAM])
@pytest.mark.parametrize("pending", [None, 1, 2, STREAM, CURRENT])
def test_the_kernel_waits_for_the_stream_that_an_array_names(
    driver: Library, stream: int | None, pending: int | None
) -> None:
    module, given = module_of(SPEC, None), on_gpu()
    given["key"] = Bound(*told_of(given["key"]), stream=pending)
    module.attention(**given, stream=stream)
    before, after = (0 if each in (None, 1) else each for each in (pending, stream))
    assert driver.waits == ([] if pending is None or before == after else [(before, after)])
    assert not [name for name in driver.called if "Synchronize" in name]
    asked = [name for name in driver.called if name in ("cuStreamWaitEvent", "cuLaunchKernel")]
    assert asked[-1] == "cuLaunchKernel"


def test_an_array_of_nothing_is_not_waited_for(driver: Library) -> None:
    given = on_gpu()
    given["query"] = Bound(0, (3, 4, 0, 64), "<f2", stream=CURRENT)
    given["out"] = OnGpu(0, (3, 4, 0, 64), "<f2")
    module_of(SPEC, None).attention(**given, stream=STREAM)
    assert not driver.waits
