"""What the CPU of this process is, and whether it can run a target's code."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..base import settings
from ..base.errors import UnsupportedError
from ..base.target import Target, best_target

CPU_INFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Cpu:
    """The name and features that LLVM knows the host CPU by."""

    architecture: str
    name: str
    flags: tuple[str, ...]  # "+avx2", "-sse4a", ...: sorted, as LLVM takes them

    @property
    def features(self) -> frozenset[str]:
        return frozenset(flag[1:] for flag in self.flags if flag.startswith("+"))


@cache
def host_cpu() -> Cpu:
    """The CPU to generate code for: the host, or what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say it is."""
    import llvmlite.binding as llvm

    architecture = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    name = settings.cpu_name() or llvm.get_host_cpu_name()
    chosen = settings.cpu_features()
    if chosen is None:
        found = llvm.get_host_cpu_features()
        flags = tuple(sorted(f"{'+' if present else '-'}{feature}" for feature, present in found.items()))
    else:
        # LLVM adds features to those that the name of a CPU implies: without a word, AVX-512 would stay.
        hidden = ("-avx512f",) if architecture == "x86_64" else ()
        flags = (*hidden, *(flag for flag in chosen.split(",") if flag))
    return Cpu(architecture, name, flags)


@cache
def host_machine() -> str:
    """What tells machines apart whose CPUs have one name: the model, how many CPUs, the caches of one."""
    return ", ".join((model_name(), f"{os.cpu_count() or 1} CPUs", *cache_sizes()))


def model_name() -> str:
    """The name that its maker sells the CPU by."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def cache_sizes() -> Iterator[str]:
    """Of each cache its level and size, where the system tells."""
    for folder in sorted(CACHES.glob("index*")):
        with suppress(OSError):
            level, kind, size = (
                (folder / name).read_text(encoding="utf-8").strip() for name in ("level", "type", "size")
            )
            yield f"L{level} {kind.lower()} {size}"


def host_target(dtype: str = "float32") -> Target:
    """The widest target of this CPU for kernels of a dtype.

    Raises   UnsupportedError where the CPU has none of the instruction sets mhagen knows.
    """
    cpu = host_cpu()
    target = best_target(cpu.architecture, cpu.features, dtype)
    if target is None:
        raise UnsupportedError(
            f"this CPU ({cpu.architecture}, {cpu.name}) has no instruction set that kernels are generated "
            "for: AVX-512, AVX2 with FMA, or NEON"
        )
    return target


def require(target: Target, kernel: str) -> None:
    """Refuse to run code this CPU lacks instructions for; it would kill the process.

    Raises   UnsupportedError, with the remedy.
    """
    cpu = host_cpu()
    missing = [feature for feature in target.features if feature not in cpu.features]
    if cpu.architecture != target.architecture:
        missing = [target.architecture]
    if missing:
        raise UnsupportedError(
            f"{kernel} was generated for {target.name}, but this CPU ({cpu.name}) lacks "
            f"{', '.join(missing)}; build its spec again on this machine: mhagen build SPEC"
        )
