"""Arrays on a GPU: their addresses and strides, from whatever library they are, without a copy or a wait.

DLPack is asked first, for it knows bfloat16; __cuda_array_interface__ serves Numba's arrays.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InputError, UnsupportedError
from .arguments import LIMIT, share_memory
from .gpu_driver import the_driver
from .gpu_streams import ORDERED, CallStream, library_of, working_on
from .sizes import Axes, Sizes

ALIGNMENT = 16  # bytes that one copy of a thread moves
ALLOCATING = ("torch", "cupy", "numba")
JAX = ("jax", "jaxlib")
OF_JAX = (
    "pass torch.from_dlpack(query) and so on, take results by jax.dlpack.from_dlpack(result), and keep the "
    "arrays on both sides until JAX has computed what reads them"
)
CUDA_DEVICES = (2, 13)  # DLPack's kDLCUDA and kDLCUDAManaged
# DLPack's (code, bits), and the type strings of __cuda_array_interface__.
DLPACK_DTYPES = {
    (2, 32): "float32", (2, 64): "float64", (2, 16): "float16", (4, 16): "bfloat16",
    (0, 32): "int32", (0, 64): "int64", (6, 8): "bool", (1, 16): "uint16",
}  # fmt: skip
TYPE_STRINGS = {
    "<f4": "float32", "<f8": "float64", "<f2": "float16", "<V2": "bfloat16",
    "<i4": "int32", "<i8": "int64", "|b1": "bool", "<u2": "uint16",
}  # fmt: skip
TORCH_DTYPES = {f"torch.{name}": name for name in DLPACK_DTYPES.values()}
SIZES = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int32": 4, "int64": 8, "bool": 1, "uint16": 2,
}  # fmt: skip


@dataclass(frozen=True)
class GpuArray:
    """What a kernel needs to know of an array. Units: strides in bytes."""

    array: Any
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: int
    capsule: Any = None  # DLPack's, which may own what lies there

    @property
    def is_aligned(self) -> bool:
        """Do all rows begin at a multiple of 16 bytes?"""
        bits = self.address
        for stride, length in zip(self.strides[:-1], self.shape, strict=False):
            if length > 1:
                bits |= stride
        return bits % ALIGNMENT == 0

    @property
    def bounds(self) -> tuple[int, int]:
        """The address of its lowest element, and that behind its highest; the same where there is none."""
        if 0 in self.shape:
            return self.address, self.address
        reaches = [step * (length - 1) for step, length in zip(self.strides, self.shape, strict=True)]
        lowest = self.address + sum(reach for reach in reaches if reach < 0)
        highest = self.address + sum(reach for reach in reaches if reach > 0)
        return lowest, highest + SIZES[self.dtype]

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """As NumPy describes arrays: it may say where elements lie, and must not read them."""
        places = {"data": (self.address, False), "strides": self.strides, "version": 3}
        return {**places, "shape": self.shape, "typestr": f"|V{SIZES[self.dtype]}"}


class DLTensor(ctypes.Structure):
    """DLPack's description of an array."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def array_of(name: str, array: Any, stream: CallStream | None) -> GpuArray:
    """The description of anything with __dlpack__ or __cuda_array_interface__ on a GPU.

    The stream waits for what others have still to compute of it; None is for new arrays, where that is
    nothing.

    Raises   InputError
    """
    if library_of(array) == "torch":
        return of_torch(name, array, stream)
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        kind, device = array.__dlpack_device__()
        if kind not in CUDA_DEVICES:
            raise InputError(f"{name} is in the memory of the host; needs to be on a GPU")
        return of_dlpack(name, array, int(device), stream)
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None:
        raise InputError(
            f"{name} is a {type(array).__name__}; needs an array on a GPU, with __dlpack__ or "
            "__cuda_array_interface__"
        )
    return of_interface(name, array, interface, stream)


def of_torch(name: str, array: Any, stream: CallStream | None) -> GpuArray:
    """PyTorch's tensors say the same as DLPack, in a tenth of the time."""
    if not array.is_cuda:
        raise InputError(f"{name} is in the memory of the host; needs to be on a GPU")
    if array.requires_grad:
        raise InputError(f"{name} needs a gradient, which no kernel computes: pass {name}.detach()")
    if stream is not None:
        stream.wait_for_current(array)
    size = array.itemsize
    strides = tuple(step * size for step in array.stride())
    dtype = TORCH_DTYPES.get(str(array.dtype), str(array.dtype))
    return GpuArray(array, array.data_ptr(), tuple(array.shape), strides, dtype, array.get_device())


