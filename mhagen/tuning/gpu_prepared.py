"""Kernels for GPUs compiled ahead on all cores, and what can be said of them where there is no GPU."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass

from ..backend.cuda import load_gpu, part_kernels, tile_kernels
from ..base.errors import MhagenError
from ..base.settings import allowed_cpus
from ..pipeline import compile_to_gpu_source, load_gpu_kernel
from ..schedule.gpu_decode_plan import choose_decode_schedule
from ..schedule.gpu_plan import WARP, sizes_of
from ..schedule.workload import workload_of
from ..spec.model import Spec
from .gpu_call import decodes
from .gpu_checking import worst_figures
from .gpu_result import in_words
from .gpu_static import Prediction, Products, prediction_of, products_of
from .isolated import first_line
from .request import keys_of


@dataclass(frozen=True)
class Work:
    """A kernel to compile: a spec as JSON has it, without its own name; a GPU; few queries, or many."""

    spec: str
    arch: str
    is_decoded: bool = False


@dataclass(frozen=True)
class StaticFigures:
    """What is known of a kernel that has not run.

    Units    registers, and spilled_bytes, of a thread; shared_bytes of a block of threads; blocks that a
             multiprocessor holds, and their warps
    Members  products and prediction are those of kernels for many queries
    """

    schedule: str
    registers: int
    spilled_bytes: int
    shared_bytes: int
    blocks: int
    warps: int
    products: Products | None
    prediction: Prediction | None


def work_of(spec: Spec, arch: str, queries: int, keys: int) -> Work:
    """The kernel that a call takes."""
    text = json.dumps({**keys_of(spec), "name": "call"}, sort_keys=True)
    return Work(text, arch, decodes(spec, queries, keys))


def figures_of_works(works: Sequence[Work]) -> Iterator[StaticFigures | str]:
    """The figures of each, in their order, or why there are none. All cores compile."""
    if len(works) == 1:
        yield figures(works[0])
        return
    with pool() as processes:
        yield from processes.map(figures, works)


def figures(work: Work) -> StaticFigures | str:
    """What ptxas and the schedule say."""
    try:
        return figures_of_work(work)
    except MhagenError as error:
        return first_line(error)


def figures_of_work(work: Work) -> StaticFigures:
    """Raises   UnsupportedError where no kernel does it, or ptxas refuses one"""
    _, program, source = compile_to_gpu_source(json.loads(work.spec), work.arch)
    workload, gpu, plan = workload_of(program.attention), source.target, source.schedule
    sizes, kernels = sizes_of(workload), tile_kernels
    if work.is_decoded:
        plan, kernels = choose_decode_schedule(workload, plan, gpu), part_kernels
    found = worst_figures(kernels(load_gpu(source)), gpu)
    return StaticFigures(
        schedule=in_words(plan, sizes),
        registers=found["registers"],
        spilled_bytes=found["spilled_bytes"],
        shared_bytes=found["shared_bytes"],
        blocks=found["blocks"],
        warps=found["blocks"] * plan.threads // WARP,
        products=None if work.is_decoded else products_of(plan, sizes),
        prediction=None if work.is_decoded else prediction_of(plan, sizes, gpu),
    )


def prepare(works: Sequence[Work], seconds: float) -> None:
    """Compile modules into the cache, on all cores, as long as there is time: the rest when it is called.

    Raises   what compiling raises
    """
    with pool() as processes:
        done = [processes.submit(compiled, work) for work in works]
        wait(done, timeout=seconds)
        for each in done:
            each.cancel()
            if each.done() and not each.cancelled():
                each.result()


def compiled(work: Work) -> None:
    load_gpu_kernel(*compile_to_gpu_source(json.loads(work.spec), work.arch))


def pool() -> ProcessPoolExecutor:
    """Processes that start anew: none has a thread or a GPU of this one."""
    return ProcessPoolExecutor(allowed_cpus(), mp_context=multiprocessing.get_context("spawn"))
