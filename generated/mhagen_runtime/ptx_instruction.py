"""An instruction of PTX as kernels call it: its operands, its text, and what it does to lanes.

A table of instructions reads so: the text, in which `$0, $1, ...` are first the results and then the
arguments; then a Python function whose signature gives the operands' types, and whose body is the
instruction's meaning in NumPy. There, an operand is an array with one slot a lane; lanes 0 to 31 are the
first warp, and so on. Memory is an array of bytes, which an address indexes.

Inside a kernel, Numba reads the text (see `ptx_calls`); outside, calling an instruction runs its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
S32 = NDArray[np.int32]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
F32x2 = tuple[F32, F32]
F32x4 = tuple[F32, F32, F32, F32]
U32x4 = tuple[U32, U32, U32, U32]
Memory = NDArray[np.uint8]


class Kind(Enum):
    """The types of operands; the value is the letter that asks the compiler for such a register."""

    F32 = "f"
    F64 = "d"
    S32 = "r "  # as u32 in the machine, and signed to Numba
    U16 = "h"
    U32 = "r"
    U64 = "l"

    @property
    def letter(self) -> str:
        return self.value.strip()


OPERANDS = re.compile(r"([FSU]\d+)(?:x(\d))?")


class Effect(Enum):
    """What the compiler may do with a call.

    Of those that it has to leave where they are, none may come to depend on more conditions than it does
    (LLVM's `convergent`): lanes that part would not act together.
    """

    NONE = "none"  # move it, merge it with its equal, drop it
    LANES = "lanes"  # none of these: lanes of a warp act together
    MEMORY = "memory"  # nor keep memory in registers across it


@dataclass(frozen=True, eq=False)
class Instruction:
    """One instruction. Two are the same only if they are the same object."""

    name: str
    text: str
    effect: Effect
    results: tuple[Kind, ...]
    arguments: tuple[Kind, ...]
    meaning: Callable[..., Any]
    accumulators: int = 0  # so many float32 of a local array, the first argument, are read and written
    is_shared_base: bool = False  # its result is the compiler's to give: where dynamic shared memory begins

    def __call__(self, *operands: Any) -> Any:
        return self.meaning(*operands)

    @property
    def identity(self) -> tuple[Any, ...]:
        """All that shapes the code of a call: every field but the meaning."""
        return tuple(getattr(self, each.name) for each in fields(self) if each.name != "meaning")


def instruction(
    text: str, effect: Effect = Effect.MEMORY, *, accumulators: int = 0, is_shared_base: bool = False
) -> Callable[[Callable[..., Any]], Instruction]:
    """Make the function below, which is the meaning in NumPy, an instruction with this text."""

    def of_meaning(meaning: Callable[..., Any]) -> Instruction:
        *parameters, result = meaning.__annotations__.values()
        return Instruction(
            meaning.__name__,
            text,
            effect,
            kinds(result),
            tuple(kind for parameter in parameters for kind in kinds(parameter)),
            meaning,
            accumulators,
            is_shared_base,
        )

    return of_meaning


def kinds(annotation: str) -> tuple[Kind, ...]:
    """The operands in an annotation: one for "U32", four for "F32x4", none for "Memory" and "None"."""
    found = OPERANDS.fullmatch(annotation)
    return () if found is None else (Kind[found[1]],) * int(found[2] or 1)
