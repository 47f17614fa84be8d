"""What a verification on a GPU has found: as a table, as a verdict, and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ..tuning.gpu_verification import GpuCase
from .output import Json, columns, heading, print_table
from .quantities import seconds


def print_gpu_cases(name: str, cases: Sequence[GpuCase]) -> None:
    """Print one row for each call."""
    table = columns("call", "batch", "queries", "keys", "error", "allowed", "time")
    for case in cases:
        sizes = (str(size) for size in (case.batch, case.queries, case.keys))
        errors = (f"{case.error:.1e}", f"{case.allowed:.1e}")
        style = None if case.is_right else "red"
        table.add_row("attention", *sizes, *errors, seconds(case.seconds), style=style)
    heading(f"{name} on this GPU against the reference (float64)")
    print_table(table)


def gpu_verdict(name: str, cases: Sequence[GpuCase]) -> str:
    """What to say of a kernel that differs from the reference."""
    worst = max(cases, key=lambda case: case.error / case.allowed)
    return (
        f"{name} differs from the reference by {worst.error:.2g} with {worst.queries} queries and "
        f"{worst.keys} keys, where {worst.allowed:.1g} is allowed: it has not been written. This is a bug in "
        "mhagen: please report it, with the spec"
    )


def gpu_case_document(case: GpuCase) -> Json:
    """One case, and whether it passed."""
    return {"function": "attention", **asdict(case), "is_right": case.is_right}
