"""Kernels for GPUs on a GPU: checked first, then timed against PyTorch; a table in under eight minutes.

    python benchmarks/gpu.py [--seconds 420] [--out gpu.md] [--only PART]

Needs a GPU of compute capability 8.0 or above, PyTorch with CUDA, and mhagen[cuda]. The rows are those of
`mhagen bench --grid --backend cuda` in bfloat16, the most telling first, and one in float16. FlexAttention is
compiled for each shape: it is left out in plain rows and decoding, but for 4096 tokens and heads of 128. All
that is in a row takes turns, five rounds of five calls: medians by CUDA events, of calls that follow
one another without a gap, or of graphs of calls where one takes less time than Python. TFLOP/s count what the
mask lets through. Nothing is timed that was not right: the reference is float32 attention by PyTorch, written
out, on the same GPU. On Hopper both families of kernels have a row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mhagen.base.dtypes import DType
from mhagen.base.target import Gpu
from mhagen.cli.gpu_outcomes import rate, share, shortfall
from mhagen.interop.gpu import peers_on_gpu
from mhagen.interop.gpu.stage import TorchStage, stage_here
from mhagen.pipeline import compile_to_gpu_source
from mhagen.runtime.gpu_driver import gpu_of_this_machine
from mhagen.tuning.bench import Pace, problem_of_row
from mhagen.tuning.gpu_grid import FLEX, GPU_GRID, gpu_rows_named, is_plain
from mhagen.tuning.gpu_prepared import prepare, work_of
from mhagen.tuning.gpu_race import GpuPeer, GpuTimed, NamedCall, gpu_targets, race
from mhagen.tuning.gpu_verification import verify_on_gpu
from mhagen.tuning.problem import Problem

ROUNDS = 5
GAP = 3  # numbers between rows that are not aligned
ODD = {
    "name": "odd",
    "dtype": "float16",
    "heads": {"query": 4, "key_value": 2, "dim": 64},
    "mask": {"keep": "k <= q"},
    "outputs": {"statistics": ["lse"]},
}
HEAD = ("case", "kernels", "largest error", "mhagen", "against")


class Apart(TorchStage):
    """The same GPU; rows of arrays do not begin at multiples of 16 bytes, and no number is between them."""

    def put(self, array: Any) -> torch.Tensor:
        given = super().put(array)
        if given.ndim < 4:
            return given
        return torch.nn.functional.pad(given, (0, GAP), value=torch.nan)[..., :-GAP]


def named_calls(part: str) -> Iterator[NamedCall]:
    """The calls whose name has the part in it, most telling first."""
    rows = [(row, DType.BFLOAT16) for row in GPU_GRID]
    rows.insert(6, (gpu_rows_named("causal d128 s4096")[0], DType.FLOAT16))
    for row, dtype in rows:
        named = NamedCall(f"{row.name} {dtype.value}", row.title, problem_of_row(row, dtype))
        if part in named.row:
            yield named


def prepare_all(calls: list[NamedCall], targets: tuple[Gpu, ...], seconds: float) -> None:
    """Compile all kernels ahead into the cache, on all cores: one after the other would take too long."""
    odd = compile_to_gpu_source(ODD)[0]
    specs = [(odd, 64, 64), *((each.problem.spec, 64, 64) for each in calls)]
    works = dict.fromkeys(work_of(spec, target.name, *sizes) for spec, *sizes in specs for target in targets)
    prepare(tuple(replace(work, is_decoded=False) for work in works), seconds)


def odd_lengths(stage: TorchStage, target: Gpu) -> bool:
    """Tails, offsets, few queries and rows that are not aligned, against the reference in float64."""
    right, name = True, stage.name
    spec, _, source = compile_to_gpu_source(ODD, target.name)
    for each in (stage, Apart(name)):
        cases = list(verify_on_gpu(each, spec, source))
        wrong = [case for case in cases if not case.is_right]
        worst = max(case.error for case in cases)
        print(f"{target.name}, {type(each).__name__}: {len(cases)} odd lengths, largest error {worst:.1e}")
        for case in wrong:
            print(f"  WRONG: queries {case.queries}, keys {case.keys}: {case.error:.1e}")
        right = right and not wrong
    return right


def peers_for(problem: Problem, peers: tuple[GpuPeer, ...]) -> tuple[GpuPeer, ...]:
    """Without FlexAttention where it takes long to compile and says nothing new."""
    example, dim = problem.example, problem.spec.heads.dim
    if not is_plain(problem) or (example.queries, dim) == (4096, 128):
        return peers
    return tuple(peer for peer in peers if peer.name != FLEX)


def row_of(found: GpuTimed) -> tuple[str, ...]:
    outcome, ours = found.outcome, found.outcome.ours
    name = f"{outcome.row}: {outcome.title}"
    if ours is None:
        return name, found.family, f"not timed: {outcome.problem}", "", ""
    figures = f"{ours.seconds * 1e3:.3f} ms, {rate(found)}"
    if outcome.is_decoding:
        figures += f", {share(found)} of a copy's bandwidth"
    compared = [
        f"{ratio:.2f}x {peer.name}{shortfall(ratio, found.bars.get(peer.name))}"
        for peer in outcome.peers
        for ratio in (outcome.against(peer).median,)
    ]
    compared += [f"{absent.name}: {absent.reason[:60]}" for absent in outcome.absent]
    return name, found.family, f"{ours.error or 0.0:.1e}", figures, "; ".join(compared)


def table(rows: list[tuple[str, ...]]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=420.0, help="no row is begun after so long")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"), help="where the table goes")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    options = parser.parse_args()
    if gpu_of_this_machine() is None or not torch.cuda.is_available():
        print("no GPU here: this script checks and times kernels on one", file=sys.stderr)
        return 2
    start, stage, targets = time.perf_counter(), stage_here(), gpu_targets(None)
    here = f"{stage.name}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    print(here)
    calls, peers = list(named_calls(options.only)), peers_on_gpu(["torch"])
    prepare_all(calls, targets, options.seconds / 2)
    print(f"all kernels compiled in {time.perf_counter() - start:.0f} s", flush=True)
    right, rows = all([odd_lengths(stage, target) for target in targets]), []
    for call in calls:
        if time.perf_counter() - start > options.seconds:
            break
        operands = stage.operands(call.problem)
        for found in race(stage, call, operands, targets, peers_for(call.problem, peers), Pace(ROUNDS)):
            right = right and not found.outcome.is_failure
            rows.append(row_of(found))
            print(" | ".join(rows[-1]), flush=True)
        options.out.write_text(f"{here}\n\n{table(rows)}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
