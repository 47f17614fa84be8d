"""Calls whose arrays lie beside pages that nobody may touch, for a process of their own: a fault ends it."""

from __future__ import annotations

import ctypes
import mmap
import sys
from dataclasses import replace
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np

from mhagen.base.target import target_named
from mhagen.runtime import arguments, linear
from mhagen.runtime.linear import Panels

from . import dtypes, layers
from .calls import Array, Call, Shape, same_bits
from .layers import rows, weights_of
from .specs import BY_NAME, Case

PAGE = mmap.PAGESIZE
UNTOUCHABLE = 0  # PROT_NONE
KNOWN = (dtypes.CASES, layers.LAYERS)  # importing them is what makes their specs known by name
WAYS = ("contiguous", "reordered", "backwards", "one row for all")


def fenced(array: Array, *, at_end: bool) -> Array:
    """A copy whose last byte (or first) is the neighbour of a page that cannot be read or written."""
    pages = -(-array.nbytes // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None).mprotect
    for page in (start, start + (pages + 1) * PAGE):
        assert protect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), UNTOUCHABLE) == 0
    offset = PAGE + (pages * PAGE - array.nbytes if at_end else 0)
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


def laid(array: Array, way: str, *, at_end: bool) -> Array:
    """The array in fenced memory, by one of the WAYS."""
    outer = array.ndim - 1
    match way:
        case "reordered":
            order = (*reversed(range(outer)), outer)
            return fenced(array.transpose(order), at_end=at_end).transpose(np.argsort(order))
        case "backwards":
            flip = (slice(None, None, -1),) * outer
            return fenced(array[flip], at_end=at_end)[flip]
        case "one row for all":
            row = array[(slice(0, 1),) * outer]
            return np.broadcast_to(fenced(row, at_end=at_end), array.shape)
        case _:
            return fenced(array, at_end=at_end)


class FencedNumpy:
    """NumPy, but what a kernel's entry allocates for results and offsets is fenced too."""

    def __init__(self, *, at_end: bool) -> None:
        self.at_end = at_end

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any) -> Array:
        return fenced(np.empty(shape, dtype), at_end=self.at_end)

    def zeros(self, shape: Any, dtype: Any) -> Array:
        return fenced(np.zeros(shape, dtype), at_end=self.at_end)


def attend(case: Case, module: ModuleType, shape: Shape, way: str, *, at_end: bool) -> None:
    call = shape.random(case) | {"query_offset": np.arange(shape.batch) * 3 - 1}
    call = {name: laid(array, way, at_end=at_end) for name, array in call.items()}
    expected = module.attention(**{name: array.copy() for name, array in call.items()})
    found = unfenced_after(module, at_end, call)
    same_bits(case.spec, found, expected)


def unfenced_after(module: ModuleType, at_end: bool, call: Call) -> Any:
    vars(module)["np"] = vars(arguments)["np"] = FencedNumpy(at_end=at_end)
    try:
        return module.attention(**call)
    finally:
        vars(module)["np"] = vars(arguments)["np"] = np


def run_layer(case: Case, length: int, *, at_end: bool) -> None:
    x = rows(case.spec, 2, length, seed=length)
    context = rows(case.spec, 2, length + 1, seed=length)
    inputs = {name: np.ones(case.spec.heads.query, np.float32) for name in case.spec.inputs}
    prepared = case.module.prepare(weights_of(case.spec, 0))
    expected = case.module.layer(x, prepared, context=context, **inputs)
    panels = tuple(
        (product, Panels(*(fenced(array, at_end=at_end) for array in vars(packed).values())))
        for product, packed in prepared.panels
    )
    module = case.module
    vars(module)["np"] = vars(linear)["np"] = FencedNumpy(at_end=at_end)
    x, context = fenced(x, at_end=at_end), fenced(context, at_end=at_end)
    found = module.layer(x, replace(prepared, panels=panels), context=context, **inputs)
    vars(module)["np"] = vars(linear)["np"] = np
    same_bits(case.spec, found, expected)


def shapes(module: ModuleType) -> tuple[Shape, ...]:
    tile, block, row = module.TILE_QUERIES, module.BLOCK_KEYS, module.KEY_ROWS
    few, chunk = module.DECODE_QUERIES, module.CHUNK_KEYS
    sizes = (
        (tile, 0),
        (1, 0),
        (1, 1),
        (2, row - 1),
        (few, chunk + 1),
        (tile - 1, row + 1),
        (tile + 1, block + 1),
    )
    return tuple(Shape(2, queries, keys, seed=queries) for queries, keys in sizes)


def step_over() -> None:
    """Read one byte too many."""
    array = fenced(np.ones(3), at_end=True)
    print(ctypes.string_at(array.ctypes.data, array.nbytes + 1))


def main(target: str, *names: str) -> None:
    for name, at_end in product(names, (False, True)):
        case, edge = replace(BY_NAME[name], chosen=target_named(target)), "end" if at_end else "start"
        for shape, way in product(shapes(case.module), WAYS):
            print(case, shape, way, edge, flush=True)
            attend(case, case.module, shape, way, at_end=at_end)
        for length in (1, 5, 9) if case.spec.projections else ():
            print(case, length, edge, flush=True)
            run_layer(case, length, at_end=at_end)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
