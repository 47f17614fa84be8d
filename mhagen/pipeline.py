"""The path from a spec to a kernel: seven arrows, each from one frozen value to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .backend import acceptance, cpu
from .base.errors import InputError, UnsupportedError
from .base.target import Target
from .ir.program import Program, build_program
from .passes import PASSES, Observer, run_passes
from .runtime.host import host_target
from .schedule.choose import choose_schedule
from .schedule.table import ScheduleTable
from .spec.load import load_spec
from .spec.model import Spec

SpecLike = str | Path | Mapping[str, Any] | Spec


@dataclass(frozen=True, repr=False)
class Kernel:
    """A built kernel, and every value on the way to it."""

    spec: Spec
    program: Program
    source: cpu.Source
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

    def _of_layer(self, name: str) -> Callable[..., Any]:
        if self.spec.projections is None:
            raise InputError(f"{self.spec.name} has no {name}(): its spec has no [projections]")
        return getattr(self.module, name)  # type: ignore[no-any-return]


def build(spec: SpecLike, *, backend: str = "cpu", out: str | Path | None = None) -> Kernel:
    """Compile a spec: a path, a dict or a Spec. With `out`, also write the module into that folder.

    Raises   SpecError for a wrong spec, UnsupportedError for one that this version or machine cannot serve,
             VerificationError (and nothing written) when the kernel disagrees with the reference
    """
    kernel = load_kernel(*compile_to_source(spec, backend=backend))
    acceptance.compare(kernel.spec, kernel.module)
    if out is not None:
        cpu.write(kernel.source, Path(out))
    return kernel


def compile_to_source(
    spec: SpecLike, *, backend: str = "cpu", target: Target | None = None, observe: Observer | None = None
) -> tuple[Spec, Program, cpu.Source]:
    """The first six arrows; no machine code yet. `observe` is shown the main graph after each pass."""
    if backend != "cpu":
        raise UnsupportedError(f"backend {backend!r} is not built yet; this version has: cpu")
    spec = load_spec(spec)
    target = target if target is not None else host_target(spec.dtype.value)
    program = build_program(spec)
    main = program.main
    program = program.map(lambda graph: run_passes(graph, PASSES, observe if graph is main else None))
    plan = choose_schedule(program.attention, target)
    return spec, program, cpu.generate(program, ScheduleTable.of(plan), target)


def load_kernel(spec: Spec, program: Program, source: cpu.Source) -> Kernel:
    """The last arrow: machine code from the cache, or compiled now."""
    module = cpu.load(source)
    for kernel in cpu.kernels(module):
        kernel.load()
    return Kernel(spec, program, source, module)
