"""Random specs, and random arrays for the inputs of a graph."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from mhagen.base.dtypes import DType, Kind
from mhagen.base.errors import UnsupportedError
from mhagen.ir.graph import QUERY_OFFSET
from mhagen.spec.load import load_spec

INPUTS = {
    "slope": {"shape": ["query_heads"], "dtype": "float32"},
    "bias": {"shape": ["query_heads", "queries", "keys"], "dtype": "float32"},
    "segment": {"shape": ["batch", "keys"], "dtype": "int32"},
    "lengths": {"shape": ["batch"], "dtype": "int64"},
    "valid": {"shape": ["batch", "keys"], "dtype": "bool"},
    "scores": {"shape": ["key_value_heads", 3], "dtype": "float32"},
}
CONSTANTS = {"cap": 3.0, "window": 3, "on": True}
MODIFIERS = (
    "score",
    "2 * score",
    "cap * tanh(score / cap)",
    "score + slope[h] * (k - q)",
    "score + bias[h, q, k]",
    "where(k % 2 == 0, score, -score)",
    "score * (2 * 0.5) + 0 * (q - k)",
    "score - scores[h // 2, k - q]",
    "k - q",
)
CONDITIONS = (
    "k + 1 > 0",
    "q // 2 < 1073741824",
    "segment[b, k] // 2 >= -1073741824",
    "lengths[b] // 2 < 1073741824",
    "q - k < 2147483647",
    "k <= q",
    "q - k < window",
    "segment[b, q] == segment[b, k]",
    "k < lengths[b]",
    "valid[b, k]",
    "h != 1",
    "h < 100",
    "k < 0",
    "on",
    "not (q < k or k + window < q)",
    "(b + q * k) % 3 != 1",
)
SINKS = ("0.0", "2 * slope[h] - 1", "where(q < window, b, -h)", "bias[h, q, 0] + 1")
SCALES = st.sampled_from([1.0, 0.3, -0.7])
# Not keys themselves: of two scores that rounding sets apart, a pass may turn over which is greater.
STATISTICS = ("lse", "max", "entropy", "confidence", "received")
SCALINGS = (
    {"type": "linear", "factor": 2.0},
    {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 2},
    {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
)
JOINS = (" and ", " or ")
LONGEST = 5
LENGTHS = st.integers(0, LONGEST)


@st.composite
def masks(draw):
    conditions = draw(st.lists(st.sampled_from(CONDITIONS), max_size=3))
    joins = [draw(st.sampled_from(JOINS)) for _ in conditions[1:]]
    joined = "".join(part for pair in zip(conditions, [*joins, ""], strict=False) for part in pair)
    return joined or None


def spec_with(heads, modify=None, keep=None, sink=None, groups=(), **keys):
    """The spec of these expressions as a dict, with the constants and inputs that they read."""
    text = f"{modify} {keep} {sink} {groups}"
    return {
        "name": "specimen",
        "heads": heads,
        "scores": {} if modify is None else {"modify": modify},
        "mask": {} if keep is None else {"keep": keep},
        "softmax": {} if sink is None else {"sink": sink},
        "groups": [*groups],
        "constants": {name: value for name, value in CONSTANTS.items() if re.search(rf"\b{name}\b", text)},
        "inputs": {name: each for name, each in INPUTS.items() if f"{name}[" in text},
        **keys,
    }


@st.composite
def placings(draw, dim):
    """What becomes of queries and keys: a norm, and rotary positions where a head has a pair of numbers."""
    placed = {"qk_norm": {"eps": 0.5}} if draw(st.booleans()) else {}
    if dim > 1 and draw(st.booleans()):
        scaling = draw(st.none() | st.sampled_from(SCALINGS))
        rotary = {"layout": draw(st.sampled_from(["half", "interleaved"])), "dim": dim // 2 * 2, "base": 10.0}
        placed["rotary"] = rotary if scaling is None or dim < 4 else {**rotary, "scaling": scaling}
    return placed


@st.composite
def specs(draw):
    """A spec as a dict: every feature of a spec that shapes a graph may be there."""
    key_value = draw(st.integers(1, 2))
    heads = {
        "query": key_value * draw(st.integers(1, 3)),
        "key_value": key_value,
        "dim": draw(st.integers(1, 4)),
        "value_dim": draw(st.integers(1, 4)),
    }
    heads["pruned"] = draw(
        st.lists(st.integers(0, heads["query"] - 1), unique=True, max_size=heads["query"] // 2)
    )
    spec = spec_with(
        heads,
        draw(st.none() | st.sampled_from(MODIFIERS)),
        draw(masks()),
        draw(st.none() | st.sampled_from(SINKS)),
        groups=draw(groups(heads["query"])) if draw(st.booleans()) else (),
        layout=draw(st.sampled_from(["bhsd", "bshd"])),
        outputs={"statistics": draw(st.lists(st.sampled_from(STATISTICS), unique=True))},
    )
    spec["mask"]["align"] = draw(st.sampled_from(["start", "end"]))
    if draw(st.booleans()):
        spec["scores"]["scale"] = draw(SCALES)
    if draw(st.booleans()):
        spec["projections"] = {
            "model_dim": draw(st.integers(1, 5)),
            "bias": draw(st.booleans()),
            "output_bias": draw(st.booleans()),
        }
        spec["projections"] |= draw(placings(heads["dim"]))
    try:
        load_spec(spec)
    except UnsupportedError:  # a log-sum-exp of heads of which some have sinks that read along the keys
        reject()
    return spec


@st.composite
def groups(draw, query_heads):
    """One or two groups of heads, which say something else than the spec, or the same."""
    owners = draw(st.lists(st.sampled_from([None, 0, 1]), min_size=query_heads, max_size=query_heads))
    named = [[head for head, owner in enumerate(owners) if owner == number] for number in (0, 1)]
    return [
        {
            "heads": draw(st.permutations(heads)),
            "scores": stated(
                scale=draw(st.none() | SCALES), modify=draw(st.none() | st.sampled_from(MODIFIERS))
            ),
            "mask": stated(keep=draw(masks())),
            "softmax": stated(sink=draw(st.none() | st.sampled_from(SINKS))),
        }
        for heads in named
        if heads
    ]


def stated(**keys):
    return {key: value for key, value in keys.items() if value is not None}


@st.composite
def arrays_for(draw, graph):
    """Arrays for all inputs of the graph, of small lengths, with a NaN or an infinity here and there."""
    names = {axis for value in graph.inputs for axis in value.type.shape if isinstance(axis, str)}
    lengths = {name: draw(LENGTHS) for name in sorted(names)}
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    arrays = {each.name: random_array(generator, each, lengths) for each in graph.inputs}
    if draw(st.booleans()):
        spoilt = arrays[draw(st.sampled_from([each.name for each in graph.inputs[:3]]))]
        spoilt[generator.random(spoilt.shape) < 0.1] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return arrays


def extreme_array(generator, value, lengths):
    """As random_array, but integers are at the ends of what their type, and a position, can be."""
    if value.type.dtype.kind is not Kind.INTEGER:
        return random_array(generator, value, lengths)
    limit = 2**63 if value.type.dtype is DType.INT64 and value.name != QUERY_OFFSET else 2**31
    shape = tuple(lengths.get(axis, axis) for axis in value.type.shape)
    return generator.choice(np.array([-limit, limit - 1 - LONGEST]), shape)


def random_array(generator, value, lengths):
    shape = tuple(lengths.get(axis, axis) for axis in value.type.shape)
    if value.name == QUERY_OFFSET:
        return generator.integers(-3, 4, shape)
    if value.type.dtype is DType.BOOL:
        return generator.random(shape) < 0.5
    if value.type.dtype.kind is Kind.INTEGER:
        return generator.integers(-1, 3, shape)
    return generator.normal(size=shape)


def same_results(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-9, atol=1e-9, err_msg=name)
