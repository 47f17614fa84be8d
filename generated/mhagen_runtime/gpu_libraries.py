"""The libraries of arrays that multiply for a layer on a GPU: PyTorch, or CuPy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol

import numpy as np

from .gpu_streams import stream_of, working_on

# By which PyTorch lets cuBLAS add up parts of a long sum as 16-bit numbers.
REDUCTIONS = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")


class Library(Protocol):
    """What a layer needs of the library that its arrays are from."""

    def linear(self, x: Any, weight: Any, bias: Any) -> Any:
        """x (..., inputs) times weight (outputs, inputs), and bias (outputs,) or None added."""

    def cast(self, x: Any, dtype: str) -> Any:
        """The same numbers in another format."""

    def array(self, values: np.ndarray, like: Any) -> Any:
        """These numbers where `like` is."""

    def empty(self, shape: tuple[int, ...], like: Any) -> Any:
        """A new array where `like` is, and of its dtype."""

    def copy(self, x: Any) -> Any: ...

    def turns(self, angles: Any) -> tuple[Any, Any]:
        """Cosines and sines."""

    def used(self, like: Any, stream: Any, *others: Any) -> Any:
        """While it lasts, the library works where `like` is, on the stream, in the formats that it is given.

        others: what else is read there, if it is an array
        Numbers   nothing is kept for gradients; PyTorch's sums of 16-bit products are float32 throughout
        """


class TorchLibrary:
    """PyTorch's tensors."""

    def __init__(self) -> None:
        self.torch: Any = sys.modules["torch"]

    def linear(self, x: Any, weight: Any, bias: Any) -> Any:
        return self.torch.nn.functional.linear(x, weight, bias)

    def cast(self, x: Any, dtype: str) -> Any:
        return x.to(getattr(self.torch, dtype))

    def array(self, values: np.ndarray, like: Any) -> Any:
        return self.torch.from_numpy(values).to(like.device)

    def empty(self, shape: tuple[int, ...], like: Any) -> Any:
        return self.torch.empty(shape, dtype=like.dtype, device=like.device)

    def copy(self, x: Any) -> Any:
        return x.detach().clone()

    def turns(self, angles: Any) -> tuple[Any, Any]:
        return angles.cos(), angles.sin()

    @contextmanager
    def used(self, like: Any, stream: Any, *others: Any) -> Iterator[None]:
        torch, call = self.torch, stream_of(stream, like)
        for each in (like, *others):
            call.wait_for_current(each)
        with (
            torch.no_grad(),
            torch.autocast(like.device.type, enabled=False),
            SUMS_IN_FULL.of(torch),
            working_on(call, like),
        ):
            yield


class ArrayLibrary:
    """Arrays of CuPy, or of another library with NumPy's functions."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def linear(self, x: Any, weight: Any, bias: Any) -> Any:
        product = self.module.matmul(x, weight.T)
        return product if bias is None else product + bias

    def cast(self, x: Any, dtype: str) -> Any:
        return x.astype(dtype, copy=False)

    def array(self, values: np.ndarray, like: Any) -> Any:
        return self.module.asarray(values)

    def empty(self, shape: tuple[int, ...], like: Any) -> Any:
        return self.module.empty(shape, like.dtype)

    def copy(self, x: Any) -> Any:
        return x.copy()

    def turns(self, angles: Any) -> tuple[Any, Any]:
        return self.module.cos(angles), self.module.sin(angles)

    @contextmanager
    def used(self, like: Any, stream: Any, *others: Any) -> Iterator[None]:
        call = stream_of(stream, like)
        for each in (like, *others):
            call.wait_for_current(each)
        with like.device, working_on(call, like):
            yield


class SumsInFull:
    """What keeps PyTorch from adding up 16-bit numbers. It is one setting of a process, for all its threads:
    the first call that begins turns it off, and the last that ends restores it."""

    def __init__(self) -> None:
        self.lock, self.calls = Lock(), 0
        self.before: list[Any] = []

    @contextmanager
    def of(self, torch: Any) -> Iterator[None]:
        """While it lasts, sums are float32."""
        matmul = torch.backends.cuda.matmul
        with self.lock:
            self.calls += 1
            if self.calls == 1:
                self.before = [setting(matmul, name) for name in REDUCTIONS]
                for name in REDUCTIONS:
                    setattr(matmul, name, False)
        try:
            yield
        finally:
            with self.lock:
                self.calls -= 1
                if self.calls == 0:
                    for name, value in zip(REDUCTIONS, self.before, strict=True):
                        setattr(matmul, name, value)


def setting(matmul: Any, name: str) -> Any:
    """As it can be set again: since PyTorch 2.10 it has a second half, which has a name of its own."""
    value, splits = getattr(matmul, name), getattr(matmul, f"{name}_split_k", None)
    return value if splits is None else (value, splits)


SUMS_IN_FULL = SumsInFull()
