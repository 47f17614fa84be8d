"""A simulated GPU: libcuda is a stand-in, and what it launches is run by the machine that interprets.

What is asked of it waits, as on a stream, until somebody looks at a result. An array that nobody holds any
more is gone for what is asked later, so a call that lets go of one too early is a Fault. There is one stream;
tests/gpu/test_streams.py is about several.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from gpu import attention, hardware, libraries
from gpu.attention import Call, Outcome
from gpu.by_torch import TorchGpu
from gpu.libcuda import Library, OnGpu, given_in, put, replace_driver
from gpu.machine import run as machine
from gpu.machine.memory import GUARD, POISON, GlobalMemory
from gpu.machine.run import Launch
from gpu.machine.source import Program, read
from mhagen.base.target import GPUS, gpu_named
from mhagen.runtime import gpu_driver, gpu_launch
from mhagen.spec.statistic import LEADERS

MULTIPROCESSORS = 2  # so few that blocks of threads take several tasks
WITHOUT_ASKING = 48 << 10  # bytes of shared memory of a block
# Of the driver's cuda.h.
INVALID_VALUE, INVALID_CONTEXT, NO_BINARY_FOR_GPU, INVALID_HANDLE, NOT_FOUND = 1, 201, 209, 400, 500
UNWRITTEN = 0x7F  # bytes of new arrays: no number of any format that is right anywhere
HEADS = ("query", "key", "value")


@dataclass
class Kernel:
    """What was loaded, and how much shared memory its blocks may have."""

    program: Program
    width: int
    allowed: int = WITHOUT_ASKING


@dataclass
class Gpu(Library):
    """Members  pending: what was asked for; counts: as the machine counts; ran: so many kernels"""

    memory: GlobalMemory = field(default_factory=GlobalMemory)
    pending: list[Callable[[], object]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    ran: int = 0
    loaded: ClassVar[list[Kernel]] = []  # modules keep what they have loaded, from test to test

    def attribute(self, value: Any, attribute: int, device: Any) -> None:
        if attribute == gpu_driver.MULTIPROCESSORS:
            put(value, MULTIPROCESSORS)
        else:
            super().attribute(value, attribute, device)

    @property
    def most_shared_bytes(self) -> int:
        return min(each.shared_bytes for each in GPUS if each.compute_capability == self.capability)

    def load(self, module: Any, code: bytes, *options: Any) -> int:
        text = code.rstrip(b"\0").decode()
        program = read(text)
        target = gpu_named(program.target)
        if not self.contexts:
            return INVALID_CONTEXT
        if target.compute_capability > self.capability or (
            target.suffix and target.compute_capability != self.capability
        ):
            return NO_BINARY_FOR_GPU
        self.loaded.append(Kernel(program, machine.width_of(text)))
        put(module, len(self.loaded))
        return 0

    def function(self, function: Any, module: Any, symbol: bytes) -> int:
        put(function, module.value)
        return 0 if self.loaded[module.value - 1].program.name == symbol.decode() else NOT_FOUND

    def allow(self, function: Any, attribute: int, size: int) -> int:
        assert attribute == gpu_driver.MAX_DYNAMIC_SHARED_BYTES
        self.loaded[function.value - 1].allowed = size
        return 0 if size <= self.most_shared_bytes else INVALID_VALUE

    def clear(self, address: Any, value: int, count: Any, stream: Any) -> int:
        words = np.full(count.value, value, np.uint32)
        self.pending.append(partial(self.write, address.value, words))
        return 0 if self.contexts else INVALID_CONTEXT

    def launch(self, function: Any, *how: Any) -> int:
        """Nothing runs yet: the host goes on."""
        if not self.contexts:
            return INVALID_CONTEXT
        if function.value is None:  # loaded before this GPU took its place
            return INVALID_HANDLE
        kernel, told, shared = self.loaded[function.value - 1], given_in(how[9]), how[6]
        program = kernel.program
        is_too_much = shared > kernel.allowed or how[3] > program.most_threads
        if is_too_much or len(told) != program.struct.size or min(how[:6]) < 1:
            return INVALID_VALUE
        start = Launch(tuple(how[:3]), how[3], shared, kernel.width)
        self.pending.append(partial(self.run, kernel, start, program.struct.unpack(told)))
        return 0

    def run(self, kernel: Kernel, how: Launch, arguments: tuple[int, ...]) -> None:
        self.counts += machine.launch(kernel.program, how, arguments, self.memory)
        self.ran += 1

    def write(self, address: int, array: NDArray[Any]) -> None:
        flat = array.reshape(-1).view(np.uint8)
        self.memory.write(np.array([address]), flat[None]) if flat.size else None

    def new(self, kind: type[OnGpu], shape: tuple[int, ...], typestr: str) -> OnGpu:
        """An array of a library, with nothing in it."""
        size = prod(shape) * int(typestr[-1])
        address = self.memory.top
        self.memory.top = (address + size + GUARD + 255) & ~255
        assert self.memory.top < self.memory.bytes.size
        self.pending.append(partial(self.own, address, size, True, UNWRITTEN))
        return self.held(kind(address, shape, typestr), address, size)

    def put(self, kind: type[OnGpu], array: NDArray[Any], call: Call | None = None) -> OnGpu:
        """An array of a library with those numbers; as a call says, with its rows apart or backwards."""
        first, typestr = self.memory.top, libraries.TYPE_STRINGS[array.dtype.name]
        if call is None:
            found = kind(self.memory.put(array), array.shape, typestr)
        else:
            place, (batch, heads, rows) = attention.put(self.memory, array, call)
            outer = (batch, heads, rows) if call.layout == "bhsd" else (batch, rows, heads)
            found = kind(place, array.shape, typestr, (*outer, array.itemsize))
        return self.held(found, first, self.memory.top - first)

    def held(self, array: OnGpu, address: int, size: int) -> OnGpu:
        """Its memory is nobody's for what is asked when nobody holds it any more."""
        weakref.finalize(array, self.pending.append, partial(self.own, address, size, False))
        return array

    def own(self, address: int, size: int, is_mine: bool, filled: int = POISON) -> None:
        self.memory.bytes[address : address + size] = filled
        self.memory.is_mine[address : address + size] = is_mine

    def finish(self) -> None:
        """Do what is pending."""
        while self.pending:
            self.pending.pop(0)()

    def fetch(self, array: OnGpu, dtype: DTypeLike) -> NDArray[Any]:
        assert array.typestr == libraries.TYPE_STRINGS[np.dtype(dtype).name]
        self.finish()
        return self.memory.get(array.address, dtype, array.shape)


