"""Where the heads of a spec look: the weights of a call, as the reference computes them, read from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..base.errors import InputError
from ..ir.files import Arrays, read_arrays
from ..ir.op import Integers
from ..ir.reference import Reference
from ..spec.fields import Layout
from ..spec.model import Spec
from ..spec.names import WEIGHTS

PARAMETERS = (*WEIGHTS, "wqkv", "bqkv")
MOST_CELLS = 1 << 17  # of all heads: a picture of some megabytes
Weights: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Shape: TypeAlias = tuple[int, ...]
Shades: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class HeadMap:
    """The weights of one head: (queries, keys). The first query stands at `first_query`."""

    head: int
    weights: Weights
    first_query: int

    @property
    def queries(self) -> int:
        return len(self.weights)

    @property
    def keys(self) -> int:
        return int(self.weights.shape[1])

    @property
    def confidence(self) -> float:
        """The greatest weight of a query, in the mean."""
        return float(self.weights.max(axis=1, initial=0.0).mean()) if self.queries else 0.0

    @property
    def entropy(self) -> float:
        """Of the weights of a query, in the mean."""
        terms = self.weights * np.log(np.where(self.weights > 0, self.weights, 1.0))
        return 0.0 - float(terms.sum(axis=1).mean()) if self.queries else 0.0

    def shades(self, most: int) -> Shades:
        """The roots of the weights in steps, so that small ones are seen; a weight of 1 is `most`."""
        steps = np.rint(most * np.sqrt(np.nan_to_num(self.weights, nan=0.0))).astype(int)
        return tuple(tuple(map(int, row)) for row in steps)


@dataclass(frozen=True)
class Looks:
    """The maps of all heads for the first batch entry, of so many."""

    spec: Spec
    maps: tuple[HeadMap, ...]
    batch: int


def looks_of(spec: Spec, inputs: Path, weights: Path | None) -> Looks:
    """Where heads look, for arrays from files or folders: query and key, or x and the weights of the layer.

    Shapes   inputs: also context, query_offset and what else the spec reads; the weights may be among them
    Raises   InputError for arrays that are missing, unknown or wrong, or too long to be drawn
    """
    arrays = arrays_in(inputs)
    if weights is not None:
        arrays |= weights_in(spec, weights, arrays)
    found, offset = weights_of(spec, arrays)
    first = enumerate(found[0] if len(found) else ())
    return Looks(spec, tuple(HeadMap(head, each, int(offset[0])) for head, each in first), len(found))


def arrays_in(path: Path) -> Arrays:
    """Those of a .npz or .safetensors file, or of the .npy files in a folder."""
    if not path.is_dir():
        return read_arrays(path)
    return {each.stem: array for each in sorted(path.glob("*.npy")) for array in read_arrays(each).values()}


def weights_in(spec: Spec, path: Path, inputs: Arrays) -> Arrays:
    """The weights of a layer, none of which is among the inputs."""
    if spec.projections is None:
        raise InputError(f"{spec.name} has no weights: its spec has no [projections]")
    found = arrays_in(path)
    if wrong := [name for name in found if name not in PARAMETERS]:
        raise InputError(f"{path} has {', '.join(wrong)}; weights are {', '.join(PARAMETERS)}")
    if twice := [name for name in found if name in inputs]:
        raise InputError(f"{', '.join(twice)} of {path} is also among the inputs: give it once")
    return found


def weights_of(spec: Spec, arrays: Arrays) -> tuple[Weights, Integers]:
    if spec.projections is None or ("x" not in arrays and {"query", "key"} & set(arrays)):
        require_names(arrays, ("query", "key", *spec.inputs), ("value", "query_offset"))
        require_short(spec, *(arrays[name].shape for name in ("query", "key")))
        return Reference(spec).weights(**arrays)
    require_names(arrays, ("x", *spec.inputs), ("context", "query_offset", *PARAMETERS))
    parameters = {name: array for name, array in arrays.items() if name in PARAMETERS}
    if not parameters:
        raise InputError("x is given without weights of the layer: give them by --weights, or beside x")
    require_short(spec, *(arrays[name].shape for name in ("x", "context" if "context" in arrays else "x")))
    others = {name: array for name, array in arrays.items() if name not in PARAMETERS}
    return Reference(spec).weights_in_layer(**others, weights=parameters)


def require_names(arrays: Arrays, needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
    lacks = [name for name in needed if name not in arrays]
    unknown = [name for name in arrays if name not in needed + optional]
    if lacks or unknown:
        wrong = [f"lack {', '.join(lacks)}"] if lacks else []
        wrong += [f"have unknown {', '.join(unknown)}"] if unknown else []
        raise InputError(f"the inputs {' and '.join(wrong)}; they may be {', '.join(needed + optional)}")


def require_short(spec: Spec, queries_shape: Shape, keys_shape: Shape) -> None:
    """Refuses more weights than a picture can show, before they are computed."""
    lengths = [length_of(spec, shape) for shape in (queries_shape, keys_shape)]
    most = MOST_CELLS // spec.heads.query
    if lengths[0] * lengths[1] > most:
        side = int(most**0.5)
        raise InputError(
            f"{lengths[0]} queries by {lengths[1]} keys are too many to draw for {spec.heads.query} heads; "
            f"needs at most {most} pairs, as {side} by {side}"
        )


def length_of(spec: Spec, shape: Shape) -> int:
    """That of queries or keys, or of tokens of x; 0 where there is none: the reference says what is wrong."""
    axis = {4: 2 if spec.layout is Layout.BHSD else 1, 3: 1}.get(len(shape))
    return 0 if axis is None else shape[axis]
