"""Compiles a candidate for a GPU and has ptxas look at it, away from who wants to know. No GPU is needed."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from ..backend.cuda import load_gpu, tile_kernels
from ..base.target import Gpu
from ..pipeline import compile_to_gpu_source
from ..runtime import ptx_calls  # noqa: F401  (brings Numba's CUDA compiler: once, before the first candidate)
from ..runtime.gpu_launch import GpuKernel
from ..schedule.gpu_written import plan_from_json
from .gpu_static import blocks_at_once
from .isolated import Json
from .ptxas import figures_of


def check(request: Json) -> Json:
    """Compile the kernels of tiles into the cache, and give ptxas' figures, the worst of them counting.

    Raises   UnsupportedError where ptxas refuses one, and whatever compiling raises
    """
    start = perf_counter()
    plan = plan_from_json(request["schedule"])
    _, _, source = compile_to_gpu_source(request["spec"], request["arch"], plan)
    found = worst_figures(tile_kernels(load_gpu(source)), source.target)
    return {**found, "seconds": perf_counter() - start}


def worst_figures(kernels: Sequence[GpuKernel], target: Gpu) -> dict[str, int]:
    """Those of `figures_of_kernel`, of all these kernels.

    Raises   UnsupportedError where ptxas refuses one, and whatever compiling raises
    """
    found = [figures_of_kernel(each, target) for each in kernels]
    worst = {name: max(each[name] for each in found) for name in found[0]}
    return {**worst, "blocks": min(each["blocks"] for each in found)}


def figures_of_kernel(kernel: GpuKernel, target: Gpu) -> dict[str, int]:
    """What ptxas says, what a block of threads has in shared memory, and how many of these run at once."""
    found = figures_of(kernel.code(), target.name)
    shared = kernel.shared_bytes + found.shared_bytes
    blocks = blocks_at_once(target, threads=kernel.threads, registers=found.registers, shared_bytes=shared)
    return {**vars(found), "shared_bytes": shared, "blocks": blocks}
