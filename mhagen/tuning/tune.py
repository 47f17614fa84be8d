"""Tuning a spec, in one call: the door to it from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from ..base.errors import InputError, UnsupportedError
from ..base.target import Target
from ..pipeline import SpecLike
from ..runtime.host import host_target
from ..schedule.sight import Shape
from ..schedule.table import ScheduleTable
from ..schedule.tuned import table_file, tuned_table
from ..spec.load import load_spec
from ..spec.model import Spec
from .campaign import Campaign, Observer, Plan, ignore
from .destinations import kept, not_kept, require_destinations
from .evaluator import Evaluator, LocalEvaluator, RemoteEvaluator
from .records import Records, default_records
from .request import keys_of
from .result import Tuning
from .titles import keep_title
from .trial import Call

# A batch of short texts, a page, and the next token after a long one.
USUAL_SHAPES = (Shape(16, 128, 128), Shape(1, 1024, 1024), Shape(1, 1, 4096, 4095))
USUAL_BUDGET = 60.0
SHORTEST_BUDGET = 3.0
LONGEST_BUDGET = 7 * 86400.0
LENGTHS = frozenset(("batch", "queries", "keys"))

ShapeLike = Shape | Mapping[str, int] | tuple[int, int, int]


def tune(
    spec: SpecLike,
    shapes: Iterable[ShapeLike] | None = None,
    *,
    budget: float = USUAL_BUDGET,
    strategy: str = "climb",
    threads: int | Iterable[int] = 1,
    jobs: int | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    save: bool = False,
    observe: Observer = ignore,
    evaluator: Evaluator | None = None,
    records: Records | None = None,
    began: float | None = None,
) -> Tuning:
    """Find the schedules with which calls of these shapes are fastest; later builds of the spec use them.

    shapes     of calls: mappings of batch, queries and keys, or tuples of these three
    budget     seconds for everything, compiling and comparing included
    strategy   model, climb, exhaustive or optuna
    threads    how many a call may use; several numbers are tuned one beside the other
    jobs       processes that compile; where an executor is given, how many of its workers are alike
    executor   evaluates candidates elsewhere: any of concurrent.futures, dask.distributed's, mpi4py.futures'
    fresh      measure again what is in the records
    save       also write the table beside the spec, which has to be a file: NAME.tuned.json
    began      when the budget's time began, by time.monotonic(); now, if it is not given

    Raises   SpecError, InputError, UnsupportedError; VerificationError if the default schedule is wrong
    """
    began = monotonic() if began is None else began
    loaded = load_spec(spec)
    beside = path_of(spec) if save else None
    calls = calls_of(loaded, shapes, threads)
    require_budget(budget)
    if jobs is not None and not is_count(jobs):
        raise InputError(f"jobs is {jobs!r:.32} and needs a positive integer")
    require_destinations(beside)
    plan = Plan(loaded, calls, float(budget), strategy, fresh, began)
    chosen = evaluator or evaluator_of(loaded, calls, jobs, executor)
    try:
        kept_in = records or default_records()
        campaign = Campaign(plan, chosen, kept_in, observe)
        keep_title(kept_in.folder, loaded)
        found = campaign.run()
        if any(outcome.ratio is not None for outcome in found.outcomes):
            return kept(found, beside)
        # What an earlier run has kept is not replaced by one that has confirmed nothing.
        earlier = tuned_table(found.circumstances, found.target, loaded.dtype, beside and table_file(beside))
        if earlier is not None:
            found = replace(found, table=earlier)
        return kept(found, beside) if found.measured or earlier is not None else not_kept(found, beside)
    finally:
        chosen.close()


def tune_now(spec: Spec, target: Target) -> ScheduleTable:
    """What `build(tune="now")` uses: the usual calls, the usual budget.

    Raises   UnsupportedError for a target that is not this machine's own: nothing else is measured
    """
    own = host_target(spec.dtype.value)
    if target != own:
        raise UnsupportedError(
            f"schedules for {target.name} are not measured here, where kernels are made for {own.name}: "
            "tune on a machine of that kind, and merge what it finds"
        )
    return tune(spec).table


def evaluator_of(
    spec: Spec, calls: tuple[Call, ...], jobs: int | None, executor: Executor | None
) -> Evaluator:
    if executor is not None:
        return RemoteEvaluator(executor, jobs or 1)
    return LocalEvaluator(keys_of(spec), threads=max(call.threads for call in calls), jobs=jobs)


def calls_of(
    spec: Spec, shapes: Iterable[ShapeLike] | None, threads: int | Iterable[int]
) -> tuple[Call, ...]:
    """The calls that are tuned.

    Raises   InputError
    """
    counts = tuple(threads) if isinstance(threads, Iterable) else (threads,)
    given = tuple(map(shape_of, USUAL_SHAPES if shapes is None else shapes))
    if not given or not counts:
        raise InputError("tune() needs one shape and one number of threads at least")
    for count in counts:
        if not is_count(count):
            raise InputError(f"threads has {count!r:.32} and needs positive integers")
    return tuple(dict.fromkeys(Call(shape, count) for shape in given for count in counts))


def shape_of(given: ShapeLike) -> Shape:
    """The shape, its queries the last positions: that they are others can be said nowhere.

    Raises   InputError
    """
    match given:
        case Shape() if given.query_offset not in (0, given.keys - given.queries):
            last = given.keys - given.queries
            raise InputError(f"{given} has query_offset {given.query_offset}, and is tuned with {last} only")
        case Shape(batch, queries, keys):
            lengths: tuple[Any, ...] = (batch, queries, keys)
        case Mapping() if set(given) == LENGTHS:
            lengths = (given["batch"], given["queries"], given["keys"])
        case (_, _, _):
            lengths = given
        case _:
            raise InputError(
                f"a shape is batch, queries and keys, as a tuple or a mapping, and not {given!r:.64}"
            )
    if not all(map(is_count, lengths)):
        raise InputError(f"a shape has positive integers, and not {given!r:.64}")
    batch, queries, keys = lengths
    return Shape(batch, queries, keys, keys - queries)


def is_count(number: object) -> bool:
    return type(number) is int and number > 0


def require_budget(budget: float) -> None:
    if not isinstance(budget, int | float) or not SHORTEST_BUDGET <= budget <= LONGEST_BUDGET:
        raise InputError(
            f"budget is {budget!r:.32} and needs {SHORTEST_BUDGET:g} seconds at least "
            f"(processes have to start), and {LONGEST_BUDGET:.0f} at most"
        )


def path_of(spec: SpecLike) -> Path:
    if isinstance(spec, str | Path):
        return Path(spec)
    raise InputError("save=True writes beside the file of the spec, and this one has none")
