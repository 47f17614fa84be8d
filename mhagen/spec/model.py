"""The spec of an attention layer: a frozen value whose defaults are resolved and whose keys fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from ..base.errors import SpecError
from ..expr.kinds import applied
from ..expr.parse import ArrayType, parse_expression
from ..expr.trace import Function
from ..expr.tree import Expr, Literal, Name, Operator
from .check import find_problems
from .fields import Fields, Group, Mask, Scores, Softmax
from .functions import write_functions
from .plain import plain_keys
from .written import written


@dataclass(frozen=True)
class HeadsAlike:
    """Query heads of which the same is said, and the spec of a layer that has no others."""

    heads: tuple[int, ...]
    spec: Spec


def is_one_of(heads: Sequence[int]) -> Expr:
    """Is `h` one of these heads, given in rising order?"""
    runs = groupby(enumerate(heads), lambda each: each[1] - each[0])
    return any_of([is_between(*(head for _, head in run)) for _, run in runs])


def is_between(first: int, *others: int) -> Expr:
    head = Name("h")
    if not others:
        return applied(Operator.EQUAL, head, Literal(first))
    low = applied(Operator.LESS_EQUAL, Literal(first), head)
    return applied(Operator.AND, low, applied(Operator.LESS_EQUAL, head, Literal(others[-1])))


def any_of(conditions: Sequence[Expr]) -> Expr:
    """One node, however many there are: what reads a tree goes as deep as it is."""
    return conditions[0] if len(conditions) == 1 else applied(Operator.OR, *conditions)


Said = TypeVar("Said")


def first(own: Said | None, other: Said | None) -> Said | None:
    """What a group says itself, else what is said of all heads."""
    return other if own is None else own


class Spec(Fields):
    """What one kernel computes: from keywords here, from a file or a dict by `load_spec`.

    `score` and `keep` are Python functions, `lambda score, b, h, q, k, NAMES: ...` and the same without
    `score`, whose further parameters are constants and inputs by name. They are traced, and written as text
    into `scores.modify` and `mask.keep`: of the functions themselves nothing is kept. A group may have such a
    `score` and `keep` of its own.

    Raises   SpecError with every mistake, each with its key.
    """

    def __init__(
        self, /, *, score: Function | None = None, keep: Function | None = None, **keys: Any
    ) -> None:
        functions = {"score": score, "keep": keep}
        given = {name: each for name, each in functions.items() if each is not None}
        traced = write_functions(plain_keys(keys), given)
        problems = [traced.located(problem) for problem in find_problems(traced.keys)]
        if found := (*traced.diagnostics, *problems):
            raise SpecError(found)
        super().__init__(**traced.keys)

    @property
    def scale(self) -> float:
        return self.heads.dim**-0.5 if self.scores.scale is None else self.scores.scale

    @property
    def array_types(self) -> Mapping[str, ArrayType]:
        """What expressions must know of the inputs."""
        return {name: ArrayType(input.dtype, len(input.shape)) for name, input in self.inputs.items()}

    @property
    def score_expression(self) -> Expr | None:
        return self._parsed(self.scores.modify)

    @property
    def keep_expression(self) -> Expr | None:
        return self._parsed(self.mask.keep)

    @property
    def visible_expression(self) -> Expr | None:
        """Which keys the heads see, in one condition for all of them; a pruned head sees none."""
        if not self.groups and not self.heads.pruned:
            return self.keep_expression
        parts: list[Expr] = []
        for way in self.alike:
            heads = [head for head in way.heads if head not in self.heads.pruned]
            if heads:
                keep, condition = way.spec.keep_expression, is_one_of(heads)
                parts.append(condition if keep is None else applied(Operator.AND, condition, keep))
        return any_of(parts)

    def keep_of(self, head: int) -> Expr | None:
        """Which keys a head sees; a pruned one sees none."""
        if head in self.heads.pruned:
            return Literal(False)
        return self.way_of(head).keep_expression

    def way_of(self, head: int) -> Spec:
        """The spec of a layer whose heads are all as this one."""
        return next(way.spec for way in self.alike if head in way.heads)

    @property
    def sink_expression(self) -> Expr | None:
        return self._parsed(self.softmax.sink)

    def _parsed(self, text: str | None) -> Expr | None:
        if text is None:
            return None
        return parse_expression(text, constants=self.constants, arrays=self.array_types)

    @property
    def kept_heads(self) -> tuple[int, ...]:
        """The query heads that are not pruned."""
        return tuple(head for head in range(self.heads.query) if head not in self.heads.pruned)

    @property
    def alike(self) -> tuple[HeadsAlike, ...]:
        """All query heads by what is said of them: first those that no group names, then the groups."""
        named = {head for group in self.groups for head in group.heads}
        others = tuple(head for head in range(self.heads.query) if head not in named)
        found = (HeadsAlike(others, self._as(Group(heads=(0,)))),) if others else ()
        return (*found, *(HeadsAlike(tuple(sorted(group.heads)), self._as(group)) for group in self.groups))

    def _as(self, group: Group) -> Spec:
        """The spec of a layer whose heads are all as those of the group."""
        scores, softmax = self.scores, self.softmax
        own = {
            "scores": Scores(
                scale=first(group.scores.scale, scores.scale),
                modify=first(group.scores.modify, scores.modify),
            ),
            "mask": Mask(keep=first(group.mask.keep, self.mask.keep), align=self.mask.align),
            "softmax": Softmax(sink=first(group.softmax.sink, softmax.sink)),
        }
        heads = self.heads.model_copy(update={"pruned": ()})
        return self.model_copy(update={**own, "heads": heads, "groups": ()})

    def to_toml(self) -> str:
        """The TOML text that means this spec: load_spec of a file with it gives an equal one."""
        return written(self)

    def without_projections(self) -> Spec:
        """The same attention, without the linear maps around it."""
        return self.model_copy(update={"projections": None})
