"""The smaller layer: its spec, and its weights cut out of those of the layer that it was.

A key/value head whose query heads all go, goes with them. Key/value heads serve equally many query heads
each; where some keep fewer than others, the smaller layer has places that stand empty: `heads.pruned`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np

from ..base.errors import InputError
from ..expr.tree import Expr, names
from ..spec.fields import Axis
from ..spec.load import load_spec
from ..spec.model import Spec

AnyArray: TypeAlias = np.ndarray[Any, Any]

LONGEST_NAME = 48
AXES_OF_HEADS = (Axis.QUERY_HEADS.value, Axis.KEY_VALUE_HEADS.value)


@dataclass(frozen=True)
class Cut:
    """Which heads of a layer make the smaller one, in its order, and which of its places stand empty.

    query and key_value are numbers of the layer's heads; empty and unread count places of the smaller layer.
    """

    query: tuple[int, ...]
    key_value: tuple[int, ...]
    empty: tuple[int, ...]
    unread: tuple[int, ...]


def cut_heads(spec: Spec, pruned: tuple[int, ...]) -> Cut:
    """The smallest layer without these heads, beside those that the spec prunes already.

    Where what a head does depends on its number, every head keeps its number, and places stand empty.
    """
    gone = {*pruned, *spec.heads.pruned}
    if numbers_matter(spec):
        groups = by_key_value(spec, range(spec.heads.query))
        unread = (number for number, heads in groups.items() if gone.issuperset(heads))
        everyone = range(spec.heads.query)
        return Cut(tuple(everyone), tuple(groups), tuple(sorted(gone)), tuple(unread))
    kept = by_key_value(spec, (head for head in range(spec.heads.query) if head not in gone))
    most = max(map(len, kept.values()))
    spare = by_key_value(spec, sorted(gone))
    query = [
        head
        for number, heads in kept.items()
        for head in sorted((*heads, *spare.get(number, ())[: most - len(heads)]))
    ]
    empty = (place for place, head in enumerate(query) if head in gone)
    return Cut(tuple(query), tuple(kept), tuple(empty), ())


def by_key_value(spec: Spec, heads: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """These query heads, by the key/value head that they read."""
    group = spec.heads.query // spec.heads.key_value
    return {number: tuple(found) for number, found in groupby(heads, lambda head: head // group)}


def numbers_matter(spec: Spec) -> bool:
    """Whether an expression knows the number of a head, or an array has one element or more for each head."""
    of_heads = any(axis in AXES_OF_HEADS for each in spec.inputs.values() for axis in each.shape)
    return of_heads or any("h" in names(expression) for expression in expressions(spec))


def expressions(spec: Spec) -> Iterator[Expr]:
    for way in spec.alike:
        found = way.spec.score_expression, way.spec.keep_expression, way.spec.sink_expression
        yield from (expression for expression in found if expression is not None)


def smaller_spec(spec: Spec, cut: Cut, name: str) -> Spec:
    """The spec of the smaller layer."""
    keys = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    heads = {
        "query": len(cut.query),
        "key_value": len(cut.key_value),
        "dim": spec.heads.dim,
        "value_dim": spec.heads.value_dim,
        "pruned": list(cut.empty),
    }
    groups = [{**group, "heads": renumbered(group["heads"], cut)} for group in keys.get("groups", ())]
    keys |= {"name": name, "heads": heads, "groups": [group for group in groups if group["heads"]]}
    return load_spec(keys)


def renumbered(heads: list[int], cut: Cut) -> list[int]:
    return [place for place, head in enumerate(cut.query) if head in heads]


def smaller_name(spec: Spec, suffix: str) -> str:
    """A name for the smaller spec.

    Raises   InputError where it is that of the spec, so that one would take the other's place
    """
    name = f"{spec.name[: LONGEST_NAME - len(suffix)]}{suffix}"
    if name == spec.name:
        raise InputError(
            f"the smaller layer would be called {name}, as the spec is: give the spec a shorter name"
        )
    return name


def smaller_weights(spec: Spec, cut: Cut, weights: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """The weights of the smaller layer. Those of places that stand empty are 0, and nobody reads them."""
    dim, value_dim = spec.heads.dim, spec.heads.value_dim
    query, key_value = (cut.query, cut.empty), (cut.key_value, cut.unread)
    rows = {"q": (*query, dim), "k": (*key_value, dim), "v": (*key_value, value_dim)}
    found = dict(weights)
    for letter, (heads, empty, width) in rows.items():
        for name in (f"w{letter}", f"b{letter}"):
            if name in weights:
                found[name] = blocks(weights[name], heads, empty, width)
    found["wo"] = np.ascontiguousarray(blocks(weights["wo"].T, *query, value_dim).T)
    return found


def blocks(array: AnyArray, heads: tuple[int, ...], empty: tuple[int, ...], width: int) -> AnyArray:
    """The rows of these heads, zeros in the places that stand empty."""
    found = np.concatenate([array[head * width : (head + 1) * width] for head in heads])
    for place in empty:
        found[place * width : (place + 1) * width] = 0
    return found


def gated_weights(
    spec: Spec, pruned: tuple[int, ...], weights: Mapping[str, AnyArray]
) -> dict[str, AnyArray]:
    """The weights of the layer whose heads are gated to 0: nothing of them reaches the output."""
    output = np.array(weights["wo"])
    for head in pruned:
        output[:, head * spec.heads.value_dim : (head + 1) * spec.heads.value_dim] = 0
    return {**weights, "wo": output}
