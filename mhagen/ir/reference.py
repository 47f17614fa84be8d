"""The oracle: a spec's attention and layer, interpreted op by op in float64 from the naive graph."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from typing import cast

import numpy as np
import numpy.typing as npt

from ..base.dtypes import DType
from ..base.errors import InputError
from ..expr.intervals import NAME_RANGES
from ..spec.fields import Align
from ..spec.model import Spec
from ..spec.names import WEIGHTS
from .arguments import Lengths, as_array, bind, check_names
from .build import build_graph
from .evaluate import run_graph
from .graph import QUERY_OFFSET, Graph
from .op import Array, Floats, Integers
from .softmax_ops import Softmax
from .types import Dimension

# Where a query may stand: passes rely on it.
POSITIONS = NAME_RANGES["q"]


class Reference:
    """What a spec means: `attention` and `layer` as a built kernel has them, slow and in float64.

    Shapes   as the kernel's; memory grows with queries * keys
    Units    query_offset is the position of the first query: an int, or ints (batch,); None is 0, or
             keys - queries where the spec aligns ends
    Numbers  arguments of any real type are widened first; results are float64
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def attention(
        self,
        query: npt.ArrayLike,
        key: npt.ArrayLike,
        value: npt.ArrayLike,
        *,
        query_offset: npt.ArrayLike | None = None,
        out: Array | None = None,
        **inputs: npt.ArrayLike,
    ) -> Floats | tuple[Floats, ...]:
        """Attend from every query to the keys it sees; `out` is written if given.

        Raises   InputError, naming the argument, what it has and what it needs
        """
        graph = build_graph(self.spec.without_projections())
        check_names("attention()", inputs, self.spec.inputs)
        given = {"query": query, "key": key, "value": value} | inputs
        return _returned(_run(graph, given, query_offset), out)

    def weights(
        self,
        query: npt.ArrayLike,
        key: npt.ArrayLike,
        value: npt.ArrayLike | None = None,
        *,
        query_offset: npt.ArrayLike | None = None,
        **inputs: npt.ArrayLike,
    ) -> tuple[Floats, Integers]:
        """The weights of all keys, (batch, query_heads, queries, keys), and where the first queries stand.

        Raises   InputError, naming the argument, what it has and what it needs
        """
        graph = build_graph(self.spec.without_projections())
        check_names("weights()", inputs, self.spec.inputs)
        operands = {"query": query, "key": key} | ({} if value is None else {"value": value})
        return self._weights(graph, operands | inputs, query_offset)

    def weights_in_layer(
        self,
        x: npt.ArrayLike,
        weights: Mapping[str, npt.ArrayLike],
        *,
        context: npt.ArrayLike | None = None,
        query_offset: npt.ArrayLike | None = None,
        **inputs: npt.ArrayLike,
    ) -> tuple[Floats, Integers]:
        """What `weights` returns, of the queries and keys that `layer` makes from x and context.

        Needs    of the weights those of queries and keys; others are checked where they are given
        Raises   InputError, naming the argument, what it has and what it needs
        """
        graph = self._layer_graph("weights_in_layer()", context)
        check_names("weights_in_layer()", inputs, self.spec.inputs)
        given = sources(x, context) | weights_for(graph, weights, up_to_weights(graph)) | inputs
        return self._weights(graph, given, query_offset)

    def _weights(
        self, graph: Graph, given: Mapping[str, npt.ArrayLike], query_offset: npt.ArrayLike | None
    ) -> tuple[Floats, Integers]:
        """The weights that a graph makes on its way to its outputs."""
        part = up_to_weights(graph)
        arrays, lengths = bind((each for each in graph.inputs if each.name in given), given)
        offset = bound_offset(graph, query_offset, lengths)
        found = run_graph(part, arrays | {QUERY_OFFSET: offset})
        made = [name for name, _ in part.outputs]
        weights = np.zeros_like(found[made[0]])  # those of pruned heads
        for name, way in zip(made, self.spec.alike, strict=True):
            heads = [head for head in way.heads if head not in self.spec.heads.pruned]
            weights[:, heads] = found[name][:, heads]
        return weights, offset

    def layer(
        self,
        x: npt.ArrayLike,
        weights: Mapping[str, npt.ArrayLike],
        *,
        context: npt.ArrayLike | None = None,
        query_offset: npt.ArrayLike | None = None,
        **inputs: npt.ArrayLike,
    ) -> Floats | tuple[Floats, ...]:
        """The whole layer: projections, attention, output linear; keys and values are made from `context`.

        Raises   InputError, naming the argument, what it has and what it needs
        """
        graph = self._layer_graph("layer()", context)
        check_names("layer()", inputs, self.spec.inputs)
        given = sources(x, context) | weights_for(graph, weights, graph) | inputs
        return _returned(_run(graph, given, query_offset), None)

    def _layer_graph(self, what: str, context: npt.ArrayLike | None) -> Graph:
        if self.spec.projections is None:
            raise InputError(f"{self.spec.name} has no {what}: its spec has no [projections]")
        return build_graph(self.spec, self_attention=context is None)


