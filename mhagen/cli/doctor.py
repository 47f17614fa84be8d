"""`mhagen doctor`: what this machine can do, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec

from ..runtime.gpu_assembler import ptxas_version
from ..runtime.gpu_launch import version_of
from ..tuning.cuda import Cuda
from ..tuning.findings import Finding, find
from ..tuning.keeping import Keeping
from ..tuning.machine import Limits, Machine, this_machine
from ..tuning.processor import Processor
from ..tuning.workers import Workers
from .exits import Exit
from .output import Json, complain, document, results, warn
from .progress import doing
from .quantities import giga, size

LABEL_WIDTH = 12
GPU_COMPILER, GPU_REMEDY = "numba-cuda", "pip install 'mhagen[cuda]'"


def examine_machine(as_json: bool) -> int:
    """Examine, measure and report."""
    with doing("measuring this machine"):
        machine = this_machine()
    findings = find(machine)
    code = Exit.FAILED if any(finding.is_failure for finding in findings) else Exit.GOOD
    if as_json:
        document("doctor", code, machine_document(machine, findings))
    else:
        results().print("\n".join(f"{label:<{LABEL_WIDTH}}{line}".rstrip() for label, line in lines(machine)))
    for finding in findings:
        tell = complain if finding.is_failure else warn
        tell(f"{finding.message}\n  to do: {finding.remedy}")
    return code


def lines(machine: Machine) -> Iterator[tuple[str, str]]:
    """The facts, a few lines for each theme."""
    yield from labelled("CPU", processor_lines(machine.processor))
    yield from labelled("threads", worker_lines(machine.workers))
    yield from labelled("limits", limit_lines(machine.limits))
    yield from labelled("cache", keeping_lines(machine.keeping))
    yield from labelled("CUDA", cuda_lines(machine.cuda))
    yield "versions", ", ".join(f"{name} {version}" for name, version in machine.versions)
    yield "system", machine.system


def labelled(label: str, texts: Iterator[str]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        yield label if number == 0 else "", text


def processor_lines(cpu: Processor) -> Iterator[str]:
    yield f"{cpu.model} ({cpu.architecture}, {cpu.name})"
    if cpu.target is None:
        yield "target: none"
    else:
        registers = f"{cpu.target.registers} vector registers"
        yield f"target: {cpu.target.name}, {cpu.target.lanes} float32 lanes, {registers}"
    yield f"has: {' '.join(cpu.features) or 'nothing that matters'}"
    if cpu.lacks:
        yield f"lacks: {' '.join(cpu.lacks)}"


def worker_lines(workers: Workers) -> Iterator[str]:
    used = "unknown" if workers.used is None else str(workers.used)
    yield f"{used}: {workers.reason}"
    yield "kernels run on mhagen's own threads; Numba's threading layers are not used"
    layer = "none" if workers.numba_layer is None else workers.numba_layer
    yield f"(Numba's own parallel code would load: {layer})"


def limit_lines(limits: Limits | None) -> Iterator[str]:
    if limits is None:
        yield "not measured: kernels cannot run"
        return
    peaks = (giga(limits.fma_peak, "GFLOP/s"), giga(limits.fma_peak_of_all, "GFLOP/s"))
    rates = (giga(limits.read_bandwidth, "GB/s"), giga(limits.read_bandwidth_of_all, "GB/s"))
    yield f"float32 peak    {peaks[0]} on one thread, {peaks[1]} on all"
    yield f"read bandwidth  {rates[0]} on one thread, {rates[1]} on all"


def keeping_lines(keeping: Keeping) -> Iterator[str]:
    yield keeping.directory or "nowhere"
    if keeping.problem:
        yield f"not used: {keeping.problem}"
    elif keeping.exists:
        yield f"private and writable; {keeping.entries} kernels, {size(keeping.bytes)}"
    else:
        yield "not there yet; it will be made when the first kernel is compiled"


def cuda_lines(cuda: Cuda) -> Iterator[str]:
    if cuda.reason:
        yield cuda.reason
    for gpu in cuda.gpus:
        yield f"{gpu.name}, compute capability {gpu.compute_capability} (driver for CUDA {cuda.driver})"
    tools = gpu_tools()
    yield ", ".join(f"{name}: {found or 'not installed'}" for name, found in tools.items())
    if not all(tools.values()):
        yield f"kernels for GPUs, which can be built without one, need both: {GPU_REMEDY}"


def gpu_tools() -> dict[str, str | None]:
    """What compiles kernels for GPUs and what assembles them, with versions; None for what is not there."""
    compiler = version_of(GPU_COMPILER) if find_spec("numba_cuda") is not None else None
    return {GPU_COMPILER: compiler, "ptxas": ptxas_version() or None}


def machine_document(machine: Machine, findings: Sequence[Finding]) -> Json:
    """The facts under the names that they have in `tuning`, and the findings."""
    versions = dict(machine.versions)
    found = [asdict(finding) for finding in findings]
    return {**asdict(machine), "versions": versions, "gpu_tools": gpu_tools(), "findings": found}
