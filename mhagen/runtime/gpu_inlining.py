"""Numba copies what it inlines block by block, and with each block all variables of the function.

A third of the time of a kernel would go there: its functions have hundreds of variables and tens of blocks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def variables_copied_once() -> Iterator[None]:
    """Let Numba's CUDA compiler copy the variables of an inlined function once. The kernel stays the same."""
    from numba.cuda.core import inline_closurecall

    inliner: Any = inline_closurecall
    inliner.copy = Copies()
    try:
        yield
    finally:
        inliner.copy = copy


class Copies:
    """Stands for the module `copy` in Numba's inliner, which copies all blocks of a function one by one."""

    def __init__(self) -> None:
        self.scope: Any = None
        self.copied: Any = None
        self.blocks: list[Any] = []  # held, so that no other is taken for one of them

    def deepcopy(self, block: Any) -> Any:
        """A copy of the block; the scope is the one of the blocks copied with it."""
        again = any(block is each for each in self.blocks)
        if again or block.scope is not self.scope:
            self.scope, self.copied, self.blocks = block.scope, copy.deepcopy(block.scope), []
        self.blocks.append(block)
        return copy.deepcopy(block, {id(self.scope): self.copied})
