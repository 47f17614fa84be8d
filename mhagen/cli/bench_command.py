"""`mhagen bench` on the command line: its options and their help."""

from __future__ import annotations

import click

from .command import Command, arch, as_json
from .failures import Failure, attempt, failure_document
from .output import document
from .tune_command import refuse


@click.command(cls=Command)
@click.argument("spec", metavar="[SPEC]", required=False)
@click.option(
    "--grid", "wants_grid", is_flag=True, help="Measure the public grid of calls instead of a SPEC."
)
@click.option(
    "--backend",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What the kernels run on, each with a grid of its own.",
)
@arch
@click.option("--rows", default="", metavar="P1,P2", help="Measure these rows of the grid only.")
@click.option(
    "--dtype",
    "dtypes",
    metavar="DTYPE,...",
    help="The formats of the grid.  [default: float32,bfloat16; cuda: bfloat16,float16]",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="b=1,q=1,k=4096",
    help="Lengths of a call of SPEC; may be repeated.  [default: b=1,q=1024,k=1024]",
)
@click.option(
    "--against",
    metavar="PEER,...",
    help="The software to compare with; nothing for none.  "
    "[default: torch,onnxruntime,openvino,numpy; cuda: torch]",
)
@click.option(
    "--threads", default="1", show_default=True, metavar="N,...", help="Numbers of threads, each a table."
)
@click.option("--rounds", type=click.IntRange(1, 10000), help="How many rounds a row is measured.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    help="How long, if --rounds does not say how often.",
)
@as_json
@click.pass_context
def bench(
    context: click.Context,
    spec: str | None,
    wants_grid: bool,
    backend: str,
    arch: str | None,
    rows: str,
    dtypes: str | None,
    shapes: tuple[str, ...],
    against: str | None,
    threads: str,
    rounds: int | None,
    seconds: float,
    as_json: bool,
) -> int:
    """Measure kernels beside other software and the limits of this machine.

    All candidates take turns in one process. Each peer is compared with our result first, tried in all its
    forms, and timed in the fastest. One that is not installed, or cannot do the work, is named with the
    reason. Quiet machines only: what else runs on it is measured too. A SPEC with [projections] is measured
    on CPUs as the whole layer, its projections included.

    With --backend cuda, on a GPU by PyTorch's arrays: every result is judged first. Without one, nothing is
    timed: what ptxas and the schedules say of the kernels is shown. --rows takes names of its grid ("causal
    d128 s4096", "window", "decode b8"), or words that they share ("d128", "decode").

    \b
    Examples:
      mhagen bench layer.toml --shape b=1,q=512 --shape b=1,q=1,k=4096
      mhagen bench --grid --against torch,openvino --threads 1,2
      mhagen bench --rows P1,P4 --dtype float32 --rounds 21
      mhagen bench --grid --json > results.json
      mhagen bench --grid --backend cuda --against torch
      mhagen bench --rows d128,decode --dtype bfloat16 --backend cuda --arch sm_90a
    """
    from ..tuning.bench import Pace

    require_one_subject(spec, wants_grid or bool(rows), shapes)
    pace = Pace(rounds, seconds)
    if backend == "cuda":
        refuse(context, ("threads",), "--backend cpu")
        if (code := code_without_compiler(as_json)) is not None:
            return code
        from .bench_gpu import Request as RequestForGpu
        from .bench_gpu import bench_on_gpu

        given = (
            rows,
            "bfloat16,float16" if dtypes is None else dtypes,
            "torch" if against is None else against,
        )
        return bench_on_gpu(RequestForGpu(spec, shapes, *given, arch, pace), as_json)
    refuse(context, ("arch",), "--backend cuda")
    from .bench import DTYPES_OF_GRID, PEERS, Request
    from .bench import bench as measure

    given = (rows, DTYPES_OF_GRID if dtypes is None else dtypes, PEERS if against is None else against)
    return measure(Request(spec, shapes, *given, threads, pace), as_json)


def code_without_compiler(as_json: bool) -> int | None:
    """None where kernels for GPUs can be compiled: nothing else may import what compiles them."""
    from ..tuning.toolchain import require_gpu_compiler

    found = attempt(require_gpu_compiler)
    if not isinstance(found, Failure):
        return None
    if as_json:
        document("bench", found.exit_code, {"error": failure_document(found.error)})
    return found.exit_code


def require_one_subject(spec: str | None, is_grid: bool, shapes: tuple[str, ...]) -> None:
    """Raises   UsageError unless there is a spec, or the grid, and shapes for the first alone"""
    if spec is not None and is_grid:
        raise click.UsageError("A SPEC, or the grid (--grid, --rows): not both.")
    if spec is None and not is_grid:
        raise click.UsageError("Give a SPEC, --grid, or --rows of the grid.")
    if shapes and spec is None:
        raise click.UsageError("--shape is for a SPEC: the rows of the grid have their own.")
