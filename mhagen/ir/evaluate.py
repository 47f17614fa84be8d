"""The interpreter: runs a graph op by op in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .graph import Graph
from .op import Array, Floats


def run_graph(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Floats]:
    """The outputs of the graph, under the names a caller sees.

    Shapes   `inputs` holds every input of the graph, in float64, int64 or bool and in the shape of its type
    Numbers  infinities and NaNs flow as IEEE 754 has it, without warnings
    """
    values = dict(inputs)
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            results = node.op.evaluate(*(values[name] for name in node.operands))
            values |= zip((value.name for value in node.results), results, strict=True)
    return {shown: np.asarray(values[name], np.float64) for shown, name in graph.outputs}