def up_to_weights(graph: Graph) -> Graph:
    """The part of the graph that makes the softmax's weights: its outputs, one for each way of the heads."""
    made = (node.result for node in graph.nodes if isinstance(node.op, Softmax))
    return graph.up_to(tuple((name, name) for name in made))


def sources(x: npt.ArrayLike, context: npt.ArrayLike | None) -> dict[str, npt.ArrayLike]:
    return {"x": x} if context is None else {"x": x, "context": context}


def weights_for(graph: Graph, weights: object, part: Graph) -> dict[str, npt.ArrayLike]:
    """The weights of a layer's graph, apart; a part of it needs them, others may be given."""
    if not isinstance(weights, Mapping):
        raise InputError(
            f"weights is a {type(weights).__name__} and needs to be a mapping of names to arrays"
        )
    found = apart(weights, {each.name: each.type.shape for each in graph.inputs})
    needed, known = ([each.name for each in each.inputs if each.name in WEIGHTS] for each in (part, graph))
    check_names("weights", found, needed, optional=known)
    return dict(found)


def apart(
    weights: Mapping[str, npt.ArrayLike], shapes: Mapping[str, tuple[Dimension, ...]]
) -> Mapping[str, npt.ArrayLike]:
    """The weights with wq, wk and wv in place of wqkv, the rows of one after the other's; so the biases."""
    for letter in "wb":
        packed, names = f"{letter}qkv", [f"{letter}{each}" for each in "qkv"]
        if packed not in weights or names[0] not in shapes:
            continue
        if twice := [name for name in names if name in weights]:
            raise InputError(f"weights has {packed} and {', '.join(twice)} and needs one or the other")
        whole, rows = as_array(packed, weights[packed]), [int(shapes[name][0]) for name in names]
        if whole.ndim == 0 or len(whole) != sum(rows):
            raise InputError(f"{packed} has shape {whole.shape} and needs {sum(rows)} rows")
        others = {name: array for name, array in weights.items() if name != packed}
        weights = others | dict(zip(names, np.split(whole, np.cumsum(rows)[:-1]), strict=True))
    return weights


def _run(
    graph: Graph, given: Mapping[str, npt.ArrayLike], query_offset: npt.ArrayLike | None
) -> dict[str, Floats]:
    arrays, lengths = bind((each for each in graph.inputs if each.name != QUERY_OFFSET), given)
    arrays[QUERY_OFFSET] = bound_offset(graph, query_offset, lengths)
    types = graph.types
    whole = [shown for shown, name in graph.outputs if types[name].dtype is DType.INT64]
    results = run_graph(graph, arrays)
    return results | {shown: cast(Floats, results[shown].astype(np.int64)) for shown in whole}


def bound_offset(graph: Graph, query_offset: npt.ArrayLike | None, lengths: Lengths) -> Integers:
    """Where the queries of each batch entry begin; None is what the graph's alignment says.

    Raises   InputError
    """
    batch, queries = lengths["batch"], lengths["queries"]
    if query_offset is None:
        query_offset = lengths.get("keys", queries) - queries if graph.align is Align.END else 0
    offset = as_array("query_offset", query_offset)
    if offset.dtype.kind not in "iu":
        raise InputError(f"query_offset holds {offset.dtype} and needs integers")
    if offset.shape not in ((), (batch,)):
        raise InputError(f"query_offset has shape {offset.shape} and needs () or (batch = {batch},)")
    first, last = (int(offset.min()), int(offset.max()) + queries - 1) if batch > 0 else (0, 0)
    if first < POSITIONS.low or last > POSITIONS.high:
        raise InputError(
            f"query_offset puts queries at {first} to {last} and needs {POSITIONS.low} to {POSITIONS.high}"
        )
    return np.broadcast_to(offset, (batch,)).astype(np.int64)


def _returned(results: Mapping[str, Floats], out: Array | None) -> Floats | tuple[Floats, ...]:
    first, *statistics = results.values()
    if out is not None:
        first = _written(first, out)
    if not statistics:
        return first
    result = namedtuple("Attention", tuple(results))  # type: ignore[misc]
    return result._make((first, *statistics))


def _written(result: Floats, out: Array) -> Floats:
    if not isinstance(out, np.ndarray) or out.shape != result.shape or out.dtype.kind != "f":
        raise InputError(f"out needs to be an array of real numbers with shape {result.shape}")
    np.copyto(out, result, casting="same_kind")
    return cast(Floats, out)
