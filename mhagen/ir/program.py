"""The graphs of a module: one for each way to call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..spec.model import Spec
from .build import build_graph
from .graph import Graph


@dataclass(frozen=True)
class Program:
    """What a module computes: attention(); with projections also layer(x) and layer(x, context=...)."""

    attention: Graph
    self_layer: Graph | None
    cross_layer: Graph | None

    @property
    def main(self) -> Graph:
        """The graph that is shown: the layer where there is one."""
        return self.attention if self.self_layer is None else self.self_layer

    def map(self, change: Callable[[Graph], Graph]) -> Program:
        """The program with every graph changed."""
        layers = (None if graph is None else change(graph) for graph in (self.self_layer, self.cross_layer))
        return Program(change(self.attention), *layers)


def build_program(spec: Spec) -> Program:
    """The naive graphs of a spec."""
    attention = build_graph(spec.without_projections())
    if spec.projections is None:
        return Program(attention, None, None)
    return Program(attention, build_graph(spec), build_graph(spec, self_attention=False))
