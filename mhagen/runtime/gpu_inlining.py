"""Numba takes a function that it inlines through its passes for each call, and copies it twice, deeply.

Half of the time of a kernel would go there: its functions have hundreds of variables and are called often.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from .standins import standing_in


@contextmanager
def inlining_prepared_once() -> Iterator[None]:
    """Let Numba's CUDA compiler prepare an inlined function once. The kernel stays the same."""
    from numba.cuda.core import inline_closurecall

    worker: Any = inline_closurecall.InlineWorker
    prepare = worker.run_untyped_passes
    prepared: dict[FunctionType, Any] = {}

    def run_untyped_passes(self: Any, func: FunctionType, enable_ssa: bool = False) -> Any:
        if enable_ssa:  # to be typed, which changes it
            return prepare(self, func, enable_ssa)
        if func not in prepared:
            prepared[func] = prepare(self, func)
        self.flags.enable_ssa = False
        found = copy.copy(prepared[func])  # its blocks are copied before they are inlined
        found.func_id = found.func_id.derive()  # names of its variables are those of one call
        return found

    with (
        standing_in(worker, run_untyped_passes=run_untyped_passes),
        standing_in(inline_closurecall, copy=Copies()),
    ):
        yield


class Copies:
    """Stands for the module `copy` in Numba's inliner, which copies all blocks of a function one by one."""

    def __init__(self) -> None:
        from numba.cuda.core import ir

        self.ir = ir
        self.scope: Any = None
        self.copied: Any = None
        self.blocks: list[Any] = []  # held, so that no other is taken for one of them

    def deepcopy(self, block: Any) -> Any:
        """A copy of the block; the scope is the one of the blocks copied with it."""
        again = any(block is each for each in self.blocks)
        if again or block.scope is not self.scope:
            self.scope, self.copied, self.blocks = block.scope, self.scope_like(block.scope), []
        self.blocks.append(block)
        made = self.ir.Block(self.copied, block.loc)
        made.body = [self.like(statement) for statement in block.body]
        return made

    def scope_like(self, scope: Any) -> Any:
        """A scope with variables of the same names."""
        made = self.ir.Scope(scope.parent, scope.loc)
        made.redefined.update(scope.redefined)
        made.var_redefinitions.update((name, set(names)) for name, names in scope.var_redefinitions.items())
        for variable in scope.localvars._con.values():
            made.define(variable.name, variable.loc)
        return made

    def like(self, value: Any) -> Any:
        """A copy of what stands in a statement; constants, places and globals stay what they are."""
        kind = type(value)
        if kind is self.ir.Var:
            return self.ir.Var(self.copied, value.name, value.loc)
        if kind is list or kind is tuple:
            return kind(map(self.like, value))
        if kind is dict:
            return {name: self.like(each) for name, each in value.items()}
        if isinstance(value, self.ir.Inst):
            made = object.__new__(kind)
            vars(made).update((name, self.like(each)) for name, each in vars(value).items())
            return made
        return copy.copy(value) if isinstance(value, self.ir.AbstractRHS) else value
