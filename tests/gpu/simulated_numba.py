"""Numba's arrays and events on a simulated GPU: what `--verify`, `bench` and `tune` use of numba.cuda."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from gpu.libcuda import OnGpu
from gpu.libraries import TYPE_STRINGS
from gpu.simulated import Gpu

NAMES = {text: name for name, text in TYPE_STRINGS.items()}


class Gpus:
    """The first is the only one."""

    @contextmanager
    def __getitem__(self, number: int) -> Iterator[None]:
        assert number == 0
        yield


@dataclass
class Event:
    """Members  after: so many kernels had run when it came; each takes a millisecond"""

    gpu: Gpu
    after: int = -1

    def record(self) -> None:
        self.gpu.pending.append(self.come)

    def come(self) -> None:
        self.after = self.gpu.ran

    def synchronize(self) -> None:
        self.gpu.finish()


def milliseconds(first: Event, second: Event) -> float:
    assert min(first.after, second.after) >= 0, "they have to have come"
    return float(second.after - first.after)


def installed(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else of numba.cuda stays as it is."""
    from numba import cuda

    class OfNumba(OnGpu):
        """Speaks __cuda_array_interface__, and not DLPack."""

        __module__ = "numba.cuda"

        def copy_to_host(self) -> NDArray[Any]:
            return gpu.fetch(self, NAMES[self.typestr])

    def new(shape: tuple[int, ...], dtype: DTypeLike) -> OnGpu:
        return gpu.new(OfNumba, shape, TYPE_STRINGS[np.dtype(dtype).name])

    stands = {"to_device": partial(gpu.put, OfNumba), "device_array": new, "gpus": Gpus()}
    stands |= {"event": partial(Event, gpu), "event_elapsed_time": milliseconds}
    for name, each in stands.items():
        monkeypatch.setattr(cuda, name, each)
