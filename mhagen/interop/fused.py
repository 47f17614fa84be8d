"""What a spec asks for, in the terms of the fused attention operators of other software.

They know a causal mask, some a window, some a soft cap; everything else must come as an array that is added
to the scores. What such an array cannot say, they cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.errors import UnsupportedError
from ..expr.evaluate import evaluate
from ..expr.parse import parse_expression
from ..expr.tree import Apply, Constant, Expr, Literal, Name, Operator, names, replace
from ..spec.fields import Layout
from ..tuning.problem import CAUSAL, Array, Problem

MOST_SCORES = 1 << 28  # of an array that is added to them: 1 GB
CAPPED = "cap * tanh(score / cap)"
WINDOW = "k <= q and q - k < window"
FEATURES = {"window": "window", "softcap": "soft cap", "bias": "bias", "keep": "mask of one's own"}


@dataclass(frozen=True)
class Fused:
    """The attention of a problem, taken apart.

    window    how many keys, itself among them, a query of a causal mask sees; None: all
    softcap   scores are softcap * tanh(score / softcap) before `bias` is added; None: they are not
    bias      what is added to the scores
    keep      a mask that is neither causal nor dense
    """

    is_causal: bool
    window: int | None
    softcap: float | None
    bias: Expr | None
    keep: Expr | None

    def refuse(self, *features: str) -> None:
        """Raises   UnsupportedError if one of these fields, which an operator does not have, is needed."""
        for feature in features:
            if getattr(self, feature) is not None:
                raise UnsupportedError(f"it has no {FEATURES[feature]}")

    @property
    def is_plain(self) -> bool:
        """Nothing but a mask that is causal or dense."""
        return (self.window, self.softcap, self.bias, self.keep) == (None, None, None, None)


def fused(problem: Problem) -> Fused:
    """Raises   UnsupportedError for scores that are no sum of the products, capped or not, and a bias."""
    spec = problem.spec
    if spec.groups or spec.heads.pruned:
        raise UnsupportedError("it has no heads that differ or are pruned")
    if spec.softmax.sink is not None:
        raise UnsupportedError("it has no softmax sink")
    if (layer := spec.projections) is not None and (layer.rotary is not None or layer.qk_norm is not None):
        raise UnsupportedError("its layer neither normalises queries and keys nor turns them by position")
    softcap, bias = split(spec.score_expression)
    keep = spec.keep_expression
    if keep is None or problem.visible_pairs == problem.pairs:
        return Fused(False, None, softcap, bias, None)
    keep = replace(keep, literal)
    starts_at_first = problem.query_offset == 0  # where operators count the queries from
    if starts_at_first and keep == CAUSAL:
        return Fused(True, None, softcap, bias, None)
    if starts_at_first and (window := window_of(keep)) is not None:
        return Fused(True, window, softcap, bias, None)
    return Fused(False, None, softcap, bias, keep)


def split(modify: Expr | None) -> tuple[float | None, Expr | None]:
    """The soft cap of a score, and what is added to it."""
    match modify:
        case None | Name("score"):
            return None, None
        case Apply(Operator.ADD, (changed, bias)) if "score" not in names(bias):
            softcap, _ = split(plain(changed))
            return softcap, bias
        case _ if (softcap := cap_of(modify)) is not None:
            return softcap, None
        case _:
            raise UnsupportedError("it cannot change scores by a formula")


def plain(changed: Expr) -> Expr:
    """Raises   UnsupportedError for a sum inside a sum: one array is all that operators add."""
    if isinstance(changed, Apply) and changed.operator is Operator.ADD:
        raise UnsupportedError("it cannot change scores by a formula")
    return changed


def cap_of(expr: Expr) -> float | None:
    """The number whose soft cap the expression is."""
    bare = replace(expr, literal)
    numbers = (node.value for node in arguments_of(bare) if isinstance(node, Literal))
    return next((float(cap) for cap in numbers if parsed(CAPPED, "cap", cap) == bare), None)


def window_of(keep: Expr) -> int | None:
    """The length of the window that the mask is."""
    numbers = (node.arguments[1] for node in arguments_of(keep) if isinstance(node, Apply))
    lengths = (number.value for number in numbers if isinstance(number, Literal))
    return next((int(each) for each in lengths if parsed(WINDOW, "window", each) == keep), None)


def arguments_of(expr: Expr) -> tuple[Expr, ...]:
    return expr.arguments if isinstance(expr, Apply) else ()


def parsed(text: str, name: str, value: bool | int | float) -> Expr:
    return replace(parse_expression(text, constants={name: value}, arrays={}), literal)


def literal(node: Expr) -> Expr:
    """A named constant as the number that it is."""
    return Literal(node.value) if isinstance(node, Constant) else node


def added(problem: Problem, attention: Fused, *, with_mask: bool) -> Array | None:
    """What is to be added to the scores, float32: the bias, and -inf where the mask hides a key.

    Shapes   (batch or 1, heads or 1, queries, keys); None if there is nothing to add
    Raises   UnsupportedError if it would be too large
    """
    keep = problem.spec.keep_expression if with_mask and not hides_nothing(attention) else None
    if attention.bias is None and keep is None:
        return None
    places = problem.places(np.arange(problem.example.queries))
    shape: tuple[int, ...] = (1, 1, problem.example.queries, problem.example.keys)
    for expr in (attention.bias, keep):
        if expr is not None:
            shape = np.broadcast_shapes(shape, *(places[name].shape for name in names(expr)))
    if np.prod(shape) > MOST_SCORES:
        raise UnsupportedError(f"the array to add to the scores would take {np.prod(shape) * 4 / 1e9:.1f} GB")
    return summed(problem, attention.bias, keep, shape)


def hides_nothing(attention: Fused) -> bool:
    return not attention.is_causal and attention.keep is None


def summed(problem: Problem, bias: Expr | None, keep: Expr | None, shape: tuple[int, ...]) -> Array:
    """Head after head, so that the intermediate results of an expression stay small."""
    places = problem.places(np.arange(problem.example.queries))
    total = np.zeros(shape, np.float32)
    for head in range(shape[1]):
        at = places if shape[1] == 1 else {**places, "h": np.full((1, 1, 1), head)}
        part = total[:, head : head + 1]
        if bias is not None:
            part += evaluate(bias, at, problem.inputs, np.float32)
        if keep is not None:
            np.copyto(part, -np.inf, where=~evaluate(keep, at, problem.inputs))
    return total


def heads_first(problem: Problem) -> tuple[Array, Array, Array]:
    """query, key and value as (batch, heads, length, dim), whatever the spec's layout."""
    arrays = (problem.arguments[name] for name in ("query", "key", "value"))
    query, key, value = (in_layout(problem, array) for array in arrays)
    return query, key, value


def in_layout(problem: Problem, array: Array) -> Array:
    """From the spec's layout to (batch, heads, length, dim), or back."""
    return array if problem.spec.layout is Layout.BHSD else np.ascontiguousarray(array.swapaxes(1, 2))
