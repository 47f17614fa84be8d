"""What a verification has found: as a table, as a verdict, and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ..runtime.threads import thread_count
from ..tuning.verification import Case
from .output import Json, columns, heading, print_table
from .quantities import seconds, times


def are_right(cases: Sequence[Case]) -> bool:
    return all(case.is_right for case in cases)


def print_cases(name: str, cases: Sequence[Case]) -> None:
    """Print one row for each call."""
    table = columns("call", "batch", "queries", "keys", "error", "NumPy's", "mhagen", "NumPy", "faster")
    for case in cases:
        sizes = (str(size) for size in (case.batch, case.queries, case.keys))
        errors = (f"{case.error:.1e}", f"{case.numpy_error:.1e}")
        timings = (seconds(case.seconds), seconds(case.numpy_seconds), times(case.times_faster))
        table.add_row(case.function, *sizes, *errors, *timings, style=None if case.is_right else "red")
    threads = "1 thread" if thread_count() == 1 else f"up to {thread_count()} threads"
    heading(f"{name} against the reference (float64) and plain NumPy (float32), {threads}")
    print_table(table)


def verdict(name: str, cases: Sequence[Case]) -> str:
    """What to say of a kernel that differs from the reference."""
    worst = max(cases, key=lambda case: case.error / case.allowed)
    call = f"{worst.function} of {worst.batch} x {worst.queries} queries and {worst.keys} keys"
    return (
        f"{name} differs from the reference by {worst.error:.2g} in {call}, where {worst.allowed:.1g} is "
        "allowed: it has not been written. This is a bug in mhagen: please report it, with the spec"
    )


def case_document(case: Case) -> Json:
    """One case, and whether it passed."""
    return {**asdict(case), "is_right": case.is_right}
