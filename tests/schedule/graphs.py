"""Small graphs to schedule, after all passes."""

from __future__ import annotations

from functools import cache
from typing import Any

from mhagen.ir.program import Program, build_program
from mhagen.passes import PASSES, run_passes
from mhagen.schedule.workload import Workload, workload_of
from mhagen.spec.load import load_spec

CAUSAL = "k <= q"


@cache
def program(dtype: str = "float32", dim: int = 64, heads: int = 4, keep: str | None = None) -> Program:
    spec: dict[str, Any] = {"name": "planned", "dtype": dtype, "heads": {"query": heads, "dim": dim}}
    if keep is not None:
        spec["mask"] = {"keep": keep}
    return build_program(load_spec(spec)).map(lambda graph: run_passes(graph, PASSES))


def work(dtype: str = "float32", dim: int = 64, heads: int = 4, keep: str | None = None) -> Workload:
    return workload_of(program(dtype, dim, heads, keep).attention)
