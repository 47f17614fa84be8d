"""`mhagen tune` on the command line: its options and their help."""

from __future__ import annotations

from time import monotonic

import click

from .command import Command, as_json, one_spec


@click.command(cls=Command)
@one_spec
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="b=1,q=1,k=4096",
    help="Lengths of calls to be fast for; may be repeated.  "
    "[default: b=16,s=128 and b=1,s=1024 and b=1,q=1,k=4096]",
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
def tune(
    spec: str,
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
    """
    began = monotonic()  # importing the rest is within the budget
    from .tune import Request, tune_spec

    return tune_spec(
        Request(began, spec, shapes, budget, strategy, threads, jobs, is_fresh, saves, report, t4), as_json
    )
