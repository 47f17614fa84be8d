"""Compares a result with the reference in a few of its queries, however large the problem is."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ..backend.acceptance import TOLERANCES, allowed_error, distance, first_of, plain_distance
from ..backend.numpy_baseline import NumpyBaseline
from ..ir.reference import Reference
from ..spec.fields import Axis, Layout
from .problem import Array, Problem

# The reference holds all scores in float64, several times over.
MOST_SCORES = 1 << 24
QUERIES_OF_A_SAMPLE = 8
Arithmetic: TypeAlias = Reference | NumpyBaseline


def reference_error(problem: Problem, result: Array) -> float | None:
    """The greatest distance from the reference: of all queries if it can hold them, else of a few.

    Numbers  None where it can do neither: a large layer, or expressions that read an array by query
    """
    reference = Reference(problem.spec)
    errors = (
        distance(rows(problem, result, part), result_of(reference, problem, part))
        for part in compared_parts(problem)
    )
    return max(errors, default=None)


def plain_error(problem: Problem) -> float:
    """How far plain arithmetic is from the reference in the same queries; 0 where there are none."""
    reference, plain = Reference(problem.spec), NumpyBaseline(problem.spec)
    with np.errstate(all="ignore"):
        errors = [
            plain_distance(result_of(plain, problem, part), result_of(reference, problem, part))
            for part in compared_parts(problem)
        ]
    return max(errors, default=0.0)


def allowed_in(problem: Problem, error: float) -> float:
    """What acceptance allows; plain arithmetic, which takes a while, is asked only for more than is usual."""
    dtype = problem.spec.dtype
    usual = TOLERANCES[dtype]
    return usual if error <= usual else allowed_error(dtype, plain_error(problem))


def compared_parts(problem: Problem) -> tuple[slice, ...]:
    """The queries that the reference can hold: all, or a few at the front, in the middle and at the end."""
    if problem.pairs <= MOST_SCORES:
        return (slice(None),)
    if problem.is_layer or reads_by_query(problem):
        return ()
    last = max(0, problem.example.queries - QUERIES_OF_A_SAMPLE)
    return tuple(slice(first, first + QUERIES_OF_A_SAMPLE) for first in dict.fromkeys((0, last // 2, last)))


def result_of(arithmetic: Arithmetic, problem: Problem, part: slice = slice(None)) -> Array:
    """The output for some queries, or for all; of a layer for all."""
    keywords: dict[str, Any] = {**problem.inputs, "query_offset": problem.query_offset + (part.start or 0)}
    if problem.is_layer:
        x, weights = widened(problem.arguments)["x"], widened(problem.weights)
        return np.asarray(first_of(arithmetic.layer(x, weights, **keywords)))
    query = rows(problem, problem.arguments["query"], part)
    keywords |= widened({**problem.arguments, "query": query})
    return np.asarray(first_of(arithmetic.attention(**keywords)))


def reads_by_query(problem: Problem) -> bool:
    return any(Axis.QUERIES.value in each.shape for each in problem.spec.inputs.values())


def rows(problem: Problem, array: Array, part: slice) -> Array:
    """Some queries of an array in the spec's layout. A result of a layer is never taken apart."""
    if problem.is_layer:
        return array
    return array[:, :, part] if problem.spec.layout is Layout.BHSD else array[:, part]


def widened(arrays: Any) -> dict[str, Array]:
    return {name: np.asarray(array, np.float64) for name, array in arrays.items()}