def of_dlpack(name: str, array: Any, device: int, stream: CallStream | None) -> GpuArray:
    told = ORDERED if stream is None else stream.told_to(library_of(array))
    try:
        capsule = array.__dlpack__(stream=told)
    except (BufferError, RuntimeError, TypeError) as error:
        raise InputError(
            f"{name} cannot be read: {error}; if it needs a gradient, pass {name}.detach()"
        ) from None
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    tensor = DLTensor.from_address(pointer(capsule, b"dltensor"))
    dtype = DLPACK_DTYPES.get(
        (tensor.code, tensor.bits), f"of DLPack's kind {tensor.code}, {tensor.bits} bits"
    )
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    size = SIZES.get(dtype, tensor.bits // 8)
    strides = (
        tuple(tensor.strides[axis] * size for axis in range(tensor.ndim))
        if tensor.strides
        else without_gaps(shape, size)
    )
    address = (tensor.data or 0) + tensor.byte_offset
    return GpuArray(array, address, shape, strides, dtype, device, capsule)


def of_interface(name: str, array: Any, interface: Mapping[str, Any], stream: CallStream | None) -> GpuArray:
    dtype = TYPE_STRINGS.get(interface["typestr"], interface["typestr"])
    shape = tuple(interface["shape"])
    if dtype not in SIZES:
        raise InputError(f"{name} has elements of type {dtype!r}, which no kernel reads")
    strides = tuple(interface.get("strides") or without_gaps(shape, SIZES[dtype]))
    address, pending = interface["data"][0], interface.get("stream")
    device = device_of(address)
    if stream is not None and pending is not None and address:
        stream.wait_for(pending, device)
    return GpuArray(array, address, shape, strides, dtype, device)


def device_of(address: int) -> int:
    """The GPU that an array of __cuda_array_interface__ is on: it does not say."""
    return the_driver().device_of(address) if address else 0


def without_gaps(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    strides = []
    for length in reversed(shape):
        strides.append(size)
        size *= max(length, 1)
    return tuple(reversed(strides))


def bind_gpu(name: str, array: Any, dtype: str, axes: Axes, sizes: Sizes, stream: CallStream) -> GpuArray:
    """The description of an array of heads, if it is as the kernel needs it.

    Raises   InputError
    """
    found = checked(name, array, dtype, axes, sizes, stream)
    if found.shape[-1] > 1 and found.strides[-1] != SIZES[dtype]:
        raise InputError(f"{name} has strides {found.strides} in bytes; needs its last axis without gaps")
    return found


def bind_gpu_input(
    name: str, array: Any, dtype: str, axes: Axes, sizes: Sizes, stream: CallStream
) -> GpuArray:
    """As bind_gpu, for an array that expressions index: its elements lie side by side.

    Raises   InputError; UnsupportedError for one with no element, where there are queries that would read it
    """
    found = checked(name, array, dtype, axes, sizes, stream)
    if not is_contiguous(found):
        raise InputError(f"{name} has strides {found.strides} in bytes; needs its elements side by side")
    if 0 in found.shape and sizes["batch"] * sizes["queries"] > 0:
        raise UnsupportedError(
            f"{name} has shape {found.shape}: where there are queries but no keys, the CUDA backend needs "
            "one element at least"
        )
    return found


def bind_gpu_out(
    name: str,
    array: Any,
    dtype: str,
    axes: Axes,
    sizes: Sizes,
    operands: Mapping[str, GpuArray],
    stream: CallStream,
) -> GpuArray:
    """The caller's array for results, or a new one of the library that the first operand is from, made on
    the stream.

    Raises   InputError; UnsupportedError for a library whose arrays cannot be written to
    """
    if array is None:
        shape = tuple(axis if isinstance(axis, int) else sizes[axis] for axis in axes)
        return new_array(name, next(iter(operands.values())), shape, dtype, stream)
    found = bind_gpu(name, array, dtype, axes, sizes, stream)
    strides = sorted((abs(s), n) for s, n in zip(found.strides, found.shape, strict=True) if n > 1)
    end = SIZES[dtype] if 0 not in found.shape else 0
    for stride, length in strides:
        if stride < end:
            raise InputError(f"{name} has strides {found.strides} in bytes; needs a place for each element")
        end = stride * length
    for other, operand in operands.items():
        if overlap(found, operand):
            raise InputError(f"{name} shares memory with {other}, which would change while it is read")
    return found


def overlap(one: GpuArray, other: GpuArray) -> bool:
    """Do they have an element in common? Rows of one may lie between those of the other."""
    (first, end), (other_first, other_end) = one.bounds, other.bounds
    if end <= other_first or other_end <= first:
        return False
    return share_memory(np.asarray(one), np.asarray(other))


def new_statistic(
    name: str,
    heads: int,
    sizes: Sizes,
    like: GpuArray,
    stream: CallStream,
    *,
    of: str = "queries",
    count: int = 0,
) -> GpuArray:
    """A new float32 array (batch, query_heads, queries), or of keys; of so many keys of each query, int64.
    As a workspace, it is made on the stream.

    Raises   UnsupportedError for a library whose arrays cannot be written to
    """
    shape = (sizes["batch"], heads, sizes[of], *((count,) if count > 1 else ()))
    return new_array(name, like, shape, "int64" if count else "float32", stream)


def can_allocate(like: GpuArray) -> bool:
    """Is the array of a library that makes arrays to write to?"""
    return library_of(like.array) in ALLOCATING


def new_workspace(count: int, like: GpuArray, stream: CallStream) -> GpuArray:
    """New float32 numbers, free again for what follows on the stream when nobody holds the array."""
    return new_array("workspace", like, (count,), "float32", stream)


def new_counter(like: GpuArray, stream: CallStream) -> GpuArray:
    """A word that is 0 for what follows on the stream, and is to be held until that is on the stream."""
    counter = new_workspace(1, like, stream)
    driver = the_driver()
    with driver.entered(like.device):
        driver.clear(counter.address, stream.handle)
    return counter


def new_array(name: str, like: GpuArray, shape: tuple[int, ...], dtype: str, stream: CallStream) -> GpuArray:
    with working_on(stream, like.array):
        return array_of(name, empty(like, shape, dtype), None)


def empty(like: GpuArray, shape: tuple[int, ...], dtype: str) -> Any:
    """A new array on the same GPU, by the library that the array is from.

    Raises   UnsupportedError for a library whose arrays cannot be written to
    """
    library = library_of(like.array)
    module = sys.modules.get(library)
    match library:
        case "torch":
            return module.empty(shape, dtype=getattr(module, dtype), device=like.array.device)  # type: ignore[union-attr]
        case "cupy":
            with module.cuda.Device(like.device):  # type: ignore[union-attr]
                return module.empty(shape, dtype)  # type: ignore[union-attr]
        case "numba" if dtype != "bfloat16":
            with module.cuda.gpus[like.device]:  # type: ignore[union-attr]
                return module.cuda.device_array(shape, dtype)  # type: ignore[union-attr]
    if library in JAX:
        raise UnsupportedError(
            f"results cannot be made as arrays of JAX, which nobody may write to: {OF_JAX}"
        )
    raise UnsupportedError(
        f"results in {dtype} cannot be made as arrays of {library}: pass arrays of PyTorch or CuPy"
    )


def same_device(arrays: tuple[GpuArray, ...]) -> None:
    """Raises   InputError for arrays on different GPUs"""
    devices = sorted({each.device for each in arrays})
    if len(devices) > 1:
        raise InputError(f"arrays are on the GPUs {devices}; need to be on one")


def checked(name: str, array: Any, dtype: str, axes: Axes, sizes: Sizes, stream: CallStream) -> GpuArray:
    found = array_of(name, array, stream)
    if found.dtype != dtype and not (found.dtype == "uint16" and dtype in ("bfloat16", "float16")):
        raise InputError(f"{name} has dtype {found.dtype}; needs {dtype}")
    learn_shape(name, found.shape, axes, sizes)
    if any(place % SIZES[dtype] for place in (found.address, *found.strides)):
        raise InputError(
            f"{name} has elements between multiples of their {SIZES[dtype]} bytes: pass a contiguous copy"
        )
    return found


def learn_shape(name: str, shape: tuple[int, ...], axes: Axes, sizes: Sizes) -> None:
    """Note the lengths that this array is the first to have.

    Raises   InputError where others have other lengths
    """
    if len(shape) != len(axes):
        raise InputError(f"{name} has shape {shape}; needs {len(axes)} axes: {axes}")
    for axis, length in zip(axes, shape, strict=True):
        needed = axis if isinstance(axis, int) else sizes.get(axis, length)
        if needed != length:
            raise InputError(f"{name} has shape {shape}; needs {needed} along the axis {axis!r}")
        if length >= LIMIT:
            raise InputError(f"{name} has shape {shape}; needs fewer than 2**29 along each axis")
        if isinstance(axis, str):
            sizes.learn(axis, length, name)


def is_contiguous(found: GpuArray) -> bool:
    expected = without_gaps(found.shape, SIZES[found.dtype])
    axes = zip(found.strides, expected, found.shape, strict=True)
    return all(stride == needed or length == 1 for stride, needed, length in axes)
