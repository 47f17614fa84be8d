"""A layer and what it was given: checked against its spec, in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from ..backend.acceptance import numpy_dtype
from ..base.errors import InputError, UnsupportedError
from ..ir.arguments import as_array, bind, check_names
from ..ir.build import build_operands
from ..ir.files import typed
from ..ir.graph import QUERY_OFFSET, Graph, Value
from ..ir.op import Array, Floats
from ..ir.reference import apart, bound_offset
from ..spec.model import Spec
from ..spec.names import WEIGHTS

Named: TypeAlias = Mapping[str, npt.ArrayLike]

# What a layer is given beside the arrays of [inputs]: its own arguments, and two arrays for scoring alone.
OF_THE_LAYER = ("x", "context", QUERY_OFFSET)
FOR_SCORING = ("gradient", "counted")


@dataclass(frozen=True, eq=False)
class SeenLayer:
    """A layer, its weights, and what it was given.

    Shapes   weights as they came, query, key and value apart; arrays: all that the layer reads, in float64,
             int64 and bool; gradient as the output; counted (batch, queries)
    Members  graph makes query, key and value; gradient is None where the loss is half the squared output
    """

    spec: Spec
    weights: Mapping[str, np.ndarray[Any, Any]]
    graph: Graph
    arrays: Mapping[str, Array]
    gradient: Floats | None
    counted: npt.NDArray[np.bool_]

    def call(self) -> dict[str, Any]:
        """The arguments of `layer` of a kernel but for its weights, in the formats that it takes."""
        formats = {name: each.dtype for name, each in self.spec.inputs.items()}
        formats |= {name: self.spec.dtype for name in ("x", "context") if name in self.arrays}
        given = {name: self.arrays[name].astype(numpy_dtype(dtype)) for name, dtype in formats.items()}
        return given | {QUERY_OFFSET: self.arrays[QUERY_OFFSET]}


def seen_layer(spec: Spec, weights: Named, inputs: Named | npt.ArrayLike) -> SeenLayer:
    """Check what a layer is given.

    Raises   InputError that names the array, what it has and what it needs
    """
    given = dict(inputs) if isinstance(inputs, Mapping) else {"x": inputs}
    graph = build_operands(spec, self_attention="context" not in given)
    check_given(spec, given)
    apart_weights = apart(weights, {each.name: each.type.shape for each in graph.inputs})
    needed = [each.name for each in graph.inputs if each.name in WEIGHTS]
    check_names("weights", apart_weights, needed)
    raw = {name: typed(as_array(name, apart_weights[name])) for name in needed}
    arrays, lengths = bind(bound_by_shape(graph, given), {**given, **raw})
    if 0 in (lengths["batch"], lengths["queries"]):
        raise InputError(f"x has shape {arrays['x'].shape}, and without tokens nothing tells heads apart")
    for name in ("x", *(name for name in ("context", "gradient") if name in given), *needed):
        check_finite(name, arrays[name])
    gradient = cast(Floats | None, arrays.pop("gradient", None))
    arrays[QUERY_OFFSET] = bound_offset(graph, given.get(QUERY_OFFSET), lengths)
    return SeenLayer(spec, raw, graph, arrays, gradient, bound_counts(given, arrays["x"]))


def bound_by_shape(graph: Graph, given: Named) -> Iterator[Value]:
    """The layer's arrays but for its offset; a gradient has the format and the shape of x."""
    for each in graph.inputs:
        if each.name != QUERY_OFFSET:
            yield each
        if each.name == "x" and "gradient" in given:
            yield Value("gradient", each.type)


def check_given(spec: Spec, given: Named) -> None:
    if taken := [name for name in FOR_SCORING if name in spec.inputs]:
        raise UnsupportedError(
            f"{spec.name} has an input {taken[0]}, which is what pruning calls an array of its own: "
            "give the input another name"
        )
    optional = [name for name in ("context", QUERY_OFFSET, *FOR_SCORING) if name in given]
    check_names("inputs", given, ["x", *optional, *spec.inputs])


def check_finite(name: str, array: Array) -> None:
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise InputError(f"{name} has {wrong} numbers that are NaN or infinite, and needs finite ones")


def bound_counts(given: Named, x: Array) -> npt.NDArray[np.bool_]:
    shape = x.shape[:2]
    counted = as_array("counted", given.get("counted", np.ones(shape, np.bool_)))
    if counted.shape != shape:
        raise InputError(f"counted has shape {counted.shape} and needs (batch, queries) = {shape}")
    if counted.dtype.kind not in "biu" or not np.isin(counted, (0, 1)).all():
        raise InputError(f"counted holds {counted.dtype} and needs true or false, 1 or 0, for each token")
    if not counted.any():
        raise InputError("counted is false everywhere, and without tokens nothing tells heads apart")
    return counted.astype(np.bool_)
