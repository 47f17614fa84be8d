"""The CUDA driver, asked directly: code is loaded and launched without a package, and without waiting."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ..base.errors import InternalError, UnsupportedError
from ..base.target import GPUS, Gpu

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
# Of the driver's cuda.h.
MAX_DYNAMIC_SHARED_BYTES = 8
DEVICE_ORDINAL = 9
MULTIPROCESSORS = 16
PARAMETERS_END, PARAMETERS, PARAMETERS_SIZE = 0, 1, 2
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
EVENT_DISABLE_TIMING = 2
JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BYTES = 5, 6
LOG_BYTES = 8192


class Driver:
    """The driver's functions, each with its errors told."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self._multiprocessors: dict[int, int] = {}
        self._contexts: dict[int, ctypes.c_void_p] = {}
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: Any, log: ctypes.Array[ctypes.c_char] | None = None) -> None:
        """Raises   InternalError if the driver refuses"""
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(status, ctypes.byref(text))
            said = (text.value or b"").decode(errors="replace")
            more = "" if log is None else f": {log.value.decode(errors='replace')}"
            raise InternalError(f"{name} failed: {said or status}{more}")

    def compute_capability(self, device: int) -> tuple[int, int]:
        """What instructions a GPU has: (9, 0) is sm_90."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        handle = self.device(device)
        for value, attribute in ((major, COMPUTE_CAPABILITY_MAJOR), (minor, COMPUTE_CAPABILITY_MINOR)):
            self.call("cuDeviceGetAttribute", ctypes.byref(value), attribute, handle)
        return major.value, minor.value

    def multiprocessors(self, device: int) -> int:
        """So many blocks of threads run at once, where one fills a multiprocessor."""
        if device not in self._multiprocessors:
            count = ctypes.c_int()
            self.call("cuDeviceGetAttribute", ctypes.byref(count), MULTIPROCESSORS, self.device(device))
            self._multiprocessors[device] = count.value
        return self._multiprocessors[device]

    def clear(self, address: int, stream: int) -> None:
        """Make a word of memory 0, on a stream."""
        self.call(
            "cuMemsetD32Async", ctypes.c_uint64(address), 0, ctypes.c_size_t(1), ctypes.c_void_p(stream)
        )

    def order(self, before: int, after: int) -> None:
        """What follows on a stream waits for what is on another one now. Nobody on the host does."""
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), EVENT_DISABLE_TIMING)
        try:
            self.call("cuEventRecord", event, ctypes.c_void_p(before))
            self.call("cuStreamWaitEvent", ctypes.c_void_p(after), event, 0)
        finally:
            self.call("cuEventDestroy_v2", event)  # the GPU keeps it until it has come

    def device(self, number: int) -> ctypes.c_int:
        handle = ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(handle), number)
        return handle

    def device_of(self, address: int) -> int:
        """The GPU whose memory an address is in."""
        number = ctypes.c_int()
        self.call("cuPointerGetAttribute", ctypes.byref(number), DEVICE_ORDINAL, ctypes.c_uint64(address))
        return number.value

    @contextmanager
    def entered(self, device: int) -> Iterator[None]:
        """While it lasts, this thread is in the GPU's own context, which all libraries share.

        It leaves it again: libraries make new arrays on the GPU whose context is current.
        """
        own, current = self.context(device), ctypes.c_void_p()
        self.call("cuCtxGetCurrent", ctypes.byref(current))
        if current.value == own.value:
            yield
            return
        self.call("cuCtxPushCurrent_v2", own)
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent_v2", ctypes.byref(current))

    def context(self, device: int) -> ctypes.c_void_p:
        """The GPU's own context, kept from its first use on."""
        if device not in self._contexts:
            context = ctypes.c_void_p()
            self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), self.device(device))
            self._contexts[device] = context
        return self._contexts[device]

    def load(self, code: bytes, symbol: str, shared_bytes: int) -> ctypes.c_void_p:
        """The kernel of this code on the GPU of the current context, allowed that much shared memory."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        log = ctypes.create_string_buffer(LOG_BYTES)
        options = (ctypes.c_int * 2)(JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BYTES)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), LOG_BYTES)
        self.call("cuModuleLoadDataEx", ctypes.byref(module), code + b"\0", 2, options, values, log=log)
        self.call("cuModuleGetFunction", ctypes.byref(function), module, symbol.encode())
        self.call("cuFuncSetAttribute", function, MAX_DYNAMIC_SHARED_BYTES, shared_bytes)
        return function

    def launch(
        self,
        function: ctypes.c_void_p,
        parameters: bytes,
        blocks: int,
        threads: int,
        shared_bytes: int,
        stream: int,
    ) -> None:
        """Start a kernel on a stream; it runs later. Parameters lie as in C, each aligned to its size."""
        size = ctypes.c_size_t(len(parameters))
        buffer = ctypes.create_string_buffer(parameters, size.value)
        places = (ctypes.addressof(buffer), PARAMETERS_SIZE, ctypes.addressof(size), PARAMETERS_END)
        given = (ctypes.c_void_p * 5)(PARAMETERS, *places)
        grid = (blocks, 1, 1, threads, 1, 1, shared_bytes)
        self.call("cuLaunchKernel", function, *grid, ctypes.c_void_p(stream), None, given)


@cache
def the_driver() -> Driver:
    """The driver of this machine.

    Raises   UnsupportedError where there is none, or no GPU
    """
    try:
        library = ctypes.CDLL(DRIVER)
    except OSError:
        raise UnsupportedError(
            f"this machine has no CUDA driver ({DRIVER} is not there), so it cannot run kernels for GPUs; it "
            "can build them: mhagen build SPEC --backend cuda"
        ) from None
    try:
        return Driver(library)
    except InternalError as error:
        raise UnsupportedError(f"the CUDA driver finds no GPU that it can use: {error}") from None


def gpu_of_this_machine() -> Gpu | None:
    """The most capable class that the first GPU belongs to; None without a GPU, or for an old one."""
    try:
        has = the_driver().compute_capability(0)
    except (UnsupportedError, InternalError):
        return None
    able = [g for g in GPUS if g.compute_capability <= has and (not g.suffix or g.compute_capability == has)]
    return able[-1] if able else None
