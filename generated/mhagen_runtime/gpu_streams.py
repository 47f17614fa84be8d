"""The stream that a call on a GPU is on, and what libraries of arrays are told of it."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from .errors import InputError

LEGACY_DEFAULT = 1  # the other handle of the default stream, which is 0 here


@dataclass(frozen=True)
class CallStream:
    """Where the kernels of a call run.

    Members  handle: 0 is the default stream; current_of: the library whose current stream it is
    """

    handle: int
    current_of: str


def library_of(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


def stream_of(stream: Any, like: Any) -> CallStream:
    """The stream that the caller names; without one, that which the array's library uses now.

    Raises   InputError
    """
    current = current_stream(like)
    handle = current if stream is None else handle_of(stream)
    return CallStream(handle, library_of(like) if handle == current else "")


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
            return module.cuda.stream(module.cuda.ExternalStream(stream.handle, device=like.device))
        case "cupy":
            return module.cuda.ExternalStream(stream.handle, like.device.id)
    return nullcontext()  # Numba frees memory when all streams are done
