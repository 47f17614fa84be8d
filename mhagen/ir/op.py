"""What every op of the vocabulary is: fields, a shape rule and a meaning, in one class."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ..expr.tree import Expr, arrays
from .types import TensorType

Array: TypeAlias = npt.NDArray[np.generic]
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Types: TypeAlias = tuple[TensorType, ...]
Results: TypeAlias = tuple[Floats, ...]


@dataclass(frozen=True)
class Op:
    """One step of the mathematics.

    `infer` gives the types of the results from the types of the operands and raises TypeRuleError when
    they do not fit; `evaluate` is the meaning, on float64, int64 and bool arrays. Both take one parameter
    an operand.
    """

    infer: ClassVar[Callable[..., Types]]
    evaluate: ClassVar[Callable[..., Results]]

    @classmethod
    def mnemonic(cls) -> str:
        """The spelling in the textual form: `SplitHeads` is `split_heads`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def expressions(self) -> tuple[Expr, ...]:
        """The fields that are expressions, in order."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(value for value in values if isinstance(value, Expr))

    @property
    def captured(self) -> tuple[str, ...]:
        """The run-time arrays that the expressions index: the last operands have their names and order."""
        return tuple(dict.fromkeys(name for each in self.expressions for name in arrays(each)))
