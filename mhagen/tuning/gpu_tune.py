"""Tuning a spec for a GPU, which need not be there: ptxas sifts schedules, and a GPU times what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Protocol

from ..backend.cuda import GpuSource
from ..base.errors import InputError
from ..base.target import Gpu
from ..pipeline import SpecLike, compile_to_gpu_source, gpu_circumstances, gpu_target
from ..schedule.gpu_decode_plan import most_queries
from ..schedule.gpu_plan import sizes_of
from ..schedule.gpu_space import GpuPlan, gpu_space
from ..schedule.gpu_tuned import gpu_record, keep_gpu_record, tuned_gpu_plan
from ..schedule.sight import Shape
from ..schedule.workload import Workload, workload_of
from ..spec.load import load_spec
from ..spec.model import Spec
from .gpu_bench import Bench, bench_for
from .gpu_call import decodes
from .gpu_contest import Contest, contest
from .gpu_result import GpuTuning
from .gpu_sieve import Sieve, Sifted
from .isolated import Json
from .ptxas import require_ptxas
from .records import default_records, warn
from .request import keys_of
from .titles import keep_title
from .toolchain import require_gpu_compiler
from .tune import USUAL_BUDGET, ShapeLike, is_count, require_budget, shape_of

USUAL_GPU_SHAPES = (Shape(8, 1024, 1024), Shape(1, 4096, 4096))
SIEVE_SHARE = 0.8  # of the budget, where a GPU times what passes

NOTHING_ELSE = "no other schedule was compiled in time and passes"

Observer = Callable[[Sifted], object]


def ignore(sifted: Sifted) -> None:
    """An observer that looks away."""


class Sifting(Protocol):
    """Who says which schedules compile, and with what."""

    def sift(
        self, spec: Json, target: Gpu, plans: Sequence[GpuPlan], until: float, tell: Observer
    ) -> tuple[Sifted, ...]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Subject:
    """What is tuned."""

    spec: Spec
    target: Gpu
    work: Workload
    shapes: tuple[Shape, ...]

    def source(self, plan: GpuPlan) -> GpuSource:
        return compile_to_gpu_source(self.spec, self.target.name, plan)[2]


def tune_for_gpu(
    spec: SpecLike,
    shapes: Iterable[ShapeLike] | None = None,
    *,
    arch: str | None = None,
    budget: float = USUAL_BUDGET,
    jobs: int | None = None,
    observe: Observer = ignore,
    sieve: Sifting | None = None,
    bench: Bench | None = None,
    began: float | None = None,
) -> GpuTuning:
    """Try the schedules of a GPU, the default first; later builds of the spec use one that is faster there.

    Without such a GPU nothing is measured, and the default is kept if ptxas has nothing against it.

    shapes     of calls with more queries than are decoded: mappings of batch, queries and keys, or tuples
    arch       the GPU that kernels are for ("sm_90a"); without it this machine's, or sm_90
    budget     seconds for everything
    jobs       processes that compile
    observe    is told what becomes of each schedule
    sieve      who compiles, and bench, who times: processes here, and the GPU of this machine
    began      when the budget's time began, by time.monotonic(); now, if it is not given

    Raises   SpecError, InputError, UnsupportedError, where there is no ptxas too; VerificationError if the
             default schedule is wrong
    """
    began = monotonic() if began is None else began
    subject = subject_of(spec, shapes, arch)
    require_budget(budget)
    if jobs is not None and not is_count(jobs):
        raise InputError(f"jobs is {jobs!r:.32} and needs a positive integer")
    require_gpu_compiler()
    require_ptxas()
    nobody = ""
    if bench is None:
        bench, nobody = bench_for(subject.target)
    plans = gpu_space(subject.work, subject.target)
    until = began + budget * (1.0 if bench is None else SIEVE_SHARE)
    chosen_sieve = Sieve(jobs) if sieve is None else sieve
    try:
        sifted = chosen_sieve.sift(keys_of(subject.spec), subject.target, plans, until, observe)
    finally:
        chosen_sieve.close()
    if bench is None:
        found, by = unmeasured(sifted, nobody), ""
    else:
        found, by = measured(bench, subject, sifted, began + budget), bench.name
    tuned = result(subject, sifted, found, by, budget, began)
    return kept(tuned) if found.is_settled else kept_unless_found_before(tuned, subject.work)


def subject_of(spec: SpecLike, shapes: Iterable[ShapeLike] | None, arch: str | None) -> Subject:
    """Raises   SpecError, InputError, UnsupportedError"""
    loaded, target = load_spec(spec), gpu_target(arch)
    _, program, _ = compile_to_gpu_source(loaded, target.name, tune="never")
    work = workload_of(program.attention)
    given = tuple(dict.fromkeys(map(shape_of, USUAL_GPU_SHAPES if shapes is None else shapes)))
    if not given:
        raise InputError("tune_for_gpu() needs one shape at least")
    for shape in given:
        if decodes(loaded, shape.queries, shape.keys):
            raise InputError(
                f"calls with {shape.queries} queries and {shape.keys} keys are decoded, by kernels that have "
                f"one schedule: give shapes of more than {most_queries(work.op.group)} queries"
            )
    return Subject(loaded, target, work, given)


def unmeasured(sifted: Sequence[Sifted], nobody: str) -> Contest:
    """The default, unless ptxas is against it: then what is most like it of those that pass."""
    plan, against = first_choice(sifted)
    return Contest(plan, f"{against}not measured: {nobody}", (), {}, {}, is_settled=False)


def first_choice(sifted: Sequence[Sifted]) -> tuple[GpuPlan, str]:
    """Whom others are measured against, and why it is not the default, if it is another."""
    default = sifted[0]
    if not default.is_known:
        return default.plan, "the default was not compiled in time; "
    passing = next((each for each in sifted if each.passes), None)
    if default.passes or passing is None:
        return default.plan, ""
    return passing.plan, f"of the default, {default.why_not}; "


def measured(bench: Bench, subject: Subject, sifted: Sequence[Sifted], until: float) -> Contest:
    """The fastest of those that pass, beside the default.

    Raises   VerificationError if the default schedule is wrong
    """
    plan, against = first_choice(sifted)
    others = [each.plan for each in sifted if each.passes and each.plan != plan]
    if not others:
        return Contest(plan, f"{against}{NOTHING_ELSE}", (), {}, {}, is_settled=False)
    sources = [subject.source(each) for each in (plan, *others)]
    found = contest(bench, subject.spec, sources, subject.shapes, until)
    return replace(found, reason=f"{against}{found.reason}")


def result(
    subject: Subject, sifted: Sequence[Sifted], found: Contest, gpu: str, budget: float, began: float
) -> GpuTuning:
    wrong = tuple(replace(each, why_not=found.wrong.get(each.plan, each.why_not)) for each in sifted)
    return GpuTuning(
        spec=subject.spec,
        target=subject.target,
        sizes=sizes_of(subject.work),
        circumstances=gpu_circumstances(subject.spec, subject.target),
        budget=float(budget),
        seconds=monotonic() - began,
        chosen=found.plan,
        reason=found.reason,
        gpu=gpu,
        sifted=wrong,
        ratios=tuple(found.ratios.items()),
        outcomes=found.outcomes,
    )


def kept_unless_found_before(found: GpuTuning, work: Workload) -> GpuTuning:
    """Keep it, if no GPU has found another: that is not replaced by what none has confirmed."""
    earlier = gpu_record(found.circumstances)
    if earlier is None or not earlier["gpu"]:
        return kept(found)
    before = tuned_gpu_plan(found.circumstances, work, found.target)
    reason = f"{earlier['gpu']} has found so before; {found.reason}"
    return replace(found, chosen=found.default if before is None else before, reason=reason)


def kept(found: GpuTuning) -> GpuTuning:
    """Keep it for later builds."""
    try:
        path: Path = keep_gpu_record(found.circumstances, found.document())
    except (OSError, InputError) as error:
        warn(f"the schedule is not kept for later builds: {error}")
        return found
    keep_title(default_records().folder, found.spec)
    return replace(found, record_path=str(path))
