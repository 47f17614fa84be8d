"""Compares a result with the reference in a few of its queries, however large the problem is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.acceptance import distance
from ..ir.reference import Reference
from ..spec.fields import Axis, Layout
from .problem import Array, Problem

# The reference holds all scores in float64, several times over.
MOST_SCORES = 1 << 24
QUERIES_OF_A_SAMPLE = 8


def reference_error(problem: Problem, result: Array) -> float | None:
    """The greatest distance from the reference: of all queries if it can hold them, else of a few.

    Numbers  None where it can do neither: a large layer, or expressions that read an array by query
    """
    if problem.pairs <= MOST_SCORES:
        return distance(result, expected(problem))
    if problem.is_layer or reads_by_query(problem):
        return None
    return max(
        distance(rows(problem, result, first), expected_rows(problem, first))
        for first in sampled_queries(problem.example.queries)
    )


def expected(problem: Problem) -> Array:
    """The whole result of the reference."""
    reference, keywords = Reference(problem.spec), keywords_of(problem, 0)
    arguments = widened(problem.arguments)
    if problem.is_layer:
        return output(reference.layer(arguments["x"], widened(problem.weights), **keywords))
    return output(reference.attention(**arguments, **keywords))


def expected_rows(problem: Problem, first: int) -> Array:
    """The reference's result for the queries from `first` on."""
    arguments = widened({name: problem.arguments[name] for name in ("key", "value")})
    query = widened({"query": rows(problem, problem.arguments["query"], first)})
    return output(Reference(problem.spec).attention(**query, **arguments, **keywords_of(problem, first)))


def keywords_of(problem: Problem, first: int) -> dict[str, Any]:
    return {**problem.inputs, "query_offset": problem.query_offset + first}


def reads_by_query(problem: Problem) -> bool:
    return any(Axis.QUERIES.value in each.shape for each in problem.spec.inputs.values())


def sampled_queries(queries: int) -> tuple[int, ...]:
    """Where samples begin: at the front, in the middle and at the end."""
    last = max(0, queries - QUERIES_OF_A_SAMPLE)
    return tuple(dict.fromkeys((0, last // 2, last)))


def rows(problem: Problem, array: Array, first: int) -> Array:
    """Some queries of an array in the spec's layout."""
    some = slice(first, first + QUERIES_OF_A_SAMPLE)
    return array[:, :, some] if problem.spec.layout is Layout.BHSD else array[:, some]


def widened(arrays: Any) -> dict[str, Array]:
    return {name: np.asarray(array, np.float64) for name, array in arrays.items()}


def output(result: Any) -> Array:
    """The output without the statistics."""
    return np.asarray(result[0] if isinstance(result, tuple) else result)
