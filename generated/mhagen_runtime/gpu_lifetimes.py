"""Where variables are needed: Numba's CUDA compiler finds it out after each pass, and reads it twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .standins import standing_in

Names = Mapping[int, set[str]]  # of variables, by block


@contextmanager
def lifetimes_when_needed() -> Iterator[None]:
    """Let Numba find lifetimes only where it ends them, and faster. The kernel stays the same."""
    from numba.cuda.core import analysis, postproc, transforms

    processor: Any = postproc.PostProcessor
    process = processor.run

    def run(self: Any, emit_dels: bool = False, extend_lifetimes: bool = False) -> None:
        code = self.func_ir
        if emit_dels or code.is_generator:
            process(self, emit_dels, extend_lifetimes)
            return
        code.blocks = transforms.canonicalize_cfg(code.blocks)
        code.variable_lifetime = postproc.VariableLifetime(code.blocks)
        code.generator_info = None

    with standing_in(processor, run=run), standing_in(analysis, compute_live_map=live_at_entry):
        yield


def live_at_entry(graph: Any, blocks: Mapping[int, Any], used: Names, defined: Names) -> dict[int, set[str]]:
    """The variables that a block or one behind it uses and that are assigned on some way to it."""
    crossing: set[str] = set().union(*used.values())  # no other is live at the entry of a block
    reached = {label: (defined[label] | used[label]) & crossing for label in defined}
    spread(reached, lambda label: [(after, reached[label]) for after, _ in graph.successors(label)])
    live = {label: set(used[label]) for label in blocks}
    spread(
        live,
        lambda label: [
            (before, (live[label] & reached[before]) - defined[before])
            for before, _ in graph.predecessors(label)
        ],
    )
    return live


def spread(sets: dict[int, set[str]], given: Callable[[int], list[tuple[int, set[str]]]]) -> None:
    """Let blocks give to others, until none of them gets anything new."""
    waiting = dict.fromkeys(sets)
    while waiting:
        label, _ = waiting.popitem()
        for other, names in given(label):
            if not names <= sets[other]:
                sets[other] |= names
                waiting[other] = None
