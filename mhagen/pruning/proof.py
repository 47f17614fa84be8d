"""The smaller layer is the layer with those heads gated to 0: shown in float64, and by kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend.acceptance import (
    SIZES_OF_LAYER,
    Example,
    allowed_error,
    array_distance,
    first_of,
    numpy_dtype,
)
from ..base.errors import VerificationError
from ..ir.arguments import bind
from ..ir.build import build_graph
from ..ir.op import Floats
from ..ir.reference import Reference
from ..pipeline import Kernel
from ..spec.model import Spec
from ..spec.names import WEIGHTS
from .cut import gated_weights
from .observed import Observed

Weights = Mapping[str, np.ndarray[Any, Any]]

# The same float64 sums with fewer terms that are 0: of these, only the order may differ.
EXACT = 1e-10


@dataclass(frozen=True)
class Proof:
    """How far the smaller layer is from the gated one.

    Units    relative to max(1, the greatest result). Of the references: on small examples. Of the kernels of
             the smaller and of the whole layer: on what the layer was given, from float64
    """

    reference_error: float
    kernel_error: float
    whole_kernel_error: float
    allowed: float


def proven(
    layer: Observed, pruned: tuple[int, ...], smaller: Spec, weights: Weights, kernels: Kernels
) -> Proof:
    """Compare the smaller layer with the gated one.

    Raises   VerificationError where they differ
    """
    seen = layer.seen
    gated = gated_weights(seen.spec, pruned, seen.weights)
    exact = reference_error(seen.spec, gated, smaller, weights)
    if not exact <= EXACT:
        raise refusal(smaller, "its float64 reference", exact, EXACT)
    expected = gated_output(layer, pruned)
    whole = kernel_error(kernels.whole, seen.spec, gated, layer, expected)
    found = kernel_error(kernels.smaller, smaller, weights, layer, expected)
    allowed = allowed_error(seen.spec.dtype, whole)
    if not found <= allowed:
        raise refusal(smaller, "its kernel", found, allowed)
    return Proof(exact, found, whole, allowed)


@dataclass(frozen=True)
class Kernels:
    """Of the whole layer and of the smaller one."""

    whole: Kernel
    smaller: Kernel


def refusal(smaller: Spec, what: str, found: float, allowed: float) -> VerificationError:
    return VerificationError(
        f"{smaller.name}: {what} differs from the layer with its heads gated to 0 by {found:.2g} of the "
        f"greatest result; {allowed:.1g} is allowed. Nothing has been written"
    )


def reference_error(spec: Spec, gated: Weights, smaller: Spec, weights: Weights) -> float:
    """On small random inputs, as scores of all heads have to be in memory; of a spec's log some are NaN."""
    errors = []
    for seed, (batch, queries) in enumerate(SIZES_OF_LAYER):
        example = Example(batch, queries, queries, seed)
        x, inputs = example.x(spec), example.inputs(spec)
        expected = first_of(Reference(spec).layer(x, gated, **inputs))
        errors.append(distance_of_numbers(first_of(Reference(smaller).layer(x, weights, **inputs)), expected))
    return max(errors)


def distance_of_numbers(found: Floats, expected: Floats) -> float:
    """Where a number is expected; where none is, nothing has been shown."""
    known = np.isfinite(expected)
    return array_distance(found[known], expected[known]) if known.any() else np.inf


def gated_output(layer: Observed, pruned: tuple[int, ...]) -> Floats:
    """What the layer gives without these heads, in float64."""
    output = layer.output.copy()
    for head in pruned:
        output -= layer.contribution(head)
    return output


def kernel_error(kernel: Kernel, spec: Spec, weights: Weights, layer: Observed, expected: Floats) -> float:
    """At the tokens that count, where numbers are finite: their measures are."""
    found = first_of(kernel.layer(weights=in_its_format(spec, weights), **layer.seen.call()))
    counted = layer.seen.counted
    return array_distance(np.asarray(found, np.float64)[counted], expected[counted])


def in_its_format(spec: Spec, weights: Weights) -> Weights:
    """The weights in the spec's own number format."""
    needed = [each for each in build_graph(spec).inputs if each.name in WEIGHTS]
    arrays, _ = bind(needed, weights)
    return {name: array.astype(numpy_dtype(spec.dtype)) for name, array in arrays.items()}
