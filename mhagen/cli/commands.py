"""The command line on one page: commands, options and their help. What they do is imported when they run."""

from __future__ import annotations

from typing import Literal

import click

from ..base.version import __version__
from .bench_command import bench
from .cache_commands import cache
from .command import Commands, arch, as_json, many_specs, one_spec, target
from .prune_command import prune
from .tune_command import tune

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def mhagen() -> None:
    """Compile a short description of an attention layer into a readable Python module of kernels.

    \b
    A first kernel:
      mhagen check examples/gpt2_small.toml            is the spec right?
      mhagen show examples/gpt2_small.toml             what does it mean, and what becomes of it?
      mhagen build examples/gpt2_small.toml --verify   write generated/gpt2_small.py, and compare it
      python -c "from generated import gpt2_small"     it needs numpy and numba only

    Results go to stdout; progress and errors go to stderr. NO_COLOR and pipes are respected. MHAGEN_DEBUG=1
    adds Python's traceback to an error.
    """


@mhagen.command()
@many_specs(required=False)
@click.option("--schema", "wants_schema", is_flag=True, help="Print the JSON Schema of specs instead.")
@as_json
def check(specs: tuple[str, ...], wants_schema: bool, as_json: bool) -> int:
    """Check specs: every mistake, its place, and what to do.

    \b
    Examples:
      mhagen check examples/*.toml
      mhagen check --schema > mhagen.schema.json    put "#:schema ./mhagen.schema.json" on a spec's
                                                    first line, and editors complete and check it
      mhagen check layer.toml --json                for programs: code, file, line, column, remedy
    """
    from .check import check_specs, print_schema

    if wants_schema == bool(specs):
        raise click.UsageError("Give one SPEC or more, or --schema alone.")
    return print_schema() if wants_schema else check_specs(specs, as_json)


@mhagen.command()
@many_specs()
@click.option(
    "--backend",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What the kernels run on.",
)
@click.option(
    "--out",
    type=click.Path(),
    default="generated",
    show_default=True,
    metavar="DIR",
    help="The folder to write NAME.py into, with its runtime support beside it; one for each backend.",
)
@target
@arch
@click.option(
    "--tune",
    type=click.Choice(["cached", "never"]),
    default="cached",
    show_default=True,
    help="Use schedules that `mhagen tune` has found, or that lie beside a SPEC; or do not.",
)
@click.option(
    "--verify", "wants_verification", is_flag=True, help="Compare with the reference, on more sizes."
)
@click.option("--print", "wants_print", is_flag=True, help="Print the source instead of writing it.")
@as_json
def build(
    specs: tuple[str, ...],
    backend: str,
    out: str,
    target: str | None,
    arch: str | None,
    tune: Literal["cached", "never"],
    wants_verification: bool,
    wants_print: bool,
    as_json: bool,
) -> int:
    """Write, compile and cache the kernels of specs.

    Every kernel is compared with the reference on small inputs before it is written; one that differs is
    not. --verify does so on sizes that people use, and times it against plain NumPy. A target that this
    machine cannot run is generated, and neither compiled nor compared. Kernels for GPUs are compared by
    --verify alone, which needs a GPU for them.

    Several specs are all tried; the exit code is the worst of theirs.

    \b
    Examples:
      mhagen build layer.toml                   write generated/layer.py
      mhagen build layer.toml --verify          how exact is it, and how fast?
      mhagen build layer.toml --print | less    read it; nothing is written or compiled
      mhagen build *.toml --out lib --target avx2
      mhagen build layer.toml --backend cuda --arch sm_90     needs no GPU
    """
    from .build import Request, build_specs

    if wants_print and wants_verification:
        raise click.UsageError("--print compiles nothing, so --verify has nothing to compare: give one.")
    if (arch if backend == "cpu" else target) is not None:
        raise click.UsageError("--arch is for --backend cuda, and --target for --backend cpu.")
    request = Request(backend, target, arch, out, tune, wants_verification, wants_print)
    return build_specs(specs, request, as_json)


