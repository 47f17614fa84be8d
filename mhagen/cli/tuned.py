"""What tuning has found: in words, as a table, and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields

from ..schedule.plan import Schedule
from ..schedule.written import table_to_json
from ..tuning.gain import Interval
from ..tuning.result import HEADS, Outcome, Tried, Tuning
from ..tuning.trial import Call
from ..tuning.verdict import Verdict
from .output import Json, columns, print_table, results


def print_tuning(found: Tuning) -> None:
    """Print the outcome of each call, and what was tried."""
    results().print(found.headline)
    results().print()
    table = columns(*HEADS)
    for row in found.rows():
        table.add_row(*row)
    print_table(table)
    results().print()
    for line in (*legend(found), *found.remarks, *kept_lines(found)):
        results().print(line)


def legend(found: Tuning) -> Iterator[str]:
    """What the sizes of a schedule in a cell are, where there is one."""
    if found.is_tuned:
        yield (
            "schedule: tile_queries/block_keys, key_rows x query_vectors, value_rows x value_vectors, "
            "chunk_keys/decode_rows"
        )


def kept_lines(found: Tuning) -> Iterator[str]:
    what = "schedules that later builds use" if found.is_tuned else "the default, which later builds use"
    if found.table_path:
        yield f"kept: {what}, in {found.table_path}"
    if found.records_path:
        yield f"kept: what was measured, in {found.records_path}"


def changes(default: Schedule, schedule: Schedule) -> str:
    """The sizes in which a schedule differs from the default."""
    names = [each.name for each in fields(schedule)]
    found = [name for name in names if getattr(schedule, name) != getattr(default, name)]
    return ", ".join(f"{name} {getattr(schedule, name)}" for name in found) or "none"


def tuning_document(found: Tuning) -> Json:
    """Everything, for programs.  Units: seconds."""
    return {
        "spec": found.spec.name,
        "dtype": found.spec.dtype.value,
        "target": found.target.name,
        "circumstances": asdict(found.circumstances),
        "strategy": found.strategy,
        "budget": found.budget,
        "seconds": found.seconds,
        "end": found.end.value,
        "shortage": None
        if found.shortage is None
        else {"in_words": str(found.shortage), **asdict(found.shortage)},
        "space": found.space,
        "compiled": found.compiled,
        "measured": found.measured,
        "verdicts": {verdict.value: found.count(verdict) for verdict in Verdict},
        "default": asdict(found.default),
        "outcomes": [outcome_document(each) for each in found.outcomes],
        "table": table_to_json(found.table),
        "candidates": [candidate_document(each) for each in found.tried],
        "table_path": found.table_path or None,
        "not_saved": found.not_saved or None,
        "records_path": found.records_path or None,
    }


def outcome_document(outcome: Outcome) -> Json:
    return {
        "call": call_document(outcome.call),
        "kept_default": outcome.kept_default,
        "reason": outcome.reason,
        "schedule": asdict(outcome.schedule),
        "default_seconds": outcome.default_seconds,
        "seconds": outcome.default_seconds if outcome.kept_default else outcome.seconds,
        "ratio": interval_document(outcome.ratio),
        "noise": interval_document(outcome.twin),
    }


def interval_document(interval: Interval | None) -> Json | None:
    return None if interval is None else asdict(interval)


def call_document(call: Call) -> Json:
    shape = call.shape
    return {
        "batch": shape.batch,
        "queries": shape.queries,
        "keys": shape.keys,
        "threads": call.threads,
    }


def candidate_document(tried: Tried) -> Json:
    return {
        "call": call_document(tried.trial.call),
        "schedule": asdict(tried.trial.schedule),
        "verdict": tried.verdict.value,
        "detail": tried.detail or None,
        "modelled_seconds": tried.modelled,
        "seconds": tried.seconds,
        "ratio": tried.ratio,
        "from_records": tried.is_recalled,
    }
