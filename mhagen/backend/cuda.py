"""The CUDA backend: a graph to the source of a module, to files, and to a module of this process."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import assert_never

from ..base.digest import digest
from ..base.target import Gpu
from ..codegen.fma_lower import lower_fma
from ..codegen.gpu_facts import check_supported as check_supported
from ..codegen.gpu_lower import lower_gpu
from ..codegen.hopper_lower import lower_hopper
from ..codegen.render import GPU_SUPPORT, render_gpu
from ..ir.program import Program
from ..runtime.gpu_launch import GpuKernel
from ..schedule.gpu_plan import GpuSchedule, sizes_of
from ..schedule.hopper_plan import HopperSchedule
from ..schedule.workload import workload_of
from .cpu import PACKAGE, load_text

UNALIGNED = "UNALIGNED"  # so begin the names of kernels for arrays that are not aligned


@dataclass(frozen=True)
class GpuSource:
    """The text of a generated module; the same bytes for the same spec, target and version."""

    name: str
    target: Gpu
    schedule: GpuSchedule | HopperSchedule
    text: str

    @property
    def module_name(self) -> str:
        """A name of its own in this process: two sources never share one."""
        return f"{PACKAGE}.{self.name}_{digest(self.text)[:16]}"


def generate_gpu(program: Program, schedule: GpuSchedule | HopperSchedule, target: Gpu) -> GpuSource:
    """The source of the module for graphs on which all passes have run.

    Raises   UnsupportedError for what no CUDA kernel is written for yet
    """
    match schedule:
        case GpuSchedule() if sizes_of(workload_of(program.attention)).uses_fma:
            text = render_gpu(lower_fma(program, schedule, target))
        case GpuSchedule():
            text = render_gpu(lower_gpu(program, schedule, target))
        case HopperSchedule():
            text = render_gpu(lower_hopper(program, schedule, target))
        case _:
            assert_never(schedule)
    return GpuSource(program.attention.name, target, schedule, text)


def load_gpu(source: GpuSource) -> ModuleType:
    """Import the source into this process; needs Numba, and no GPU."""
    return load_text(source.module_name, source.text, tuple(GPU_SUPPORT))


def gpu_kernels(module: ModuleType) -> tuple[GpuKernel, ...]:
    """The kernels of a generated module that every user of it needs.

    The one for arrays that are not aligned is compiled when such a call comes, but where all are.
    """
    kernels = ((name, each) for name, each in vars(module).items() if isinstance(each, GpuKernel))
    return tuple(each for name, each in kernels if not name.startswith(UNALIGNED))


def tile_kernels(module: ModuleType) -> tuple[GpuKernel, ...]:
    """The kernels for many queries, one for each kind of heads: those that a schedule is for."""
    return kernels_called(module, "KERNEL")


def part_kernels(module: ModuleType) -> tuple[GpuKernel, ...]:
    """The kernels that attend from few queries to parts of the keys, one for each kind of heads."""
    return kernels_called(module, "PARTS")


def kernels_called(module: ModuleType, start: str) -> tuple[GpuKernel, ...]:
    kernels = ((name, each) for name, each in vars(module).items() if isinstance(each, GpuKernel))
    return tuple(each for name, each in kernels if name.startswith(start))
