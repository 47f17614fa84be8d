"""The path from a spec to a kernel: seven arrows, each from one frozen value to the next."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Never, TypeAlias

from .backend import acceptance, cpu, cuda
from .base.errors import InputError, UnsupportedError
from .base.target import GPUS, SM_90, Gpu, Target, gpu_named
from .codegen.render import generator_identity
from .ir.program import Program, build_program
from .passes import PASSES, Observer, run_passes
from .runtime.gpu_driver import gpu_of_this_machine
from .runtime.host import host_target
from .schedule.choose import choose_schedule
from .schedule.gpu_space import GpuPlan
from .schedule.gpu_tuned import GpuCircumstances, gpu_circumstances_here, tuned_gpu_plan
from .schedule.hopper_plan import choose_gpu_family
from .schedule.table import ScheduleTable, faults
from .schedule.tuned import Circumstances, circumstances_here, table_file, tuned_table
from .schedule.workload import workload_of
from .spec.load import load_spec
from .spec.model import Spec

SpecLike = str | Path | Mapping[str, Any] | Spec
# Finds the table of a spec on a target by measurement: see mhagen.tune.
Tuner: TypeAlias = Callable[[Spec, Target], ScheduleTable]
# Which schedules a build takes: those tuned before, if any; the untuned one; this table; what a tuner finds.
Tune: TypeAlias = Literal["cached", "never"] | ScheduleTable | Tuner


@dataclass(frozen=True, repr=False)
class Kernel:
    """A built kernel, and every value on the way to it."""

    spec: Spec
    program: Program
    source: cpu.Source | cuda.GpuSource
    module: ModuleType

    def __repr__(self) -> str:
        return f"<Kernel {self.spec.name} for {self.source.target.name}>"

    @property
    def attention(self) -> Callable[..., Any]:
        """attention(query, key, value, *, <inputs>, query_offset=None, out=None): see its docstring."""
        return self.module.attention  # type: ignore[no-any-return]

    @property
    def layer(self) -> Callable[..., Any]:
        """layer(x, weights, *, context=None, <inputs>, query_offset=None): see its docstring."""
        return self._of_layer("layer")

    @property
    def prepare(self) -> Callable[..., Any]:
        """prepare(weights): pack the weights once, for many calls of layer()."""
        return self._of_layer("prepare")

    def __reduce__(self) -> Never:
        raise TypeError(
            f"the kernel {self.spec.name} cannot be pickled: pickle its spec, and build it where it is needed"
        )

    def _of_layer(self, name: str) -> Callable[..., Any]:
        if self.spec.projections is None:
            raise InputError(f"{self.spec.name} has no {name}(): its spec has no [projections]")
        return getattr(self.module, name)  # type: ignore[no-any-return]


def build(
    spec: SpecLike,
    *,
    backend: str = "cpu",
    arch: str | None = None,
    out: str | Path | None = None,
    tune: Tune = "cached",
) -> Kernel:
    """Compile a spec: a path, a dict or a Spec. With `out`, also write the module into that folder.

    `tune` changes how fast the kernel is, and the last bits of its results; nothing else. `arch` is the GPU
    that a CUDA kernel is for ("sm_90"); without it this machine's, or sm_90. No GPU is needed to build.

    Raises   SpecError for a wrong spec, UnsupportedError for one that this version or machine cannot serve,
             VerificationError (and nothing written) when the kernel disagrees with the reference, InputError
             where `out` has a module of that name for the other backend
    """
    if backend == "cuda":
        if tune not in ("cached", "never"):
            raise UnsupportedError(
                "tune is a table for CPUs, or measures on one; for GPUs see mhagen.tune_for_gpu"
            )
        return build_for_gpu(spec, arch, out, tune)
    if arch is not None:
        raise InputError(f"arch is {arch!r}, which is for backend='cuda'")
    spec, program, source = compile_to_source(spec, backend=backend, tune=tune)
    if out is not None:
        cpu.keep_other_backend(source, Path(out))
    kernel = load_kernel(spec, program, source)
    acceptance.compare(kernel.spec, kernel.module)
    if out is not None:
        cpu.write(kernel.source, Path(out))
    return kernel


def compile_to_source(
    spec: SpecLike,
    *,
    backend: str = "cpu",
    target: Target | None = None,
    observe: Observer | None = None,
    tune: Tune = "cached",
) -> tuple[Spec, Program, cpu.Source]:
    """The first six arrows; no machine code yet. `observe` is shown the main graph after each pass."""
    if backend == "cuda":
        raise InputError("compile_to_source() is for the CPU; see compile_to_gpu_source()")
    if backend != "cpu":
        raise UnsupportedError(f"backend {backend!r} does not exist: needs cpu or cuda")
    given, spec = spec, load_spec(spec)
    target = target if target is not None else host_target(spec.dtype.value)
    program = build_program(spec)
    main = program.main
    program = program.map(lambda graph: run_passes(graph, PASSES, observe if graph is main else None))
    beside = table_file(given) if isinstance(given, str | os.PathLike) else None
    table = found_table(spec, target, tune, beside)
    if table is None:
        table = ScheduleTable.of(choose_schedule(program.attention, target))
    return spec, program, cpu.generate(program, table, target)


def build_for_gpu(
    spec: SpecLike, arch: str | None, out: str | Path | None, tune: Literal["cached", "never"] = "cached"
) -> Kernel:
    """Compile a spec to PTX, kept in the cache; a machine with a GPU loads it when it is first called.

    Raises   SpecError, InputError for an unknown GPU or where `out` has a module of that name for CPUs,
             UnsupportedError for what no CUDA kernel does yet
    """
    spec, program, source = compile_to_gpu_source(spec, arch, tune=tune)
    if out is not None:
        cpu.keep_other_backend(source, Path(out))
    kernel = load_gpu_kernel(spec, program, source)
    if out is not None:
        cpu.write(kernel.source, Path(out))
    return kernel


def compile_to_gpu_source(
    spec: SpecLike,
    arch: str | None = None,
    schedule: GpuPlan | None = None,
    *,
    tune: Literal["cached", "never"] = "cached",
) -> tuple[Spec, Program, cuda.GpuSource]:
    """The first six arrows on the way to a GPU; nothing is compiled yet.

    `schedule` is taken as it is; without it the one that was tuned before, unless `tune` says never.
    """
    spec = load_spec(spec)
    target = gpu_target(arch)
    program = build_program(spec).map(lambda graph: run_passes(graph, PASSES))
    cuda.check_supported(program)
    work = workload_of(program.attention)
    if schedule is None and tune == "cached":
        schedule = tuned_gpu_plan(gpu_circumstances(spec, target), work, target)
    if schedule is None:
        schedule = choose_gpu_family(work, target)
    return spec, program, cuda.generate_gpu(program, schedule, target)


def gpu_target(arch: str | None) -> Gpu:
    """The GPU of that name; without one this machine's, else sm_90.

    Raises   InputError for an unknown name
    """
    if arch is None:
        return gpu_of_this_machine() or SM_90
    if arch not in {gpu.name for gpu in GPUS}:
        raise InputError(f"arch is {arch!r}; needs one of {', '.join(gpu.name for gpu in GPUS)}")
    return gpu_named(arch)


def load_gpu_kernel(spec: Spec, program: Program, source: cuda.GpuSource) -> Kernel:
    """The last arrow: machine code from the cache, or compiled now, for the GPU that the source is for."""
    module = cuda.load_gpu(source)
    for kernel in cuda.gpu_kernels(module):
        kernel.image(source.target.compute_capability)
    return Kernel(spec, program, source, module)


def found_table(spec: Spec, target: Target, tune: Tune, beside: Path | None) -> ScheduleTable | None:
    """The table that `tune` says, if it says one. `beside`: the file of tuned schedules beside the spec.

    Raises   InputError for a table that is not legal on the target, with the rules that it breaks
    """
    match tune:
        case "never":
            return None
        case "cached":
            return tuned_table(circumstances(spec, target), target, spec.dtype, beside)
        case ScheduleTable():
            table = tune
        case _ if callable(tune):
            table = tune(spec, target)
        case _:
            raise InputError(f'tune is {tune!r}; needs "cached", "never", "now", a ScheduleTable or a tuner')
    if broken := faults(table, target, spec.dtype):
        raise InputError(f"the schedules given for {spec.name} are illegal: {'; '.join(broken)}")
    return table


def circumstances(spec: Spec, target: Target) -> Circumstances:
    """What decides whether a tuned table is for this build."""
    return circumstances_here(spec, target, generator_identity())


def gpu_circumstances(spec: Spec, target: Gpu) -> GpuCircumstances:
    """The same of a build for a GPU."""
    return gpu_circumstances_here(spec, target, generator_identity())


def load_kernel(spec: Spec, program: Program, source: cpu.Source) -> Kernel:
    """The last arrow: machine code from the cache, or compiled now."""
    module = cpu.load(source)
    for kernel in cpu.kernels(module):
        kernel.load()
    return Kernel(spec, program, source, module)
