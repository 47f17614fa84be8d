"""mhagen.prune: measures the heads of a layer, or of several, and makes smaller layers of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..base.errors import InputError
from ..ir.files import SUFFIXES, read_arrays
from ..pipeline import SpecLike, build
from ..spec.load import load_spec
from ..spec.model import Spec
from .cut import cut_heads, smaller_name, smaller_spec, smaller_weights
from .importance import measures
from .methods import Method, method_named
from .observed import Observed, observe, watching_kernel
from .proof import Kernels, proven
from .result import Pruning, SmallerLayer
from .seen import Named, SeenLayer, seen_layer
from .selection import Amount, least_important

Weights: TypeAlias = str | os.PathLike[str] | Named
Inputs: TypeAlias = str | os.PathLike[str] | Named | npt.NDArray[np.generic]


def prune(
    spec: SpecLike,
    weights: Weights | Sequence[Weights],
    inputs: Inputs | Sequence[Inputs],
    *,
    by: str | Method = Method.MICHEL,
    keep: int | None = None,
    prune: int | None = None,
    share: float | None = None,
    batch: int = 1,
    out: str | os.PathLike[str] | None = None,
) -> Pruning:
    """Measure how much each head matters for these inputs; make the layer without those that matter least.

    Shapes   weights: a mapping of the layer's weights, or a .npz or .safetensors file of them; inputs: x
             (batch, sequence, model_dim), or a mapping or file with x, the arrays of [inputs], and if wanted
             context, query_offset, gradient (dL/d output, of its shape) and counted (batch, sequence), the
             tokens that are no padding. Sequences of both: several layers of one spec, pruned together
    Units    keep, prune: heads of all layers together; share: a part of them, 0 to 1; none: they are only
             measured. batch: examples that michel-transformers takes at once
    Numbers  without a gradient the loss is half the squared norm of the output, so its gradient is the output
    Raises   InputError, SpecError, UnsupportedError; VerificationError, and nothing written into `out`, where
             a smaller layer is not the layer with those heads gated to 0
    """
    files = tuple(files_among((spec, *one_or_more(weights), *one_or_more(inputs))))
    spec, method, amount = load_spec(spec), method_named(by), Amount(keep, prune, share)
    check_batch(batch)
    if spec.projections is None:
        raise InputError(f"{spec.name} has no weights to prune: its spec has no [projections]")
    pairs = paired(one_or_more(weights), one_or_more(inputs))
    count = amount.count(len(spec.kept_heads) * len(pairs), len(pairs))
    layers = watched(spec, pairs)
    found = {each: measures(layers, each, batch) for each in Method}
    chosen = None if count is None else least_important(found[method], method, count)
    result = Pruning(spec, method, found, () if chosen is None else tuple(smaller(layers, chosen)), files)
    if out is not None:
        result.save(Path(out), suffix_of(weights))
    return result


def check_batch(batch: object) -> None:
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"batch is {batch!r} and needs a number of examples, 1 or more")


def one_or_more(given: object) -> Sequence[object]:
    return given if isinstance(given, list | tuple) else (given,)


def files_among(given: Iterable[object]) -> Iterator[Path]:
    return (Path(each) for each in given if isinstance(each, str | os.PathLike))


def paired(weights: Sequence[object], inputs: Sequence[object]) -> Sequence[tuple[object, object]]:
    if len(weights) != len(inputs) or not weights:
        raise InputError(
            f"there are weights of {len(weights)} layers and inputs of {len(inputs)}; each layer needs both"
        )
    return tuple(zip(weights, inputs, strict=True))


def watched(spec: Spec, pairs: Sequence[tuple[object, object]]) -> tuple[Observed, ...]:
    seen = [named_layer(spec, *pair, number if len(pairs) > 1 else None) for number, pair in enumerate(pairs)]
    kernel = watching_kernel(spec)
    return tuple(observe(each, kernel) for each in seen)


def named_layer(spec: Spec, weights: object, inputs: object, number: int | None) -> SeenLayer:
    """The layer; mistakes name its number where there are several, and the files that do not fit."""
    given = {"weights": weights, "inputs": inputs}
    places = [] if number is None else [f"layer {number}"]
    try:
        arrays = weights_in(weights), arrays_in(inputs)
        places += [f"{name} {each}" for name, each in given.items() if isinstance(each, str | os.PathLike)]
        return seen_layer(spec, *arrays)
    except InputError as error:
        if not places:
            raise
        raise InputError(f"{', '.join(places)}: {error}") from error


def arrays_in(given: Any) -> Any:
    """What is given, or what is in the file that is given."""
    return read_arrays(Path(given)) if isinstance(given, str | os.PathLike) else given


def weights_in(given: object) -> Named:
    if isinstance(given, str | os.PathLike) and Path(given).suffix.lower() not in SUFFIXES:
        raise InputError(f"{given} cannot hold weights, which have names: give .npz or .safetensors")
    found = arrays_in(given)
    if not isinstance(found, Mapping):
        raise InputError(f"weights is a {type(found).__name__} and needs to be a mapping or a file of arrays")
    return found


def smaller(layers: Sequence[Observed], chosen: Sequence[tuple[int, ...]]) -> Iterator[SmallerLayer]:
    """The smaller layers, each proven. Layers that come out alike share a kernel."""
    spec = layers[0].seen.spec
    whole = build(spec)
    cuts = [cut_heads(spec, pruned) for pruned in chosen]
    common = [smaller_spec(spec, cut, smaller_name(spec, "_pruned")) for cut in cuts]
    kernels = {text: build(small) for text, small in {each.to_toml(): each for each in common}.items()}
    for number, (layer, pruned, cut) in enumerate(zip(layers, chosen, cuts, strict=True)):
        suffix = "_pruned" if len(layers) == 1 else f"_pruned_{number}"
        small = smaller_spec(spec, cut, smaller_name(spec, suffix))
        weights = smaller_weights(spec, cut, layer.seen.weights)
        proof = proven(layer, pruned, small, weights, Kernels(whole, kernels[common[number].to_toml()]))
        gone = tuple(sorted({*pruned, *spec.heads.pruned}))
        yield SmallerLayer(gone, cut, small, weights, proof)


def suffix_of(weights: object) -> str:
    """The format of the weights that were given; .npz for arrays."""
    first = one_or_more(weights)[0]
    return Path(first).suffix.lower() if isinstance(first, str | os.PathLike) else ".npz"
