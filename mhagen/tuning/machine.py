"""A machine as kernels see it: everything that decides how fast they can be here."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from ..base.version import __version__
from .cuda import Cuda, this_cuda
from .keeping import Keeping, this_keeping
from .measure import fma_peak, read_bandwidth
from .processor import Processor, this_processor
from .toolchain import compiler_is_on
from .workers import Workers, these_workers

PACKAGES = ("numpy", "numba", "llvmlite", "jinja2", "pydantic", "tree-sitter", "click", "rich")


@dataclass(frozen=True)
class Limits:
    """What can be reached at most.

    Units    float32 operations a second (a fused multiply-add is two) and bytes read a second, of one thread
             and of all that kernels use
    """

    fma_peak: float
    fma_peak_of_all: float
    read_bandwidth: float
    read_bandwidth_of_all: float


@dataclass(frozen=True)
class Machine:
    """The facts of one machine and process. `limits` are None where kernels cannot run."""

    processor: Processor
    workers: Workers
    limits: Limits | None
    keeping: Keeping
    cuda: Cuda
    compiles: bool
    system: str
    versions: tuple[tuple[str, str], ...]


def this_machine() -> Machine:
    """Look, and measure for about a second."""
    processor, workers = this_processor(), these_workers()
    keeping = this_keeping()  # before the probes below are kept
    compiles = compiler_is_on()
    can_measure = processor.runs_kernels and compiles and workers.used is not None
    return Machine(
        processor=processor,
        workers=workers,
        limits=measured_limits() if can_measure else None,
        keeping=keeping,
        cuda=this_cuda(),
        compiles=compiles,
        system=platform.platform(),
        versions=versions(),
    )


def measured_limits() -> Limits:
    return Limits(
        fma_peak=fma_peak(),
        fma_peak_of_all=fma_peak(all_threads=True),
        read_bandwidth=read_bandwidth(),
        read_bandwidth_of_all=read_bandwidth(all_threads=True),
    )


def versions() -> tuple[tuple[str, str], ...]:
    found = (("mhagen", __version__), ("python", platform.python_version()))
    return (*found, *((package, installed(package)) for package in PACKAGES))


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
