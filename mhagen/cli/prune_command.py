"""`mhagen prune` on the command line: its options and their help."""

from __future__ import annotations

import click

from .command import Command, as_json, one_spec

METHODS = ("michel", "michel-code", "michel-transformers", "confidence", "entropy", "ablation")


@click.command(cls=Command)
@one_spec
@click.argument("weights", metavar="WEIGHTS...", nargs=-1, required=True)
@click.option(
    "--inputs",
    "-i",
    multiple=True,
    required=True,
    metavar="FILE",
    help="What the layer is given, .npy, .npz or .safetensors: one for each WEIGHTS.",
)
@click.option(
    "--by",
    type=click.Choice(METHODS),
    default="michel",
    show_default=True,
    help="What tells which heads matter least.",
)
@click.option("--keep", type=int, metavar="N", help="Prune all but so many query heads.")
@click.option("--prune", type=int, metavar="N", help="Prune so many query heads.")
@click.option("--share", type=float, metavar="S", help="Prune this part of the query heads, as 0.33.")
@click.option(
    "--batch", type=int, default=1, show_default=True, help="Examples a batch: michel-transformers."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default="pruned",
    show_default=True,
    metavar="DIR",
    help="Where to write the smaller specs and weights.",
)
@click.option(
    "--picture", type=click.Path(dir_okay=False), metavar="FILE.svg", help="Draw the measures of all heads."
)
@as_json
def prune(
    spec: str,
    weights: tuple[str, ...],
    inputs: tuple[str, ...],
    by: str,
    keep: int | None,
    prune: int | None,
    share: float | None,
    batch: int,
    out: str,
    picture: str | None,
    as_json: bool,
) -> int:
    """Measure how much each head of a layer matters, and prune those that matter least.

    WEIGHTS is a .npz or .safetensors file with wq, wk, wv, wo and what else the layer has; several are
    several layers of one SPEC, whose heads are ranked together. FILE has x (batch, sequence, model_dim), the
    arrays of [inputs], and if wanted context, query_offset, counted (batch, sequence: true for tokens that
    are no padding) and gradient: dL/d output. Without it the loss is half the squared norm of the output.

    Without --keep, --prune or --share heads are measured, and no spec is written. With one of these, the
    smaller spec and weights are written for each layer, after they were compared with the layer whose heads
    are gated to 0.

    \b
    Examples:
      mhagen prune layer.toml layer.npz -i seen.npz
      mhagen prune layer.toml layer.npz -i seen.npz --prune 4 --by confidence --picture heads.svg
      mhagen prune layer.toml 0.safetensors 1.safetensors -i 0.npz -i 1.npz --share 0.33 --out smaller
    """
    from .prune import Request, prune_heads

    return prune_heads(Request(spec, weights, inputs, by, keep, prune, share, batch, out, picture), as_json)
