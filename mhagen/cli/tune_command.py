"""`mhagen tune` on the command line: its options and their help."""

from __future__ import annotations

import click
from click.core import ParameterSource

from .command import Command, arch, as_json, one_spec

OF_CPUS = ("strategy", "threads", "is_fresh", "saves", "report", "t4")


@click.command(cls=Command)
@one_spec
@click.option(
    "--backend",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What the kernels run on.",
)
@arch
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="b=1,q=1,k=4096",
    help="Lengths of calls to be fast for; may be repeated.  "
    "[default: b=16,s=128 and b=1,s=1024 and b=1,q=1,k=4096; cuda: b=8,s=1024 and b=1,s=4096]",
)
@click.option(
    "--budget",
    default="60s",
    show_default=True,
    metavar="TIME",
    help="For everything, compiling included: 90, 90s, 15m or 2h.",
)
@click.option(
    "--strategy",
    type=click.Choice(["model", "climb", "exhaustive", "optuna"]),
    default="climb",
    show_default=True,
    help="The model's favourites; these, then step by step to neighbours; everything; what Optuna suggests.",
)
@click.option("--threads", default="1", show_default=True, metavar="N,...", help="How many a call may use.")
@click.option(
    "--jobs", type=click.IntRange(1, 1024), help="Processes that compile.  [default: one for each CPU]"
)
@click.option("--fresh", "is_fresh", is_flag=True, help="Measure again what is in the records.")
@click.option("--save", "saves", is_flag=True, help="Also write the schedules beside SPEC: NAME.tuned.json.")
@click.option(
    "--report", type=click.Path(dir_okay=False), metavar="FILE.html", help="Write a page with pictures."
)
@click.option(
    "--export-t4",
    "t4",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write all records of SPEC in the T4 results format.",
)
@as_json
@click.pass_context
def tune(
    context: click.Context,
    spec: str,
    backend: str,
    arch: str | None,
    shapes: tuple[str, ...],
    budget: str,
    strategy: str,
    threads: str,
    jobs: int | None,
    is_fresh: bool,
    saves: bool,
    report: str | None,
    t4: str | None,
    as_json: bool,
) -> int:
    """Find the schedules with which calls of a spec are fastest on this machine. Later builds use them.

    Each candidate is compared with the reference before it is timed, in a process of its own: one that is
    wrong, crashes, hangs or takes too much memory is recorded as such. Candidates and the default take turns.
    At the end the winner is timed beside the default once more, and the default stays where the gain is not
    beyond the noise.

    What was measured is kept: Ctrl-C loses nothing, and the next run goes on where this one ended.

    \b
    Examples:
      mhagen tune layer.toml --shape b=1,s=1024 --shape b=1,q=1,k=4096 --budget 2m
      mhagen tune layer.toml --threads 1,2 --report layer.html
      mhagen tune layer.toml --strategy exhaustive --budget 1h --json > layer.json
      mhagen tune layer.toml --save                  colleagues with such a machine need not tune
      mhagen tune layer.toml --backend cuda --arch sm_90a    needs no GPU: ptxas looks at each schedule
    """
    began: float = context.obj  # importing everything is within the budget
    if backend == "cuda":
        from .tune_gpu import Request as RequestForGpu
        from .tune_gpu import tune_spec_for_gpu

        refuse(context, OF_CPUS, "--backend cpu")
        return tune_spec_for_gpu(RequestForGpu(began, spec, arch, shapes, budget, jobs), as_json)
    refuse(context, ("arch",), "--backend cuda")
    from .tune import Request, tune_spec

    return tune_spec(
        Request(began, spec, shapes, budget, strategy, threads, jobs, is_fresh, saves, report, t4), as_json
    )


def refuse(context: click.Context, names: tuple[str, ...], backend: str) -> None:
    """Raises   UsageError for an option that is given, and for the other backend"""
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option.opts[0]} is for {backend}.")
