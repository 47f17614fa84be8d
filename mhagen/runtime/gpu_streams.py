"""The stream that a call on a GPU is on, what it waits for, and what libraries of arrays are told of it.

Source   `stream` of __dlpack__ in the array API standard, and of the CUDA Array Interface, version 3: 1 is
         the default stream, 2 that of the thread, 0 is not allowed, and all else is a handle
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from ..base.errors import InputError
from .gpu_driver import the_driver

LEGACY_DEFAULT = 1  # the default stream as the standards call it; here, and for the driver, it is 0
ORDERED = -1  # tells a producer of DLPack that nothing has to wait for it
WITH_CURRENT_STREAMS = ("torch", "cupy")


@dataclass(frozen=True)
class CallStream:
    """Where the kernels of a call run.

    Members  handle: 0 is the default stream; current_of: the library whose current stream it is
    """

    handle: int
    current_of: str

    def told_to(self, library: str) -> int:
        """What a producer of DLPack is told: to let this stream wait for what it has still to compute."""
        return ORDERED if library == self.current_of else self.handle or LEGACY_DEFAULT

    def wait_for(self, other: int, device: int) -> None:
        """What follows here waits for what is on another stream of the GPU now."""
        if normal(other) != self.handle:
            driver = the_driver()
            with driver.entered(device):
                driver.order(normal(other), self.handle)

    def wait_for_current(self, like: Any) -> None:
        """What follows here waits for what PyTorch or CuPy has begun on its current stream.

        A tensor's memory is not given to others before what this stream has to do by then is done.
        """
        match library_of(like):
            case self.current_of:
                return
            case "torch":
                self.wait_for(current_stream(like), like.get_device())
                like.record_stream(external_stream(self, like))
            case "cupy":
                self.wait_for(current_stream(like), like.device.id)


def library_of(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


def stream_of(stream: Any, like: Any) -> CallStream:
    """The stream that the caller names; without one, that which the array's library uses now.

    Raises   InputError
    """
    library, current = library_of(like), current_stream(like)
    handle = current if stream is None else handle_of(stream)
    is_current = handle == current and library in WITH_CURRENT_STREAMS
    return CallStream(handle, library if is_current else "")


def handle_of(stream: Any) -> int:
    for attribute in ("cuda_stream", "ptr", "handle"):  # of PyTorch, CuPy, Numba
        handle = getattr(stream, attribute, None)
        if handle is not None:
            return normal(int(getattr(handle, "value", handle) or 0))
    if isinstance(stream, int):
        return normal(stream)
    raise InputError(
        f"stream is a {type(stream).__name__}; needs a handle, or a stream of the arrays' library"
    )


def current_stream(like: Any) -> int:
    """The handle of the stream that the array's library uses now; 0 for a library that has no such thing."""
    library = library_of(like)
    module: Any = sys.modules.get(library)
    match library:
        case "torch" if like.is_cuda:
            return normal(int(module.cuda.current_stream(like.device).cuda_stream))
        case "cupy":
            with like.device:  # there is one for each GPU
                return normal(int(module.cuda.get_current_stream().ptr))
    return 0


def external_stream(stream: CallStream, like: Any) -> Any:
    """The stream as PyTorch knows streams."""
    return sys.modules["torch"].cuda.ExternalStream(stream.handle, device=like.device)


def normal(handle: int) -> int:
    return 0 if handle == LEGACY_DEFAULT else handle


def working_on(stream: CallStream, like: Any) -> Any:
    """While it lasts, the array's library works on the stream: memory that it gives is free there.

    What was freed on another stream may still be in use by what is pending there.
    """
    library = library_of(like)
    module: Any = sys.modules.get(library)
    match library:
        case stream.current_of:
            return nullcontext()
        case "torch":
            return module.cuda.stream(external_stream(stream, like))
        case "cupy":
            return module.cuda.ExternalStream(stream.handle, like.device.id)
    return nullcontext()  # Numba frees memory when all streams are done
