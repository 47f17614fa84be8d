"""What a call holds until its kernels are on the stream, and where it leaves the thread that makes it."""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from gpu import libraries
from gpu.attention import module_of
from gpu.libcuda import Library, OnGpu, context_of
from gpu.libcuda import installed as driver_installed
from gpu.test_call import SPEC, STREAM, OfNumba, arrays
from gpu.test_streams import CURRENT, on_gpu
from mhagen.runtime import gpu_arrays, gpu_driver
from mhagen.runtime.gpu_streams import CallStream


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Library:
    return driver_installed(monkeypatch)


@dataclass
class Pool(libraries.Module):
    """A library that gives memory which was freed to whoever asks next.

    Members  free: addresses, the last freed last
    """

    free: list[int] = field(default_factory=list)

    def empty(self, shape: tuple[int, ...], dtype: str, device: Any = None) -> Any:
        found = super().empty(shape, dtype, device)
        if self.free:
            found = type(found)(self.free.pop(), shape, found.typestr)
        weakref.finalize(found, self.free.append, found.address)
        return found


@pytest.fixture(params=["torch", "cupy"])
def pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pool:
    found = Pool(request.param, CURRENT)
    monkeypatch.setitem(sys.modules, request.param, found)  # type: ignore[arg-type]
    return found


def test_offsets_that_nobody_else_holds_are_not_given_away(driver: Library, pool: Pool) -> None:
    """The arguments of a call are its own: with the last name for the array its memory would go to `out`."""
    query, key, value, slope = (pool.array(on_gpu()[name]) for name in ("query", "key", "value", "slope"))
    out = module_of(SPEC, None).attention(
        query, key, value, slope=slope, query_offset=pool.empty((3,), "int64")
    )
    (_, values) = driver.launched[0]
    offsets = values[20]
    assert offsets in pool.free, "they are free now, and were not before"
    assert out.address != offsets


def test_a_counter_is_nobody_elses_until_the_kernel_is_on_the_stream(
    driver: Library, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread would count in it, too, and both would leave out tasks."""
    free: dict[str, set[int]] = {}
    for name in ("clear", "launch"):
        plain = getattr(gpu_driver.Driver, name)

        def noted(*given: Any, name: str = name, plain: Any = plain) -> None:
            free[name] = set(pool.free)
            plain(*given)

        monkeypatch.setattr(gpu_driver.Driver, name, noted)
    module = module_of({**SPEC, "name": "of_held_counters"}, None, "sm_90a")
    given = {name: pool.array(each) for name, each in on_gpu(queries=600).items()}
    module.attention(**given, stream=STREAM)
    counter = driver.launched[0][1][-1]
    assert counter in pool.free
    assert counter not in free["clear"] | free["launch"]


class Exporter(libraries.OfJax):
    """What it exports is its own copy, which dies with the capsule."""

    def __dlpack__(self, *, stream: int) -> Any:
        super().__dlpack__(stream=stream)

        @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        def freed(_: int) -> None:
            EVENTS.append("freed")

        KEPT.append(freed)
        made = ctypes.pythonapi.PyCapsule_New
        made.restype, made.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        place = ctypes.addressof(self.__dict__["kept"])
        return made(place, b"dltensor", ctypes.cast(freed, ctypes.c_void_p))


EVENTS: list[str] = []
KEPT: list[Any] = []


def test_what_dlpack_exports_lives_until_the_kernel_is_on_the_stream(
    driver: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    EVENTS.clear()
    plain = gpu_driver.Driver.launch
    monkeypatch.setattr(
        gpu_driver.Driver, "launch", lambda *given: (EVENTS.append("launched"), plain(*given))
    )
    given = {name: Exporter(each.address, each.shape, each.typestr) for name, each in on_gpu().items()}
    module_of(SPEC, None).attention(**given)
    assert ["launched", *len(given) * ["freed"]] == EVENTS


@pytest.mark.parametrize(("stream", "recorded"), [(None, []), (CURRENT, []), (STREAM, [STREAM])])
def test_tensors_are_kept_for_the_stream_that_is_named(
    driver: Library, monkeypatch: pytest.MonkeyPatch, stream: int | None, recorded: list[int]
) -> None:
    library = libraries.installed("torch", CURRENT, monkeypatch)
    given = {name: library.array(each) for name, each in on_gpu().items()}
    module_of(SPEC, None).attention(**given, stream=stream)
    assert [each.recorded for each in given.values()] == [recorded] * 5


def moved_to(device: int, each: OnGpu) -> OnGpu:
    return OnGpu((device << 32) + each.address, each.shape, each.typestr, each.strides)


@pytest.mark.parametrize("device", [0, 1])
@pytest.mark.parametrize("before", [[], [context_of(0)], [context_of(1)], [0xBAD]])
def test_a_call_leaves_the_thread_on_the_gpu_where_it_was(
    driver: Library, device: int, before: list[int]
) -> None:
    """Also where that context is one of the caller's own, in which kernels of the GPU's are not loaded."""
    driver.contexts[:] = before
    module = module_of({**SPEC, "name": "of_contexts"}, None)
    for _ in range(2):
        module.attention(**{name: moved_to(device, each) for name, each in on_gpu().items()}, stream=STREAM)
    assert driver.launched_in == 2 * [context_of(device)]
    assert driver.contexts == before
    assert driver.called.count("cuDevicePrimaryCtxRetain") == 1


def test_a_call_that_fails_leaves_it_too(driver: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(gpu_driver.Driver, "launch", refuse)
    with pytest.raises(ZeroDivisionError):
        module_of(SPEC, None).attention(**arrays())
    assert not driver.contexts


def test_numba_makes_arrays_where_the_others_are(driver: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[int] = []

    class Gpus:
        @contextmanager
        def __getitem__(self, number: int) -> Iterator[None]:
            entered.append(number)
            yield
            entered.pop()

    made = SimpleNamespace(
        gpus=Gpus(), device_array=lambda shape, dtype: OfNumba((entered[-1] << 32) + 64, shape, "<f4")
    )
    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace(cuda=made))  # type: ignore[arg-type]
    like = gpu_arrays.array_of("query", OfNumba(1 << 32, (2,)), None)
    assert gpu_arrays.new_workspace(3, like, CallStream(0, "")).device == 1
