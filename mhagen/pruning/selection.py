"""Which heads go: so many of those that matter least, over all layers, and never the last of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..base.errors import InputError
from .methods import Method

# The measure of each head of each layer, layer by layer; None of a head that was pruned before.
Measures = Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Amount:
    """How many heads are wanted: at most one of these says it; none of them, and nothing is pruned."""

    keep: int | None = None
    prune: int | None = None
    share: float | None = None

    def count(self, heads: int, layers: int) -> int | None:
        """The heads to prune of so many in all layers.

        Raises   InputError where that is not possible
        """
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} both say how many heads go: give one of them")
        if not given:
            return None
        ((name, value),) = given.items()
        check_number(name, value)
        count = {"keep": heads - value, "prune": value, "share": round(value * heads)}[name]
        if not 0 <= count <= heads - layers:
            left = "one head" if layers == 1 else f"one head in each of {layers} layers"
            raise InputError(
                f"{name} = {value} prunes {count} of {heads} heads, and {left} has to stay: "
                f"0 to {heads - layers} can go"
            )
        return int(count)


def check_number(name: str, value: object) -> None:
    if name == "share":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise InputError(f"share is {value!r} and needs a part of the heads: 0 or more, and less than 1")
    elif isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} is {value!r} and needs a number of heads")


def least_important(measures: Measures, method: Method, count: int) -> tuple[tuple[int, ...], ...]:
    """For each layer the heads to prune, so many in all. Of equals the first goes first."""
    sign = -1 if method.prunes_greatest else 1
    ranking = sorted(
        (sign * value, layer, head)
        for layer, row in enumerate(measures)
        for head, value in enumerate(row)
        if value is not None
    )
    left = [sum(value is not None for value in row) for row in measures]
    chosen: list[set[int]] = [set() for _ in measures]
    for _, layer, head in ranking:
        if sum(map(len, chosen)) < count and left[layer] > 1:
            chosen[layer].add(head)
            left[layer] -= 1
    return tuple(tuple(sorted(heads)) for heads in chosen)
