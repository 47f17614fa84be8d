"""A spec in words, its defaults resolved: what is computed, from which arrays, and what is returned."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.turning import Scaling
from ..spec.fields import Align, Group, Layout, Statistic
from ..spec.model import Spec

LABEL_WIDTH = 11


def describe(spec: Spec) -> str:
    """The whole spec, a line or two for each of its tables."""
    return "\n".join(f"{label:<{LABEL_WIDTH}}{line}".rstrip() for label, line in _lines(spec))


def _lines(spec: Spec) -> Iterator[tuple[str, str]]:
    yield "name", spec.name
    yield "heads", _heads(spec)
    yield from _labelled("arrays", _arrays(spec))
    yield from _labelled("score", _score(spec))
    yield "mask", _mask(spec)
    if spec.softmax.sink is not None:
        yield "sink", spec.softmax.sink
    for group in spec.groups:
        yield from _labelled("group", _group(group))
    if spec.heads.pruned:
        yield "pruned", f"heads {', '.join(map(str, sorted(spec.heads.pruned)))}: 0, and not computed"
    yield "positions", _positions(spec)
    yield from _labelled("constants", (f"{name} = {value}" for name, value in spec.constants.items()))
    yield from _labelled("inputs", _inputs(spec))
    if spec.projections is not None:
        yield from _labelled("layer", _layer(spec))
    yield "returns", ", ".join(_returned(spec))


def _labelled(label: str, lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        yield label if number == 0 else "", line


def _heads(spec: Spec) -> str:
    heads = spec.heads
    group = heads.query // heads.key_value
    shared = "" if group == 1 else f"; query head h reads key/value head h // {group} of {heads.key_value}"
    dim = f"dim {heads.dim}" if heads.dim == heads.value_dim else f"dim {heads.dim}, values {heads.value_dim}"
    return f"{heads.query}, {dim}{shared}"


def _arrays(spec: Spec) -> Iterator[str]:
    heads = spec.heads
    widths = {
        "query": (heads.query, "queries", heads.dim),
        "key": (heads.key_value, "keys", heads.dim),
        "value": (heads.key_value, "keys", heads.value_dim),
    }
    for name, width in widths.items():
        yield f"{name:<6}{spec.dtype.value} {_caller_shape(spec, *width)}"


def _caller_shape(spec: Spec, heads: int, length: str, dim: int) -> str:
    axes = (heads, length) if spec.layout is Layout.BHSD else (length, heads)
    return f"(batch, {axes[0]}, {axes[1]}, {dim})"


def _score(spec: Spec) -> Iterator[str]:
    default = " (dim ** -0.5)" if spec.scores.scale is None else ""
    yield f"{spec.scale:.9g} * <query, key>{default}"
    if spec.scores.modify is not None:
        yield f"then {spec.scores.modify}"


def _group(group: Group) -> Iterator[str]:
    heads = "head" if len(group.heads) == 1 else "heads"
    yield f"{heads} {', '.join(map(str, sorted(group.heads)))}, otherwise as above"
    if group.scores.scale is not None:
        yield f"score {group.scores.scale:.9g} * <query, key>"
    if group.scores.modify is not None:
        yield f"then {group.scores.modify}"
    if group.mask.keep is not None:
        yield _sight(group.mask.keep)
    if group.softmax.sink is not None:
        yield f"sink {group.softmax.sink}"


def _mask(spec: Spec) -> str:
    if spec.mask.keep is None:
        return "none: every query sees every key"
    return _sight(spec.mask.keep)


def _sight(keep: object) -> str:
    """What a mask says, in words."""
    match keep:
        case "True":
            return "every query sees every key"
        case "False":
            return "no query sees a key"
        case _:
            return f"query q sees key k where {keep}"


def _positions(spec: Spec) -> str:
    match spec.mask.align:
        case Align.START:
            place = "query i is at position i"
        case Align.END:
            place = "query i is at position keys - queries + i"
    return f"{place}, or query_offset + i if a call gives one; key j is at j"


def _inputs(spec: Spec) -> Iterator[str]:
    for name, each in spec.inputs.items():
        yield f"{name}: {each.dtype.value} ({', '.join(map(str, each.shape))}{',' * (len(each.shape) == 1)})"


def _layer(spec: Spec) -> Iterator[str]:
    assert spec.projections is not None
    heads, width = spec.heads, spec.projections.model_dim
    yield f"x: {spec.dtype.value} (batch, queries, {width}); context: (batch, keys, {width}), if not x"
    rows = {"q": heads.query * heads.dim, "k": heads.key_value * heads.dim}
    rows["v"] = heads.key_value * heads.value_dim
    weights = [f"w{letter} ({count}, {width})" for letter, count in rows.items()]
    yield ", ".join((*weights, f"wo ({width}, {heads.query * heads.value_dim})"))
    biases = [f"b{letter} ({count},)" for letter, count in rows.items()] if spec.projections.bias else []
    biases += [f"bo ({width},)"] if spec.projections.output_bias else []
    yield ", ".join(biases) if biases else "no biases"
    if (norm := spec.projections.qk_norm) is not None:
        yield f"queries and keys: RMS norm, eps {norm.eps:g}, q_norm ({heads.dim},), k_norm ({heads.dim},)"
    if (rotary := spec.projections.rotary) is not None:
        turning = rotary.turning(heads.dim)
        scaled = "" if turning.scaling is Scaling.NONE else f", {turning.scaling.value} by {turning.factor:g}"
        pairs = f"{turning.dim} of {heads.dim} numbers, {rotary.layout.value}"
        yield f"queries and keys: rotary positions, {pairs}, base {turning.base:g}{scaled}"


def _returned(spec: Spec) -> Iterator[str]:
    yield f"out {_caller_shape(spec, spec.heads.query, 'queries', spec.heads.value_dim)}"
    for statistic in spec.outputs.statistics:
        axes = "keys" if statistic is Statistic.RECEIVED else "queries"
        axes += ", " + name.removeprefix("top_") if (name := statistic.value).startswith("top_") else ""
        yield f"{statistic.value} (batch, {spec.heads.query}, {axes})"
