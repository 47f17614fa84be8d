"""Where the heads of a spec look: the weights of a call, as the reference computes them, read from files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..base.errors import InputError
from ..ir.files import Arrays, read_arrays
from ..ir.reference import Reference
from ..spec.fields import Layout
from ..spec.model import Spec

MOST_CELLS = 1 << 17  # of all heads: a picture of some megabytes
Weights: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
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


def looks_of(spec: Spec, inputs: Path) -> Looks:
    """Where heads look, for query, key and what else the spec reads, from a file or a folder of arrays.

    Raises   InputError for arrays that are missing, unknown or wrong, or too long to be drawn
    """
    arrays = arrays_in(inputs)
    require_names(spec, arrays)
    require_short(spec, arrays)
    weights, offset = Reference(spec).weights(**arrays)
    first = enumerate(weights[0] if len(weights) else ())
    return Looks(spec, tuple(HeadMap(head, each, int(offset[0])) for head, each in first), len(weights))


def arrays_in(path: Path) -> Arrays:
    """Those of a .npz or .safetensors file, or of the .npy files in a folder."""
    if not path.is_dir():
        return read_arrays(path)
    return {each.stem: array for each in sorted(path.glob("*.npy")) for array in read_arrays(each).values()}


def require_names(spec: Spec, arrays: Arrays) -> None:
    known = ("query", "key", "value", "query_offset", *spec.inputs)
    lacks = [name for name in ("query", "key", *spec.inputs) if name not in arrays]
    unknown = [name for name in arrays if name not in known]
    if lacks or unknown:
        wrong = [f"lack {', '.join(lacks)}"] if lacks else []
        wrong += [f"have unknown {', '.join(unknown)}"] if unknown else []
        raise InputError(f"the inputs {' and '.join(wrong)}; they may be {', '.join(known)}")


def require_short(spec: Spec, arrays: Arrays) -> None:
    """Refuses more weights than a picture can show, before they are computed."""
    lengths = tuple(lengths_of(spec, arrays))
    most = MOST_CELLS // spec.heads.query
    if len(lengths) == 2 and lengths[0] * lengths[1] > most:
        side = int(most**0.5)
        raise InputError(
            f"{lengths[0]} queries by {lengths[1]} keys are too many to draw for {spec.heads.query} heads; "
            f"needs at most {most} pairs, as {side} by {side}"
        )


def lengths_of(spec: Spec, arrays: Arrays) -> Iterator[int]:
    """Those of queries and keys, where the arrays have four axes: the reference says what is wrong."""
    axis = 2 if spec.layout is Layout.BHSD else 1
    for name in ("query", "key"):
        if arrays[name].ndim == 4:
            yield arrays[name].shape[axis]
