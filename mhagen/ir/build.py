"""Builds the naive graph of a spec: one node for each step of the mathematics, as a paper would write it."""

from __future__ import annotations

from dataclasses import asdict

from ..base.dtypes import DType
from ..base.errors import InternalError
from ..spec.fields import Layout
from ..spec.model import Spec
from ..spec.projections import Projections
from .graph import QUERY_OFFSET, Graph, Node, Value, make_node
from .head_ops import NormalizeHeads, Rotary
from .op import Op
from .ops import (
    ConcatHeads,
    HeadsFirst,
    HeadsLast,
    Linear,
    Mask,
    ModifyScores,
    RepeatHeads,
    Scale,
    Scores,
    SplitHeads,
    WeightedValues,
)
from .pick_ops import GateHeads, PickHeads
from .softmax_ops import STATISTICS, UNSEEN, Softmax
from .types import Dimension, TensorType


def build_graph(spec: Spec, *, self_attention: bool = True) -> Graph:
    """The naive graph of the layer, where the spec has projections, else of the attention alone.

    Inputs are, in this order: query, key, value; or x, context (in cross-attention), wq, wk, wv, wo, the
    biases, q_norm and k_norm; then query_offset, and the arrays of [inputs]. In self-attention keys and
    values are made from x, so the axis `keys` is the axis `queries`.
    """
    if spec.projections is None:
        return _attention_graph(spec)
    return _layer_graph(spec, spec.projections, self_attention)


def _attention_graph(spec: Spec) -> Graph:
    heads = spec.heads
    caller = (
        _caller_value(spec, "query", heads.query, "queries", heads.dim),
        _caller_value(spec, "key", heads.key_value, "keys", heads.dim),
        _caller_value(spec, "value", heads.key_value, "keys", heads.value_dim),
    )
    builder = _Builder(spec, caller, keys="keys")
    query, key, value = caller
    if spec.layout is Layout.BSHD:
        query, key, value = (builder.add(f"{each.name}_heads", HeadsFirst(), each) for each in caller)
    out, statistics = builder.attend(query, key, value)
    if spec.layout is Layout.BSHD:
        out = builder.add("out_rows", HeadsLast(), out)
    return builder.graph({"out": out} | statistics)


def _caller_value(spec: Spec, name: str, heads: int, length: str, dim: int) -> Value:
    rows_first = spec.layout is Layout.BSHD
    shape = ("batch", length, heads, dim) if rows_first else ("batch", heads, length, dim)
    return Value(name, TensorType(spec.dtype, shape))


def build_operands(spec: Spec, *, self_attention: bool = True) -> Graph:
    """The graph of what the attention of a layer reads: query, key and value, their heads first.

    Inputs are those of the layer's own graph, also the ones that are read behind the attention.
    """
    if spec.projections is None:
        raise InternalError(f"{spec.name} has no layer, and so nothing in front of its attention")
    builder, operands = _projected(spec, spec.projections, self_attention)
    return builder.graph(operands)


def _layer_graph(spec: Spec, projections: Projections, self_attention: bool) -> Graph:
    builder, operands = _projected(spec, projections, self_attention)
    out, statistics = builder.attend(**operands)
    rows = builder.add("out_rows", ConcatHeads(), builder.add("out_heads", HeadsLast(), out))
    y = builder.add("y", Linear(), rows, *_parameters("o", builder.values))
    return builder.graph({"out": y} | statistics)


def _projected(
    spec: Spec, projections: Projections, self_attention: bool
) -> tuple[_Builder, dict[str, Value]]:
    """What the attention of a layer reads, and the builder that has come so far."""
    x = Value("x", TensorType(spec.dtype, ("batch", "queries", projections.model_dim)))
    context = Value("context", TensorType(spec.dtype, ("batch", "keys", projections.model_dim)))
    sources = (x,) if self_attention else (x, context)
    weights = _weights(spec, projections)
    builder = _Builder(spec, sources + tuple(weights.values()), "queries" if self_attention else "keys")
    query = builder.project("query", x, weights, spec.heads.query)
    key = builder.project("key", sources[-1], weights, spec.heads.key_value)
    value = builder.project("value", sources[-1], weights, spec.heads.key_value)
    query, key = builder.placed(projections, query, key)
    return builder, {"query": query, "key": key, "value": value}


def _weights(spec: Spec, projections: Projections) -> dict[str, Value]:
    heads, width = spec.heads, projections.model_dim
    rows = {
        "q": heads.query * heads.dim,
        "k": heads.key_value * heads.dim,
        "v": heads.key_value * heads.value_dim,
        "o": width,
    }
    shapes: dict[str, tuple[Dimension, ...]] = {f"w{letter}": (rows[letter], width) for letter in "qkv"}
    shapes["wo"] = (width, heads.query * heads.value_dim)
    biased = ("qkv" if projections.bias else "") + ("o" if projections.output_bias else "")
    shapes |= {f"b{letter}": (rows[letter],) for letter in biased}
    if projections.qk_norm is not None:
        shapes |= {"q_norm": (heads.dim,), "k_norm": (heads.dim,)}
    return {name: Value(name, TensorType(spec.dtype, shape)) for name, shape in shapes.items()}


