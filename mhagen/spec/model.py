"""The spec of an attention layer: a frozen value whose defaults are resolved and whose keys fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base.errors import SpecError
from ..expr.parse import ArrayType, parse_expression
from ..expr.trace import Function
from ..expr.tree import Expr
from .check import find_problems
from .fields import Fields
from .functions import write_functions
from .written import written


class Spec(Fields):
    """What one kernel computes: from keywords here, from a file or a dict by `load_spec`.

    `score` and `keep` are Python functions, `lambda score, b, h, q, k, NAMES: ...` and the same without
    `score`, whose further parameters are constants and inputs by name. They are traced, and written as text
    into `scores.modify` and `mask.keep`: of the functions themselves nothing is kept.

    Raises   SpecError with every mistake, each with its key.
    """

    def __init__(
        self, /, *, score: Function | None = None, keep: Function | None = None, **keys: Any
    ) -> None:
        given = {"score": score, "keep": keep}
        traced = write_functions(keys, {name: each for name, each in given.items() if each is not None})
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
    def sink_expression(self) -> Expr | None:
        return self._parsed(self.softmax.sink)

    def _parsed(self, text: str | None) -> Expr | None:
        if text is None:
            return None
        return parse_expression(text, constants=self.constants, arrays=self.array_types)

    def to_toml(self) -> str:
        """The TOML text that means this spec: load_spec of a file with it gives an equal one."""
        return written(self)

    def without_projections(self) -> Spec:
        """The same attention, without the linear maps around it."""
        return self.model_copy(update={"projections": None})
