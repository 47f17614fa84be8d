"""Stand-ins for PyTorch and CuPy on a GPU: modules that write down on which stream memory is given."""

from __future__ import annotations

import ctypes
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from gpu.libcuda import OnGpu
from mhagen.runtime.gpu_arrays import DLTensor

TYPE_STRINGS = {
    "float16": "<f2", "bfloat16": "<V2", "float32": "<f4", "int32": "<i4", "int64": "<i8", "bool": "|b1",
    "uint16": "<u2", "float64": "<f8",
}  # fmt: skip
NUMBERS = ctypes.POINTER(ctypes.c_int64)
DLPACK_KINDS = {
    "<f2": (2, 16), "<V2": (4, 16), "<f4": (2, 32), "<i4": (0, 32), "<i8": (0, 64), "|b1": (6, 8),
    "<u2": (1, 16), "<f8": (2, 64),
}  # fmt: skip


@dataclass
class Module:
    """A library with a current stream.

    Members  made: the shape of each new array, and the stream that was current then
    """

    name: str
    current: int
    made: list[tuple[tuple[int, ...], int]] = field(default_factory=list)
    float16: str = "torch.float16"
    bfloat16: str = "torch.bfloat16"
    float32: str = "torch.float32"
    int64: str = "torch.int64"

    @property
    def cuda(self) -> Any:
        here = SimpleNamespace(cuda_stream=self.current, ptr=self.current)
        return SimpleNamespace(
            current_stream=lambda device: here,
            get_current_stream=lambda: here,
            ExternalStream=lambda handle, device: External(self, handle),
            stream=lambda entered: entered,
            Device=lambda number: nullcontext(),
        )

    def empty(self, shape: tuple[int, ...], dtype: str, device: Any = None) -> Any:
        self.made.append((shape, self.current))
        return self.array(OnGpu((32 + len(self.made)) << 20, shape, TYPE_STRINGS[dtype.split(".")[-1]]))

    def array(self, place: OnGpu) -> Any:
        """An array of this library there."""
        return KINDS[self.name](place.address, place.shape, place.typestr)


@dataclass
class External:
    """A stream that is not the library's own, and is its current one while it is entered."""

    library: Module
    handle: int
    before: int = 0

    def __enter__(self) -> None:
        self.before, self.library.current = self.library.current, self.handle

    def __exit__(self, *why: object) -> None:
        self.library.current = self.before


class Device:
    """A GPU of CuPy, which is entered, and of PyTorch, which is not."""

    id = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *why: object) -> None:
        pass


class OfJax(OnGpu):
    """What says by DLPack where it lies; JAX's arrays are of a class of jaxlib.

    Members  told: the streams that were to wait for it
    """

    __module__ = "jaxlib._jax"

    @property
    def told(self) -> list[int]:
        return self.__dict__.setdefault("streams", [])

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream: int) -> Any:
        self.told.append(stream)
        made = ctypes.pythonapi.PyCapsule_New
        made.restype, made.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        code, bits = DLPACK_KINDS[self.typestr]
        shape, strides = (
            None if each is None else ctypes.cast((ctypes.c_int64 * len(each))(*each), NUMBERS)
            for each in (self.shape, self.steps)
        )
        self.__dict__["kept"] = kept = DLTensor(
            self.address, 2, 0, len(self.shape), code, bits, 1, shape, strides
        )
        return made(ctypes.addressof(kept), b"dltensor", None)


class OfCupy(OfJax):
    """CuPy speaks DLPack too."""

    __module__ = "cupy"
    device = Device()


class OfTorch(OnGpu):
    """A tensor, which is asked for what DLPack would say."""

    __module__ = "torch"
    device, is_cuda, requires_grad = Device(), True, False

    @property
    def dtype(self) -> str:
        return {text: f"torch.{name}" for name, text in TYPE_STRINGS.items()}[self.typestr]

    @property
    def itemsize(self) -> int:
        return int(self.typestr[-1])

    def stride(self) -> tuple[int, ...]:
        if self.steps is not None:
            return self.steps
        strides, count = [], 1
        for length in reversed(self.shape):
            strides.append(count)
            count *= length
        return tuple(reversed(strides))

    def data_ptr(self) -> int:
        return self.address

    def get_device(self) -> int:
        return 0

    @property
    def recorded(self) -> list[int]:
        """The streams that its memory is kept for."""
        return self.__dict__.setdefault("streams", [])

    def record_stream(self, stream: External) -> None:
        self.recorded.append(stream.handle)


KINDS: dict[str, type[OnGpu]] = {"torch": OfTorch, "cupy": OfCupy}


def installed(name: str, current: int, monkeypatch: pytest.MonkeyPatch) -> Module:
    """A stand-in in place of the library, with that current stream."""
    found = Module(name, current)
    monkeypatch.setitem(sys.modules, name, found)  # type: ignore[arg-type]
    return found
