"""What is in the way of fast kernels on a machine, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..base import settings
from .machine import Machine

LITTLE_SPACE_BYTES = 64 << 20  # as much as the cache of many kernels, and their largest temporary file


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `is_failure`: kernels cannot run, or cannot be kept; else they are slower."""

    code: str
    is_failure: bool
    message: str
    remedy: str


Rule = Callable[[Machine], Iterator[Finding]]


def find(machine: Machine) -> tuple[Finding, ...]:
    """Everything that is wrong, what stops kernels first."""
    found = [finding for rule in RULES for finding in rule(machine)]
    return tuple(sorted(found, key=lambda finding: not finding.is_failure))


def instructions(machine: Machine) -> Iterator[Finding]:
    cpu = machine.processor
    if cpu.own_target is None:
        yield Finding(
            "no-target",
            True,
            f"kernels are not generated for this CPU ({cpu.architecture}, {cpu.own_name})",
            "use a machine with AVX-512, AVX2 with FMA, or NEON",
        )
    elif cpu.missing:
        yield Finding(
            "features-not-there",
            True,
            f"{settings.CPU_FEATURES.name} claims {', '.join(cpu.missing)}, which this CPU lacks: "
            "a kernel would end the process",
            f"unset {settings.CPU_FEATURES.name}",
        )
    elif cpu.target != cpu.own_target:
        target = "no target" if cpu.target is None else f"{cpu.target.name}, {cpu.target.lanes} lanes"
        yield Finding(
            "features-hidden",
            cpu.target is None,
            f"{settings.CPU_FEATURES.name} hides what this CPU has: kernels are made for {target} "
            f"instead of {cpu.own_target.name}, {cpu.own_target.lanes} lanes",
            f"unset {settings.CPU_FEATURES.name}",
        )


def tuning_for_another_cpu(machine: Machine) -> Iterator[Finding]:
    cpu = machine.processor
    if cpu.name != cpu.own_name:
        yield Finding(
            "another-cpu",
            False,
            f"{settings.CPU_NAME.name} has instructions ordered for {cpu.name}, but this is {cpu.own_name}",
            f"unset {settings.CPU_NAME.name}",
        )


def compiler(machine: Machine) -> Iterator[Finding]:
    if not machine.compiles:
        yield Finding(
            "compiler-off",
            True,
            "NUMBA_DISABLE_JIT turns the compiler off: no kernel can be made",
            "unset NUMBA_DISABLE_JIT",
        )


def threads(machine: Machine) -> Iterator[Finding]:
    workers, name = machine.workers, settings.THREADS.name
    if workers.used is None:
        message = f"{name} is {str(workers.asked)[:32]!r}, which is not a positive integer"
        yield Finding("bad-thread-count", True, message, f"correct or unset {name}")
        return
    if workers.used > workers.allowed:
        message = f"kernels use {workers.used} threads, but this process may run on {workers.allowed} CPUs"
        yield Finding("too-many-threads", False, message, f"set {name} to {workers.allowed}, or unset it")
    elif workers.quota is not None and workers.quota < workers.used:
        message = f"kernels use {workers.used} threads, but this container may use {workers.quota:g} CPUs"
        remedy = f"set {name} to {max(1, int(workers.quota))}, or raise the container's CPU limit"
        yield Finding("cpu-quota", False, message, remedy)
    if workers.allowed == 1 < workers.cpus:
        message = f"this process may run on only one of {workers.cpus} CPUs"
        remedy = "allow it more: taskset, --cpuset-cpus of a container, --cpus-per-task of Slurm"
        yield Finding("one-cpu", False, message, remedy)


def busy(machine: Machine) -> Iterator[Finding]:
    workers = machine.workers
    if workers.busy is not None:
        yield Finding(
            "busy",
            False,
            f"other programs keep this machine busy (load {workers.busy:.1f}, {workers.allowed} CPUs), so "
            "measured speeds are too low",
            "measure again when it is quiet",
        )


def cache(machine: Machine) -> Iterator[Finding]:
    keeping = machine.keeping
    if keeping.problem:
        yield Finding(
            "cache-not-usable",
            True,
            f"compiled kernels cannot be kept, so each process compiles them again: {keeping.problem}",
            f"correct it (owner: you, mode: 700), or set {settings.CACHE_DIR.name} to another folder",
        )
    elif keeping.free_bytes < LITTLE_SPACE_BYTES:
        message = f"the disk of the cache, {keeping.directory}, is nearly full"
        remedy = f"free space, or set {settings.CACHE_DIR.name} to a folder on another disk"
        yield Finding("disk-full", False, message, remedy)
    if keeping.damaged:
        message = f"{keeping.damaged} of {keeping.entries} entries of the cache are damaged, and never used"
        yield Finding("cache-damaged", False, message, "mhagen cache clear")


RULES: tuple[Rule, ...] = (instructions, tuning_for_another_cpu, compiler, threads, busy, cache)
