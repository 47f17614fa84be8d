"""Runs passes over a graph, verifying it after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeAlias

from ..ir.graph import Graph
from ..ir.verify import verify

# Called with the name of a stage and the graph that it left.
Observer: TypeAlias = Callable[[str, Graph], None]


class Pass(Protocol):
    """A function from a valid graph to a valid graph of the same meaning; its name is the stage's name."""

    __name__: str

    def __call__(self, graph: Graph, /) -> Graph: ...


class Stage(NamedTuple):
    """A pass, and why it runs where it does."""

    run: Pass
    reason: str

    @property
    def name(self) -> str:
        return self.run.__name__


def run_passes(graph: Graph, stages: Iterable[Stage], observe: Observer | None = None) -> Graph:
    """The graph after all stages; `observe` is shown what each of them leaves.

    Raises   InternalError that names the stage that left an invalid graph
    """
    verify(graph, "build_graph")
    for stage in stages:
        graph = stage.run(graph)
        verify(graph, stage.name)
        if observe is not None:
            observe(stage.name, graph)
    return graph
