"""The spec of an attention layer: a frozen value whose defaults are resolved and whose keys fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base.errors import SpecError
from ..expr.parse import ArrayType, parse_expression
from ..expr.tree import Expr
from .check import find_problems
from .fields import Fields
from .problems import located


class Spec(Fields):
    """What one kernel computes: from keywords here, from a file or a dict by `load_spec`.

    Raises   SpecError with every mistake, each with its key.
    """

    def __init__(self, /, **keys: Any) -> None:
        if problems := find_problems(keys):
            raise SpecError(tuple(located(problem, None) for problem in problems))
        super().__init__(**keys)

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

    def without_projections(self) -> Spec:
        """The same attention, without the linear maps around it."""
        return self.model_copy(update={"projections": None})