@dataclass
class Arrays(libraries.Module):
    """PyTorch or CuPy, with memory of the simulated GPU."""

    gpu: Gpu = field(default_factory=Gpu)

    def empty(self, shape: tuple[int, ...], dtype: str, device: Any = None) -> Any:
        kind = libraries.KINDS[self.name]
        return self.gpu.new(kind, shape, libraries.TYPE_STRINGS[dtype.split(".")[-1]])


def installed(monkeypatch: pytest.MonkeyPatch, **about: Any) -> Gpu:
    """A GPU in place of that of this machine, for which PTX is code enough; PyTorch and CuPy that have it."""
    if hardware.is_chosen():
        pytest.skip("a GPU would have to wait for an interpreter")
    found = Gpu(**about)
    replace_driver(found, monkeypatch)
    monkeypatch.setattr(gpu_launch.GpuKernel, "image", lambda self, has: self.code())
    for name in libraries.KINDS:
        monkeypatch.setitem(sys.modules, name, Arrays(name, 0, gpu=found))  # type: ignore[arg-type]
    return found


def gpu_for_calls(monkeypatch: pytest.MonkeyPatch) -> Gpu | TorchGpu:
    """A simulated one, or that of this machine where tests are asked for it."""
    return TorchGpu() if hardware.is_chosen() else installed(monkeypatch)


def attend(
    gpu: Gpu | TorchGpu, spec: Mapping[str, Any], call: Call, module: Any, library: str = "torch"
) -> Outcome:
    """Call attention() as a user does, with arrays of a library, and let it make those for results."""
    kind = libraries.KINDS[library]
    arrays = attention.operands(spec, call)
    given = {name: gpu.put(kind, array, call) for name, array in zip(HEADS, arrays, strict=True)}
    given |= {name: gpu.put(kind, array) for name, array in call.inputs.items()}
    # The offsets are held by the call alone.
    result = module.attention(
        **given,
        query_offset=gpu.put(kind, np.array(call.offsets)) if call.offsets else call.query_offset,
    )
    del given
    statistics = tuple(spec.get("outputs", {}).get("statistics", ()))
    results = result if statistics else (result,)
    dtypes = (
        attention.DTYPES[spec["dtype"]],
        *(np.int64 if name in LEADERS else np.float32 for name in statistics),
    )
    found = tuple(gpu.fetch(each, dtype) for each, dtype in zip(results, dtypes, strict=True))
    wanted = attention.reference(spec, call, arrays)
    return Outcome(tuple(each.astype(np.float64) for each in found), wanted, gpu.counts)
