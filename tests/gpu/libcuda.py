"""A stand-in for the library of the CUDA driver, which writes down what it is asked, and launches nothing."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from struct import calcsize, unpack
from typing import Any

import pytest

from mhagen.runtime import gpu_arrays, gpu_driver, gpu_launch, gpu_streams

FIRST = "16q3i"
# Functions that have nothing to do, and those of which a method answers.
IDLE = ("cuInit", "cuEventCreate", "cuEventDestroy_v2", "cuGetErrorString")
ANSWERS = {
    "cuPointerGetAttribute": "device_of",
    "cuDeviceGet": "device",
    "cuDeviceGetAttribute": "attribute",
    "cuDevicePrimaryCtxRetain": "context",
    "cuCtxGetCurrent": "current_context",
    "cuCtxPushCurrent_v2": "push_context",
    "cuCtxPopCurrent_v2": "pop_context",
    "cuEventRecord": "record",
    "cuStreamWaitEvent": "wait",
    "cuModuleLoadDataEx": "load",
    "cuModuleGetFunction": "function",
    "cuFuncSetAttribute": "allow",
    "cuMemsetD32Async": "clear",
    "cuLaunchKernel": "launch",
}


@dataclass
class Library:
    """The functions of libcuda, as far as they are called, on GPUs of some compute capability."""

    capability: tuple[int, int] = (9, 0)
    first: str = FIRST  # what its kernels are given at first
    called: list[str] = field(default_factory=list)
    launched: list[tuple[Any, ...]] = field(default_factory=list)
    waits: list[tuple[int, ...]] = field(default_factory=list)  # for which stream another one
    contexts: list[int] = field(default_factory=list)  # of this thread, the current one last
    launched_in: list[int] = field(default_factory=list)  # which contexts

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        answer = (lambda *given: 0) if name in IDLE else getattr(self, ANSWERS[name])

        def function(*arguments: Any) -> int:
            self.called.append(name)
            return answer(*arguments) or 0

        return function

    def device_of(self, device: Any, attribute: int, address: Any) -> None:
        put(device, address.value >> 32)

    def device(self, device: Any, number: int) -> None:
        put(device, number)

    def attribute(self, value: Any, attribute: int, device: Any) -> None:
        put(value, self.capability[attribute == gpu_driver.COMPUTE_CAPABILITY_MINOR])

    def context(self, context: Any, device: Any) -> None:
        put(context, context_of(device.value))

    def current_context(self, context: Any) -> None:
        put(context, self.contexts[-1] if self.contexts else 0)

    def push_context(self, context: Any) -> None:
        self.contexts.append(context.value)

    def pop_context(self, context: Any) -> None:
        put(context, self.contexts.pop())

    def record(self, event: Any, stream: Any) -> None:
        self.waits.append((stream.value or 0,))

    def wait(self, stream: Any, event: Any, flags: int) -> None:
        self.waits[-1] += (stream.value or 0,)

    def load(self, module: Any, code: bytes, *options: Any) -> int | None:
        """Whatever there is."""

    def function(self, function: Any, module: Any, symbol: bytes) -> int | None:
        pass

    def allow(self, function: Any, attribute: int, size: int) -> int | None:
        pass

    def clear(self, address: Any, value: int, count: Any, stream: Any) -> int | None:
        pass

    def launch(self, function: Any, *how: Any) -> int | None:
        """How it is told: three lengths of the grid and three of a block, shared memory, the stream."""
        self.launched.append((how[:8], unpacked(given_in(how[9]), self.first)))
        self.launched_in.append(self.contexts[-1])
        return None


def put(place: Any, value: int) -> None:
    place._obj.value = value


def context_of(device: int) -> int:
    """A GPU's own; memory of GPU n lies from n * 2**32 on."""
    return 0xC0 + device


def given_in(extra: Any) -> bytes:
    """The bytes that hold the parameters of a kernel, of which the driver is told where they are."""
    size = ctypes.c_size_t.from_address(extra[3]).value
    return ctypes.string_at(extra[1], size)


def unpacked(told: bytes, first: str) -> list[int]:
    """Four addresses with three strides each, three lengths of 32 bits, and what else there is."""
    others = (len(told) - calcsize(f"{first}0q")) // 8
    return list(unpack(f"{first}{others}q{'i' * (len(told) % 8 // 4)}", told))


@dataclass(frozen=True)
class OnGpu:
    """An array that says it is on a GPU; nothing is there."""

    address: int
    shape: tuple[int, ...]
    typestr: str = "<f2"
    strides: tuple[int, ...] | None = None

    @property
    def steps(self) -> tuple[int, ...] | None:
        """Strides in elements."""
        return None if self.strides is None else tuple(each // int(self.typestr[-1]) for each in self.strides)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        data = {"data": (self.address, False), "version": 3}
        return {**data, "shape": self.shape, "typestr": self.typestr, "strides": self.strides}


def installed(monkeypatch: pytest.MonkeyPatch) -> Library:
    """A stand-in for the driver of this machine, which loads whatever there is."""
    found = Library()
    replace_driver(found, monkeypatch)
    monkeypatch.setattr(gpu_launch.GpuKernel, "image", lambda self, has: b"")
    return found


def replace_driver(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = gpu_driver.Driver(library)
    for module in (gpu_arrays, gpu_launch, gpu_streams):
        monkeypatch.setattr(module, "the_driver", lambda: driver)
