"""How much each head matters, by each method, from what its layer was seen to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

import numpy as np

from ..base.errors import InputError
from ..ir.op import Floats
from .methods import Method
from .observed import Observed

# What the authors and Transformers add to the length that they divide by.
TINY = 1e-20


def measures(layers: Sequence[Observed], method: Method, batch: int) -> tuple[tuple[float | None, ...], ...]:
    """The measure of each head of each layer; None of heads that are pruned already.

    `batch` says how many examples the program of Transformers takes at once.

    Raises   InputError where a measure is no number, as heads cannot be ranked by it
    """
    rows = [layer_measures(layer, method, batch) for layer in layers]
    for number, (layer, row) in enumerate(zip(layers, rows, strict=True)):
        check_finite(layer, row, method, number)
    if method is Method.MICHEL_TRANSFORMERS:
        rows = stretched(rows)
    return tuple(as_row(layer, row) for layer, row in zip(layers, rows, strict=True))


def check_finite(layer: Observed, row: Floats, method: Method, number: int) -> None:
    wrong = [head for head, value in zip(layer.heads, row, strict=True) if not np.isfinite(value)]
    if wrong:
        arrays = ", ".join(layer.seen.spec.inputs) or "x"
        raise InputError(
            f"by {method.value}, head {wrong[0]} of layer {number} has no finite measure, and cannot be "
            f"ranked: what it computes there is NaN or infinite; look for such numbers in {arrays}"
        )


def as_row(layer: Observed, row: Floats) -> tuple[float | None, ...]:
    found = dict(zip(layer.heads, row.tolist(), strict=True))
    return tuple(found.get(head) for head in range(layer.seen.spec.heads.query))


def layer_measures(layer: Observed, method: Method, batch: int) -> Floats:
    """The measure of each head that is not pruned."""
    match method:
        case Method.MICHEL | Method.MICHEL_CODE | Method.MICHEL_TRANSFORMERS:
            found = [gate_derivative(tokens, method, batch) for _, tokens in layer.sensitivities()]
            return of_length_one(np.array(found), 0.0 if method is Method.MICHEL else TINY)
        case Method.CONFIDENCE:
            return over_tokens(layer, layer.confidence)
        case Method.ENTROPY:
            return over_tokens(layer, layer.entropy)
        case Method.ABLATION:
            return np.array(list(changes(layer)))
        case _:
            assert_never(method)


def gate_derivative(tokens: Floats, method: Method, batch: int) -> float:
    """The absolute derivative of the loss by a gate: before the sum over tokens, over a batch, or neither.

    Units    divisors that all heads share are left out: the length that follows takes them away
    """
    match method:
        case Method.MICHEL:
            parts = tokens.sum(axis=1)
        case Method.MICHEL_CODE:
            parts = tokens
        case _:
            parts = np.add.reduceat(tokens.sum(axis=1), np.arange(0, len(tokens), batch))
    return float(np.abs(parts).sum())


def of_length_one(values: Floats, tiny: float) -> Floats:
    """Divided by the root of the sum of squares; zeros stay."""
    length = float(np.sqrt(np.sum(values * values))) + tiny
    return values / length if length > 0 else values


def stretched(rows: Sequence[Floats]) -> list[Floats]:
    """From the least, which becomes 0, to the greatest of all layers, which becomes 1; 0 if all are equal."""
    everything = np.concatenate(rows)
    least, width = everything.min(), np.ptp(everything)
    return [(row - least) / (width if width > 0 else 1.0) for row in rows]


def over_tokens(layer: Observed, values: Floats) -> Floats:
    """The mean over the tokens that count."""
    chosen = values[:, list(layer.heads)].swapaxes(1, 2)[layer.seen.counted]
    return np.asarray(chosen.mean(axis=0))


def changes(layer: Observed) -> Iterator[float]:
    """How much the output changes without each head, as a part of the output."""
    counted = layer.seen.counted
    whole = np.linalg.norm(layer.output[counted])
    for head in layer.heads:
        change = np.linalg.norm(layer.contribution(head)[counted])
        yield float(change / whole) if whole != 0 else 0.0
