"""`mhagen build`: from specs to files, to kernels in the cache, and to a report on how good they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Literal

from ..backend import acceptance, cpu, cuda
from ..base.errors import InputError, UnsupportedError
from ..base.target import target_named
from ..pipeline import Kernel, compile_to_gpu_source, compile_to_source, load_gpu_kernel, load_kernel
from ..runtime.host import host_cpu, require
from ..tuning.gpu_verification import GpuCase, required_bench, verify_on_gpu
from ..tuning.keeping import nearest
from ..tuning.samples import sample_inputs
from ..tuning.verification import Case, verify_kernel
from . import quantities
from .cases import are_right, case_document, print_cases, verdict
from .disturbance import warn_if_disturbed
from .exits import Exit, worst
from .failures import Failure, attempt, failure_document
from .gpu_cases import gpu_case_document, gpu_verdict, print_gpu_cases
from .output import Json, complain, document, print_exactly, results, warn
from .progress import doing


@dataclass(frozen=True)
class Request:
    """What is to be built, the same for every spec of a command."""

    backend: str
    target: str | None
    arch: str | None
    out: str
    tune: Literal["cached", "never"]
    wants_verification: bool
    wants_print: bool


@dataclass(frozen=True)
class Compiled:
    """Machine code, compiled or found in the cache, and compared with the reference.

    Units    seconds until it could be called; error relative to max(1, the greatest result)
    """

    seconds: float
    error: float
    cases: tuple[Case, ...]
    verdict: str = ""  # what is wrong


@dataclass(frozen=True)
class Built:
    """What a spec has become, as far as it came: source, machine code, a file."""

    source: cpu.Source | cuda.GpuSource
    compiled: Compiled | None = None
    seconds: float | None = None  # until it was compiled for a GPU
    path: Path | None = None
    gpu_cases: tuple[GpuCase, ...] = ()

    @property
    def exit_code(self) -> int:
        on_cpu = self.compiled is None or are_right(self.compiled.cases)
        on_gpu = all(case.is_right for case in self.gpu_cases)
        return Exit.GOOD if on_cpu and on_gpu else Exit.FAILED


def build_specs(specs: Sequence[str], request: Request, as_json: bool) -> int:
    """Build all specs, whatever becomes of each; returns the worst exit code."""
    outcomes: list[tuple[str, Built | Failure]] = []
    names: dict[str, str] = {}
    for spec in specs:
        outcome = attempt(partial(build_spec, spec, request, names))
        if isinstance(outcome, Built):
            tell(outcome)
            if not as_json:
                print_built(outcome, request)
        outcomes.append((spec, outcome))
    code = worst(outcome.exit_code for _, outcome in outcomes)
    if as_json:
        documents = [outcome_document(spec, outcome, request) for spec, outcome in outcomes]
        document("build", code, {"specs": documents})
    return code


def build_spec(path: str, request: Request, names: dict[str, str]) -> Built:
    """Take one spec as far as the request asks. `names` tells which spec has been given which file."""
    if request.backend == "cuda":
        return build_gpu_spec(path, request, names)
    target = None if request.target is None else target_named(request.target)
    with doing(f"generating {path}"):
        spec, program, source = compile_to_source(
            path, backend=request.backend, target=target, tune=request.tune
        )
    built = Built(source)
    if request.wants_print:
        return built
    claim_file(source, path, request, names)
    if runs_here(source, request):
        start = perf_counter()
        with doing(f"compiling {spec.name} for {source.target.name}"):
            kernel = load_kernel(spec, program, source)
        built = replace(built, compiled=compared(kernel, perf_counter() - start, request))
    if built.exit_code != Exit.GOOD:
        return built
    return replace(built, path=written(source, request))


def claim_file(
    source: cpu.Source | cuda.GpuSource, path: str, request: Request, names: dict[str, str]
) -> None:
    """Raises   InputError if the file is another spec's or the other backend's, or cannot be written"""
    other = names.setdefault(source.name, path)
    if os.path.abspath(other) != os.path.abspath(path):
        raise InputError(f"{path} and {other} both describe {source.name}: one file would replace the other")
    cpu.keep_other_backend(source, Path(request.out))
    require_room(source, request)


def require_room(source: cpu.Source | cuda.GpuSource, request: Request) -> None:
    """See, before anything is compiled, that files can be made in the folder. Nothing is left there.

    Raises   InputError where they cannot, or the folder itself cannot be made
    """
    try:
        with tempfile.TemporaryFile(dir=nearest(Path(request.out))):
            pass
    except OSError as error:
        raise cannot_write(source, request, error) from error


def build_gpu_spec(path: str, request: Request, names: dict[str, str]) -> Built:
    """The same for a GPU, which need not be in this machine: nothing is run but to verify it.

    Raises   UnsupportedError if it is to be verified, and there is no such GPU
    """
    with doing(f"generating {path}"):
        spec, program, source = compile_to_gpu_source(path, request.arch, tune=request.tune)
    if request.wants_print:
        return Built(source)
    claim_file(source, path, request, names)
    bench = required_bench(source.target) if request.wants_verification else None
    start = perf_counter()
    with doing(f"compiling {spec.name} for {source.target.name}"):
        load_gpu_kernel(spec, program, source)
    built = Built(source, seconds=perf_counter() - start)
    if bench is not None:
        with doing(f"verifying {spec.name} on {bench.name}"):
            built = replace(built, gpu_cases=tuple(verify_on_gpu(bench, spec, source)))
        if spec.projections is not None:
            warn(f"{spec.name}: attention() was compared with the reference, and layer() was not run")
    return built if built.exit_code != Exit.GOOD else replace(built, path=written(source, request))


def written(source: cpu.Source | cuda.GpuSource, request: Request) -> Path:
    try:
        return cpu.write(source, Path(request.out))
    except OSError as error:
        raise cannot_write(source, request, error) from error


def cannot_write(source: cpu.Source | cuda.GpuSource, request: Request, error: OSError) -> InputError:
    what = f"cannot write {source.name}.py into {request.out}"
    return InputError(f"{what}: {error.strerror or error}; choose another --out")


def runs_here(source: cpu.Source, request: Request) -> bool:
    """Whether this machine can run the source.

    Raises   UnsupportedError if it cannot, and is asked to
    """
    try:
        require(source.target, source.name)
    except UnsupportedError:
        if request.wants_verification:
            raise UnsupportedError(
                f"this CPU ({host_cpu().name}) cannot run {source.target.name} code, so it cannot verify it: "
                "leave out --verify here, and use it where the kernel is to run"
            ) from None
        return False
    return True


def compared(kernel: Kernel, seconds: float, request: Request) -> Compiled:
    """Compare the kernel with the reference.

    Raises   VerificationError if it differs on small inputs already
    """
    name = kernel.spec.name
    with doing(f"comparing {name} with the reference"):
        error = acceptance.compare(kernel.spec, kernel.module).error
    if not request.wants_verification:
        return Compiled(seconds, error, ())
    warn_if_disturbed()
    with doing(f"verifying {name} on sizes that people use"):
        cases = tuple(verify_kernel(kernel))
        return Compiled(seconds, error, cases, "" if are_right(cases) else what_is_wrong(kernel, cases))


def what_is_wrong(kernel: Kernel, cases: Sequence[Case]) -> str:
    if leaves_range(kernel, cases):
        return acceptance.out_of_range(kernel.spec.name, kernel.spec.dtype)
    return verdict(kernel.spec.name, cases)


def leaves_range(kernel: Kernel, cases: Sequence[Case]) -> bool:
    """Whether all cases that differ do so only where plain arithmetic overflows too."""
    wrong = (results_of(kernel, case) for case in cases if not case.is_right)
    return acceptance.leave_range(wrong)


def results_of(kernel: Kernel, case: Case) -> acceptance.Results:
    """What the call of a case gives, which was made of this very example."""
    spec, example = kernel.spec, acceptance.Example(case.batch, case.queries, case.keys, seed=0)
    if case.function == "layer":
        arrays = {"x": example.x(spec), "weights": example.weights(spec)}
    else:
        arrays = dict(example.attention(spec))
    keywords = {**arrays, **sample_inputs(spec, example), "query_offset": case.keys - case.queries}
    return acceptance.results_at(spec, kernel.module, case.function, keywords, case.allowed)


def tell(built: Built) -> None:
    """Say on stderr what has not gone as it usually does."""
    if built.compiled is None and built.path is not None and built.seconds is None:
        here = f"this CPU ({host_cpu().name}) cannot run {built.source.target.name} code"
        warn(f"{here}: {built.path} was neither compiled nor compared with the reference")
    if built.compiled is not None and built.exit_code != Exit.GOOD:
        complain(built.compiled.verdict)
    if built.compiled is None and built.exit_code != Exit.GOOD:
        complain(gpu_verdict(built.source.name, built.gpu_cases))


def print_built(built: Built, request: Request) -> None:
    if request.wants_print:
        print_exactly(built.source.text)
    if built.path is not None:
        results().print(f"{built.path}: {history(built)}")
    if built.compiled is not None and built.compiled.cases:
        print_cases(built.source.name, built.compiled.cases)
    if built.gpu_cases:
        print_gpu_cases(built.source.name, built.gpu_cases)


def history(built: Built) -> str:
    """What was done with a kernel, in a line."""
    if built.seconds is not None:
        ready = quantities.seconds(built.seconds)
        return f"{built.source.target.name}, compiled in {ready}; {comparison(built.gpu_cases)}"
    if built.compiled is None:
        return f"generated for {built.source.target.name}"
    ready = quantities.seconds(built.compiled.seconds)
    return f"{built.source.target.name}, ready in {ready}, within {built.compiled.error:.1e} of the reference"


def comparison(cases: Sequence[GpuCase]) -> str:
    if not cases:
        return "not compared with the reference"
    return f"within {max(case.error for case in cases):.1e} of the reference"


def outcome_document(spec: str, outcome: Built | Failure, request: Request) -> Json:
    common: Json = {"spec": spec, "exit_code": int(outcome.exit_code)}
    if isinstance(outcome, Failure):
        return {**common, "error": failure_document(outcome.error)}
    return {**common, "error": None, **built_document(outcome, request)}


def built_document(built: Built, request: Request) -> Json:
    compiled = built.compiled
    return {
        "name": built.source.name,
        "target": built.source.target.name,
        "path": None if built.path is None else str(built.path),
        "source": built.source.text if request.wants_print else None,
        "seconds": built.seconds if compiled is None else compiled.seconds,
        "largest_error": largest_error(built),
        "cases": [
            *(case_document(case) for case in (() if compiled is None else compiled.cases)),
            *map(gpu_case_document, built.gpu_cases),
        ],
    }


def largest_error(built: Built) -> float | None:
    if built.compiled is not None:
        return built.compiled.error
    return max((case.error for case in built.gpu_cases), default=None)
