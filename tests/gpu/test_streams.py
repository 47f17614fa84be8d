"""Streams of calls: memory comes from where the kernel runs."""

from __future__ import annotations

from typing import Any

import pytest

from gpu import libraries
from gpu.attention import module_of
from gpu.test_call import SPEC, STREAM, Library, OnGpu, arrays
from gpu.test_call import installed as driver_installed

CURRENT = 0xC0
OF_STATISTICS = {**SPEC, "name": "of_streams", "outputs": {"statistics": ["lse", "argmax", "received"]}}


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Library:
    return driver_installed(monkeypatch)


def given_to(library: libraries.Module, **lengths: int) -> dict[str, Any]:
    """Arrays of a library, and none for results."""
    found = {name: each for name, each in arrays(**lengths).items() if isinstance(each, OnGpu)}
    return {**{name: library.array(each) for name, each in found.items()}, "out": None}


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