@mhagen.command()
@one_spec
@click.option("--after", "stage", metavar="STAGE", help="Show this stage alone.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "svg", "html"]),
    default="text",
    show_default=True,
    help="How to show it.",
)
@click.option(
    "--shape", metavar="q=1024,k=1024", help="svg: lengths of a call.  [default: what shows the mask]"
)
@click.option("--head", type=int, metavar="N", help="The query head whose mask is drawn.  [default: 0]")
@click.option(
    "--attention", "inputs", metavar="INPUTS", help="Draw where heads look: .npz, .safetensors or a folder."
)
@click.option("--weights", metavar="WEIGHTS", help="--attention: those of the layer, in a file like INPUTS.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="svg, --attention: where to write it.",
)
@target
@click.option("--json", "as_json", is_flag=True, help="svg, --attention: print one JSON document on stdout.")
def show(
    spec: str,
    stage: str | None,
    form: str,
    inputs: str | None,
    weights: str | None,
    shape: str | None,
    head: int | None,
    out: str | None,
    target: str | None,
    as_json: bool,
) -> int:
    """Show a spec, and every value on its way to a kernel.

    Without --after: the spec with its defaults resolved, a picture of its mask, the graph before and after
    the passes, what each pass is for, and the schedule.

    STAGE is spec, build_graph, the name of a pass, schedule or source. A wrong one lists them all.

    \b
    Examples:
      mhagen show layer.toml
      mhagen show layer.toml --after fold_scale
      mhagen show layer.toml --after source
      mhagen show layer.toml --format mermaid       the final graph, for Markdown
      mhagen show layer.toml --format html          where the time goes, as modelled: see mhagen explain
      mhagen show layer.toml --format svg --shape q=512,k=2048 --out mask.svg
                                                    the mask, and which tiles the kernel skips and masks
      mhagen show layer.toml --head 3               the mask of another query head than 0; so as svg
      mhagen show layer.toml --attention inputs.npz --out maps.svg
                                                    the weights of each head, for short query, key and inputs
      mhagen show layer.toml --attention x.npy --weights layer.safetensors --out maps.svg
                                                    the same of a layer, for its x
    """
    from .show import show_spec
    from .show_attention import Request as Drawing
    from .show_attention import show_attention
    from .show_mask import Request, show_mask

    if inputs is not None:
        if form == "mermaid" or any(each is not None for each in (stage, shape, head)):
            raise click.UsageError("--attention is drawn as svg or html: leave --after, --shape, --head out.")
        if target is not None:
            raise click.UsageError("--attention draws what the reference computes: leave --target out.")
        return show_attention(Drawing(spec, inputs, weights, form, out), as_json)
    if weights is not None:
        raise click.UsageError("--weights are for --attention, which has the x of the layer.")
    if form == "svg":
        if stage is not None:
            raise click.UsageError("svg shows the mask of the spec: leave --after out.")
        return show_mask(Request(spec, 0 if head is None else head, shape, target, out), as_json)
    if as_json or shape is not None or out is not None:
        raise click.UsageError(
            "--shape, --out and --json are for --format svg, the last two also for --attention."
        )
    return show_spec(spec, stage, form, target, head)


@mhagen.command()
@one_spec
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="b=1,q=1,k=4096",
    help="Lengths of a call; may be repeated.  [default: b=1,q=1024,k=1024 and b=1,q=1,k=4096]",
)
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option(
    "--measure/--no-measure",
    "measures",
    default=True,
    show_default=True,
    help="Time the calls and the limits of this machine, or go by the model alone.",
)
@click.option("--format", "form", type=click.Choice(["text", "html"]), default="text", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="Where to write the page.")
@as_json
def explain(
    spec: str,
    shapes: tuple[str, ...],
    threads: int,
    measures: bool,
    form: str,
    out: str | None,
    as_json: bool,
) -> int:
    """Explain how long calls of a spec take: the work, the limits, the schedule and its reasons.

    For each shape: operations, bytes and the share of pairs that the mask shows; what the machine allows at
    most; how long a model of the kernel says it takes, and what it spends that on; and what was measured.
    html is one page that needs nothing else, with a roofline.

    \b
    Examples:
      mhagen explain layer.toml
      mhagen explain layer.toml --shape b=1,q=1024,k=1024 --shape b=8,q=1,k=4096 --threads 2
      mhagen explain layer.toml --format html --out layer.html
      mhagen explain layer.toml --no-measure --json
    """
    from .explain import Request, explain_spec

    return explain_spec(Request(spec, shapes, threads, measures, form, out), as_json)


mhagen.add_command(tune)
mhagen.add_command(bench)
mhagen.add_command(prune)
mhagen.add_command(cache)


@mhagen.command()
@as_json
def doctor(as_json: bool) -> int:
    """Tell what this machine can do, and what is wrong with it.

    CPU, instruction set and threads; the float32 peak and the read bandwidth, both measured, in a second or
    two; versions, the cache, CUDA. Ends with everything that is in the way of fast kernels, and what to do
    about it: exit code 1 if kernels cannot run at all or cannot be kept, 0 otherwise.

    \b
    Examples:
      mhagen doctor
      mhagen doctor --json > machine.json
    """
    from .doctor import examine_machine

    return examine_machine(as_json)