def _parameters(letter: str, weights: dict[str, Value]) -> list[Value]:
    return [weights[name] for name in (f"w{letter}", f"b{letter}") if name in weights]


class _Builder:
    """Collects the nodes of a graph; `add` gives the value that it names."""

    def __init__(self, spec: Spec, operands: tuple[Value, ...], keys: str) -> None:
        lengths: dict[str, Dimension] = {
            "keys": keys,
            "query_heads": spec.heads.query,
            "key_value_heads": spec.heads.key_value,
        }
        offset = Value(QUERY_OFFSET, TensorType(DType.INT64, ("batch",)))
        captured = (
            Value(name, TensorType(each.dtype, tuple(lengths.get(str(axis), axis) for axis in each.shape)))
            for name, each in spec.inputs.items()
        )
        self.spec = spec
        self.inputs = (*operands, offset, *captured)
        self.values = {each.name: each for each in self.inputs}
        self.nodes: list[Node] = []

    def add(self, name: str, op: Op, *operands: Value) -> Value:
        while name in self.values:  # an array of [inputs] may have any name
            name += "_"
        node = make_node(op, operands, [name])
        self.nodes.append(node)
        self.values[name] = node.results[0]
        return node.results[0]

    def project(self, name: str, source: Value, weights: dict[str, Value], heads: int) -> Value:
        rows = self.add(name, Linear(), source, *_parameters(name[0], weights))
        return self.add(f"{name}_heads", HeadsFirst(), self.add(f"{name}_split", SplitHeads(heads), rows))

    def placed(self, projections: Projections, query: Value, key: Value) -> tuple[Value, Value]:
        """Queries and keys after their norm, turned by their positions."""
        if projections.qk_norm is not None:
            op = NormalizeHeads(projections.qk_norm.eps)
            query = self.add("query_normal", op, query, self.values["q_norm"])
            key = self.add("key_normal", op, key, self.values["k_norm"])
        if projections.rotary is None:
            return query, key
        rotary = projections.rotary
        turning = Rotary(**asdict(rotary.turning(self.spec.heads.dim)), layout=rotary.layout)
        turned = self.add("query_turned", turning, query, self.values[QUERY_OFFSET], key)
        return turned, self.add("key_turned", turning, key)

    def attend(self, query: Value, key: Value, value: Value) -> tuple[Value, dict[str, Value]]:
        """The attention's output and statistics: all heads in each way, then of each way its heads."""
        ways = self.spec.alike
        results = [self.attend_alike(way.spec, query, key, value) for way in ways]
        found = results[0]
        if len(ways) > 1:
            heads = range(self.spec.heads.query)
            of = tuple(next(i for i, way in enumerate(ways) if head in way.heads) for head in heads)
            found = {
                name: self.add(f"picked_{name}", PickHeads(of), *(each[name] for each in results))
                for name in found
            }
        if pruned := tuple(sorted(self.spec.heads.pruned)):
            found = {
                name: self.add(f"gated_{name}", GateHeads(pruned, UNSEEN[name]), each)
                for name, each in found.items()
            }
        out = found.pop("out")
        return out, found

    def attend_alike(self, spec: Spec, query: Value, key: Value, value: Value) -> dict[str, Value]:
        """Output and statistics of heads that are all as the spec says."""
        scores = self.scores(spec, query, key)
        softmax = Softmax(sink=spec.sink_expression)
        names = () if softmax.sink is None else (QUERY_OFFSET, *softmax.captured)
        operands = (scores, *(self.values[name] for name in names))
        weights = self.add("weights", softmax, *operands)
        out = self.add("out", WeightedValues(), weights, self.repeated("value", value))
        statistics = [statistic.value for statistic in spec.outputs.statistics]
        return {"out": out} | {
            name: self.add(name, STATISTICS[name](sink=softmax.sink), *operands) for name in statistics
        }

    def scores(self, spec: Spec, query: Value, key: Value) -> Value:
        """The scores as the softmax reads them: scaled, then modified, then masked."""
        scores = self.add("scores", Scores(), query, self.repeated("key", key))
        scores = self.add("scaled_scores", Scale(spec.scale), scores)
        if spec.score_expression is not None:
            scores = self.over_scores("modified_scores", ModifyScores(spec.score_expression), scores)
        if spec.keep_expression is not None:
            scores = self.over_scores("masked_scores", Mask(spec.keep_expression), scores)
        return scores

    def over_scores(self, name: str, op: ModifyScores | Mask, scores: Value) -> Value:
        return self.add(name, op, scores, *(self.values[each] for each in (QUERY_OFFSET, *op.captured)))

    def repeated(self, name: str, x: Value) -> Value:
        """The key or value heads, one for each query head."""
        times = self.spec.heads.query // self.spec.heads.key_value
        return x if times == 1 else self.add(f"{name}_repeated", RepeatHeads(times), x)

    def graph(self, outputs: dict[str, Value]) -> Graph:
        named = tuple((shown, value.name) for shown, value in outputs.items())
        spec = self.spec
        return Graph(spec.name, self.inputs, tuple(self.nodes), named, spec.mask.align, spec.layout)
