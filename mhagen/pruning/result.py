"""What pruning has found: the measures of all heads, which of them go, and the layers without these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.acceptance import numpy_dtype
from ..base.dtypes import DType
from ..base.errors import InputError
from ..ir.files import write_arrays
from ..spec.model import Spec
from ..tuning.result_text import html_table, text_table
from .cut import Cut
from .methods import Method
from .proof import Proof


@dataclass(frozen=True, eq=False)
class SmallerLayer:
    """A layer without the pruned heads: a spec and weights for `layer`, and how they were proven.

    Members  pruned are numbers of the given layer's heads, all that it lacks; cut says where the others went
    """

    pruned: tuple[int, ...]
    cut: Cut
    spec: Spec
    weights: Mapping[str, np.ndarray[Any, Any]]
    proof: Proof


@dataclass(frozen=True, eq=False, repr=False)
class Pruning:
    """The measures of the heads, by every method, and the smaller layers, if any heads were to go.

    Shapes   measures[method][layer][head]; None of a head that the spec prunes already
    Members  layers has one for each file or mapping of weights; it is empty where heads were only measured;
             read are the files of the spec, the weights and the inputs, as far as they came from files
    """

    spec: Spec
    by: Method
    measures: Mapping[Method, tuple[tuple[float | None, ...], ...]]
    layers: tuple[SmallerLayer, ...]
    read: tuple[Path, ...] = ()

    @property
    def pruned(self) -> tuple[tuple[int, ...], ...]:
        """For each layer the heads that it will lack."""
        return tuple(layer.pruned for layer in self.layers)

    @property
    def headline(self) -> str:
        rows = self.measures[self.by]
        heads = sum(value is not None for row in rows for value in row)
        layers = "" if len(rows) == 1 else f" in {len(rows)} layers"
        what = f"{self.spec.name}: {heads} heads{layers}"
        if not self.layers:
            return f"{what}, measured"
        gone = heads - sum(len(row) - len(layer.pruned) for row, layer in zip(rows, self.layers, strict=True))
        return f"{what}, {gone} of them pruned by {self.by.value}"

    @property
    def columns(self) -> tuple[str, ...]:
        return ("layer", "head", *(method.value for method in Method), "")

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """A line for each head."""
        return tuple(
            (str(layer), str(head), *self.cells(layer, head), self.verdict(layer, head))
            for layer, row in enumerate(self.measures[self.by])
            for head in range(len(row))
        )

    def cells(self, layer: int, head: int) -> Iterator[str]:
        for method in Method:
            value = self.measures[method][layer][head]
            yield "-" if value is None else f"{value:.4f}"

    def verdict(self, layer: int, head: int) -> str:
        """What becomes of a head, in a word."""
        if self.measures[self.by][layer][head] is None:
            return "was pruned"
        return "pruned" if self.layers and head in self.layers[layer].pruned else ""

    @property
    def remarks(self) -> Iterator[str]:
        """What no cell of the table holds, a line each."""
        for layer in self.layers:
            heads, proof = layer.spec.heads, layer.proof
            empty = f" ({len(heads.pruned)} of them empty)" if heads.pruned else ""
            yield (
                f"{layer.spec.name}: {heads.query} query{empty} and {heads.key_value} key/value heads; "
                f"within {proof.reference_error:.0e} of the gated layer, "
                f"its kernel within {proof.kernel_error:.0e}"
            )

    def __str__(self) -> str:
        return "\n".join(
            (self.headline, "", text_table(self.columns, self.rows()), "", *self.remarks)
        ).rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.headline, self.columns, self.rows(), self.remarks)

    def save(self, out: str | Path, suffix: str = ".npz") -> tuple[Path, ...]:
        """Write NAME.toml and the weights beside it, for each smaller layer; returns the paths.

        Raises   InputError where that is not possible
        """
        if suffix not in (".npz", ".safetensors"):
            raise InputError(f"suffix is {suffix!r} and needs .npz or .safetensors")
        paths = [destinations(layer, Path(out), suffix) for layer in self.layers]
        for path in (path for pair in paths for path in pair):
            require_not_read(path, self.read)
        for layer, pair in zip(self.layers, paths, strict=True):
            write(layer, *pair)
        return tuple(path for pair in paths for path in pair)


def destinations(layer: SmallerLayer, folder: Path, suffix: str) -> tuple[Path, Path]:
    """Where the spec and the weights of the layer go."""
    return folder / f"{layer.spec.name}.toml", folder / f"{layer.spec.name}{suffix}"


def require_not_read(path: Path, read: tuple[Path, ...]) -> None:
    if any(path.resolve() == each.resolve() for each in read):
        raise InputError(f"{path} is what has been pruned, and would be written over: choose another folder")


def write(layer: SmallerLayer, spec: Path, weights: Path) -> None:
    try:
        spec.parent.mkdir(parents=True, exist_ok=True)
        spec.write_text(layer.spec.to_toml(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {spec}: {error.strerror or error}") from error
    write_arrays(weights, in_a_format_of_the_layer(layer))


def in_a_format_of_the_layer(layer: SmallerLayer) -> Mapping[str, np.ndarray[Any, Any]]:
    """The weights; bfloat16 is widened for a layer of another format, which would not know its bits."""
    if layer.spec.dtype is DType.BFLOAT16:
        return layer.weights
    return {
        name: array.astype(np.float32) if array.dtype == numpy_dtype(DType.BFLOAT16) else array
        for name, array in layer.weights.items()
    }
