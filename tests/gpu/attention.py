"""Attention kernels for GPUs, built from specs and run by the machine: what tests of them call."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import mhagen
from gpu import hardware
from gpu.machine import run as machine
from gpu.machine.faults import Fault
from gpu.machine.memory import GlobalMemory
from gpu.machine.run import WARP, Launch, width_of
from mhagen.backend import cuda
from mhagen.pipeline import compile_to_gpu_source
from mhagen.schedule.gpu_plan import GpuSchedule
from mhagen.schedule.hopper_plan import HopperSchedule
from mhagen.spec.statistic import LEADERS

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
}
SECOND = frozenset({"received", *LEADERS})  # statistics that are made in second passes
TINY: Mapping[str, Any] = {"dtype": "float16", "heads": {"query": 2, "key_value": 1, "dim": 32}}
# Few threads and small tiles: the machine takes as long as there are instructions.
SMALL = GpuSchedule(warps=2, row_tiles=1, block_keys=32, stages=2, keeps_queries=True)


def spec_of(**changes: Any) -> dict[str, Any]:
    """A spec with a name of its own: equal specs share a kernel."""
    found = {**TINY, **changes}
    told = json.dumps(found, sort_keys=True).encode()
    return {"name": f"k{hashlib.sha256(told).hexdigest()[:12]}", **found}


@cache
def built(told: str, schedule: GpuSchedule | HopperSchedule | None, arch: str) -> Any:
    return cuda.load_gpu(compile_to_gpu_source(json.loads(told), arch, schedule)[2])


def module_of(
    spec: Mapping[str, Any], schedule: GpuSchedule | HopperSchedule | None = SMALL, arch: str = "sm_80"
) -> Any:
    """The generated module of a spec, imported."""
    return built(json.dumps(spec), schedule, arch)


@dataclass(frozen=True)
class Call:
    """The lengths and arrays of one call."""

    queries: int
    keys: int
    batch: int = 1
    query_offset: int = 0
    offsets: tuple[int, ...] = ()  # one for each batch entry
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    layout: str = "bhsd"
    gap: int = 0  # numbers between rows that belong to nobody
    backwards: bool = False  # do batch entries, heads and rows lie in memory from the last to the first?
    seed: int = 0
    blocks: int = 2  # of threads, where they take one task after the other; 0: one for each task
    parts: int = 0  # of the keys, by the kernels for few queries; 0: by tiles
    change: Callable[..., None] = lambda query, key, value: None


@dataclass(frozen=True)
class Outcome:
    """What a kernel gave, and what it should have."""

    found: tuple[NDArray[Any], ...]
    wanted: tuple[NDArray[Any], ...]
    counts: Counter[str]


def launch(text: str, how: Launch, arguments: tuple[Any, ...], memory: GlobalMemory) -> Counter[str]:
    """Run a kernel: by the machine, or on a GPU where tests are asked for that."""
    return (hardware if hardware.is_chosen() else machine).launch(text, how, arguments, memory)


def run(spec: Mapping[str, Any], call: Call, module: Any = None, plant: Any = None) -> Outcome:
    """Run a kernel on random arrays, its warps in some order, and the reference on the same."""
    if plant is not None and hardware.is_chosen():
        pytest.skip("a GPU would hang: faults are for the machine that interprets")
    module = module_of(spec) if module is None else module
    arrays = operands(spec, call)
    memory = (hardware.GpuMemory if hardware.is_chosen() else GlobalMemory)(1 << 22)
    statistics = spec.get("outputs", {}).get("statistics", ())
    heads = spec["heads"]["query"]
    shape = (call.batch, heads, call.queries, spec["heads"].get("value_dim", spec["heads"]["dim"]))
    out = np.full(in_layout(shape, call.layout), 7, DTYPES[spec["dtype"]])
    arguments, places = [], []
    for array in (*arrays, out):
        address, strides = put(memory, array, call)
        places.append(address)
        arguments += [address, *strides]
    results = {name: memory.put(unwritten(name, shape, call.keys)) for name in statistics}
    first = [place for name, place in results.items() if name not in SECOND]
    if "received" in results:  # needs what makes weights of scores
        first += [memory.put(np.full(shape[:3], np.nan, np.float32)) for _ in range(2)]
    offsets = memory.put(np.array(call.offsets, np.int64)) if call.offsets else 0
    arguments += [*first, call.batch, call.queries, call.keys, call.query_offset, offsets]
    kinds = kinds_of_heads(module)
    code = kernel_of(module, "KERNEL", "KERNEL", kinds[0]).function.__code__
    names = code.co_varnames[: code.co_argcount]
    arguments += [memory.put(call.inputs[name.removesuffix("_array")]) for name in names if "_array" in name]
    counts = clear(call, module, tuple(arguments), results, memory)
    for kind in kinds:
        if call.parts:
            counts += decode(spec, call, module, kind, plant, tuple(arguments), memory)
        else:
            counts += attend(call, module, kind, plant, tuple(arguments), memory)
        counts += run_again(call, module, kind, tuple(arguments), results, memory)
    found = (
        taken(memory, places[3], out, call),
        *(memory.get(place, *described(name, shape, call.keys)) for name, place in results.items()),
    )
    return Outcome(tuple(each.astype(np.float64) for each in found), reference(spec, call, arrays), counts)


def kinds_of_heads(module: Any) -> list[str]:
    """What the names of the kernels of each kind of heads end with."""
    return [name.removeprefix("KERNEL") for name in vars(module) if name.startswith("KERNEL")]


def kernel_of(module: Any, aligned: str, other: str, kind: str, call: Call | None = None) -> Any:
    return getattr(module, f"{aligned if call is None or call.gap % 8 == 0 else other}{kind}")


def clear(
    call: Call,
    module: Any,
    arguments: tuple[int, ...],
    results: Mapping[str, int],
    memory: GlobalMemory,
) -> Counter[str]:
    """Run the kernel that clears pruned heads, where there are any."""
    if not hasattr(module, "CLEARING"):
        return Counter()
    blocks = module.PRUNED_HEADS * module.CLEARERS * call.batch
    how = Launch((blocks, 1, 1), module.DECODE_THREADS, 0, WARP, call.seed)
    own = (*of_leaders(results), *of_keys(results))
    return launch(module.CLEARING.code().decode(), how, (*arguments, *own), memory)


def of_leaders(results: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(place for name, place in results.items() if name in LEADERS)


def of_keys(results: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(place for name, place in results.items() if name == "received")


def attend(
    call: Call, module: Any, kind: str, plant: Any, arguments: tuple[int, ...], memory: GlobalMemory
) -> Counter[str]:
    """Run the kernel for tiles of queries of one kind of heads."""
    kernel = kernel_of(module, "KERNEL", "UNALIGNED", kind, call)
    text, heads = kernel.code().decode(), getattr(module, f"HEADS{kind}", module.QUERY_HEADS)
    blocks = -(-call.queries // module.TILE_QUERIES) * heads * call.batch
    if kernel.counts_tasks:  # few blocks of threads, each with many tasks; or one for each
        arguments = (*arguments, memory.put(np.zeros(1, np.uint32)) if call.blocks else 0)
        blocks = min(call.blocks, blocks) if call.blocks else blocks
    how = Launch((blocks, 1, 1), module.THREADS, module.SHARED_BYTES, width_of(text), call.seed)
    return launch(text if plant is None else plant(text), how, arguments, memory)


def described(name: str, shape: tuple[int, ...], keys: int) -> tuple[Any, tuple[int, ...]]:
    """The format and shape of a statistic."""
    if name == "received":
        return np.float32, (*shape[:2], keys)
    count = LEADERS.get(name, 0)
    return (np.int64 if count else np.float32), (*shape[:3], *((count,) if count > 1 else ()))


def unwritten(name: str, shape: tuple[int, ...], keys: int) -> NDArray[Any]:
    dtype, axes = described(name, shape, keys)
    return np.full(axes, 7, dtype)


def run_again(
    call: Call,
    module: Any,
    kind: str,
    arguments: tuple[int, ...],
    results: Mapping[str, int],
    memory: GlobalMemory,
) -> Counter[str]:
    """Run the kernels of second passes, as attention() does."""
    tasks = getattr(module, f"HEADS{kind}", module.QUERY_HEADS) * call.batch
    counts: Counter[str] = Counter()
    for name, length, own in (
        ("LEADING", call.queries, of_leaders(results)),
        ("RECEIVING", call.keys, of_keys(results)),
    ):
        if own:
            kernel = kernel_of(module, name, f"UNALIGNED_{name}", kind, call)
            grid = (-(-length // module.SECOND_TILE) * tasks, 1, 1)
            how = Launch(grid, module.SECOND_THREADS, module.SECOND_SHARED_BYTES, WARP, call.seed)
            counts += launch(kernel.code().decode(), how, (*arguments, *own), memory)
    return counts


def decode(
    spec: Mapping[str, Any],
    call: Call,
    module: Any,
    kind: str,
    plant: Any,
    arguments: tuple[int, ...],
    memory: GlobalMemory,
) -> Counter[str]:
    """Run the kernel for parts of the keys, then the one that merges them, as attention() does."""
    kernel = kernel_of(module, "PARTS", "UNALIGNED_PARTS", kind, call)
    rows = call.batch * spec["heads"]["query"] * call.queries
    workspace = memory.put(np.full(rows * call.parts * module.PART_NUMBERS, np.nan, np.float32))
    given = (*arguments, workspace, call.parts)
    tiles = -(-call.queries * getattr(module, f"MEMBERS{kind}", module.GROUP_SIZE) // module.DECODE_TILE)
    bundles = getattr(module, f"BUNDLES{kind}", module.KEY_VALUE_HEADS)
    blocks = call.parts * tiles * bundles * call.batch
    how = Launch((blocks, 1, 1), module.DECODE_THREADS, module.DECODE_SHARED_BYTES, WARP, call.seed)
    text = kernel.code().decode()
    counts = launch(text if plant is None else plant(text), how, given, memory)
    rows = call.batch * getattr(module, f"HEADS{kind}", module.QUERY_HEADS) * call.queries
    how = Launch((rows, 1, 1), module.DECODE_THREADS, 0, WARP, call.seed)
    merging = kernel_of(module, "MERGING", "MERGING", kind)
    return counts + launch(merging.code().decode(), how, given, memory)


def shows(
    spec: Mapping[str, Any], call: Call, plant: Callable[[str], str], module: Any = None, orders: int = 4
) -> bool:
    """Is the result of a kernel with a fault wrong, or is it refused, in one of some orders of its warps?"""
    for seed in range(orders):
        try:
            assert_right(run(spec, replace(call, seed=seed), module, plant), spec["dtype"])
        except (Fault, AssertionError):
            return True
    return False


# Steps that make threads wait: for each other, or for what they copy.
WAITING = re.compile(r"(?:@!?%\w+\s+)?(?:bar(?:rier)?\.(?:warp\.)?sync|cp\.async\.wait_group)[^;]*;")


def needless_waits(spec: Mapping[str, Any], calls: Sequence[Call], module: Any) -> list[int]:
    """Those that none of the calls misses when they are left out, by their numbers in the kernel."""
    assert not any(shows(spec, call, lambda text: text, module, 1) for call in calls)
    kernel = module.PARTS if calls[0].parts else module.KERNEL
    found = [each.span() for each in WAITING.finditer(kernel.code().decode())]
    assert len(found) > 3

    def is_missed(first: int, end: int) -> bool:
        return any(shows(spec, call, lambda text: text[:first] + text[end:], module, 1) for call in calls)

    return [number for number, (first, end) in enumerate(found) if not is_missed(first, end)]


def in_layout(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    return shape if layout == "bhsd" else (shape[0], shape[2], shape[1], shape[3])


def operands(spec: Mapping[str, Any], call: Call) -> tuple[NDArray[Any], ...]:
    heads, rng = spec["heads"], np.random.default_rng(call.seed)
    shared, dim = heads.get("key_value", heads["query"]), heads["dim"]
    shapes = (
        (heads["query"], call.queries, dim),
        (shared, call.keys, dim),
        (shared, call.keys, heads.get("value_dim", dim)),
    )
    arrays = tuple(
        rng.standard_normal(in_layout((call.batch, *shape), call.layout)).astype(DTYPES[spec["dtype"]])
        for shape in shapes
    )
    call.change(*arrays)
    return arrays


def put(memory: GlobalMemory, array: NDArray[Any], call: Call) -> tuple[int, tuple[int, ...]]:
    """The address of an array, and its strides along batch, heads and rows, in bytes."""
    words = array.view(f"u{array.itemsize}")
    nan = np.iinfo(words.dtype).max >> 1
    padded = np.pad(words, ((0, 0), (0, 0), (0, 0), (0, call.gap)), constant_values=nan)
    batch, first, second, _ = padded.strides
    if call.backwards:
        place = memory.put(padded[::-1, ::-1, ::-1]) + padded.nbytes - padded.shape[-1] * padded.itemsize
        batch, first, second = -batch, -first, -second
    else:
        place = memory.put(padded)
    return place, (batch, first, second) if call.layout == "bhsd" else (batch, second, first)


def taken(memory: GlobalMemory, place: int, array: NDArray[Any], call: Call) -> NDArray[Any]:
    """What is now where the array was put."""
    width = array.shape[-1] + call.gap
    if call.backwards:
        place -= (array.size // array.shape[-1] - 1) * width * array.itemsize
    found = memory.get(place, array.dtype, (*array.shape[:-1], width))
    return (found[::-1, ::-1, ::-1] if call.backwards else found)[..., : array.shape[-1]]


def reference(
    spec: Mapping[str, Any], call: Call, arrays: tuple[NDArray[Any], ...]
) -> tuple[NDArray[Any], ...]:
    offset = np.array(call.offsets) if call.offsets else call.query_offset
    found = mhagen.reference(spec).attention(*arrays, **call.inputs, query_offset=offset)
    parts = found if isinstance(found, tuple) else (found,)
    return tuple(np.asarray(part, np.float64) for part in parts)


def assert_right(outcome: Outcome, dtype: str) -> None:
    """Results are within the rounding of weights; what is not finite stands in the same places."""
    out_error = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 4e-6}[dtype]
    for number, (found, wanted) in enumerate(zip(outcome.found, outcome.wanted, strict=True)):
        known = np.isfinite(wanted)
        np.testing.assert_array_equal(np.isfinite(found), known)
        scale = max(1.0, float(np.abs(wanted[known]).max(initial=0.0)))
        error = float(np.abs(found[known] - wanted[known]).max(initial=0.0)) / scale
        assert error < (out_error if number == 0 else 2e-5), (number, error)
        beyond = ~known & ~np.isnan(wanted)
        np.testing.assert_array_equal(found[beyond], wanted[beyond])
    assert outcome.counts["bank_conflicts"] == 0
