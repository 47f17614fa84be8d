"""Which results say whether a kernel is right: those that no rounding on the way can turn into others.

A random expression jumps, overflows and cancels. Where the last digit of a score decides over a whole result,
the kernel and the reference may differ and both be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from mhagen import reference
from mhagen.base.dtypes import DType
from mhagen.spec.model import Spec

from . import plain
from .calls import Array, Call, named, room

SHAKES = 3
EXACT = 8  # sums and products of the captured arrays, which hold multiples of 1/8, have no rounding
STRAY = 2.0**-6  # what bfloat16 rounds, and a few times more


@dataclass(frozen=True)
class Shaken(plain.Rounding):
    """Each inexact result moves by a few roundings up or down, at random."""

    tremor: float = 0.0
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def __call__(self, found: Any) -> Array:
        array = super().__call__(found)
        if not plain.is_real(array):
            return array
        is_exact = (EXACT * array % 1 == 0) & (np.abs(array) < 1 / self.tremor / EXACT)
        return np.where(is_exact, array, self.moved(array, array))

    def product(self, query: Array, key: Array) -> Array:
        return self.moved(super().product(query, key), super().product(np.abs(query), np.abs(key)))

    def moved(self, array: Array, terms: Array) -> Array:
        return array + self.tremor * self.rng.uniform(-1, 1, array.shape) * terms


def shaken(spec: Spec, call: Call, seed: int) -> dict[str, Array]:
    """The result in float64, moved on the way by 16 roundings of what is computed in."""
    tremor = 2.0**-49 if spec.dtype is DType.FLOAT64 else 2.0**-20
    wide = {name: plain.widened(array) for name, array in call.items() if name != "query_offset"}
    rounding = Shaken(np.dtype(np.float64), tremor, np.random.default_rng(seed))
    return plain.attention(spec, **wide, query_offset=call.get("query_offset"), rounding=rounding)


def assert_right_where_steady(
    spec: Spec, result: Any, call: Call, more: Mapping[str, float] = MappingProxyType({})
) -> float:
    """The result equals the reference as `assert_right` has it, in rows that stay when they are shaken.

    more     what is allowed beside that, by the name of a result
    Returns  the share of rows that do
    """
    gold = named(spec, reference(spec).attention(**call))
    others = [plain.attention(spec, **call), *(shaken(spec, call, seed) for seed in range(SHAKES))]
    gold, found, *others = (rows_of(spec, each) for each in (gold, named(spec, result), *others))
    near = [is_near(other[name], gold[name]) for name in gold for other in others]
    steady = np.logical_and.reduce(near)
    for name in gold:
        right, (yardstick, *shakes) = gold[name][steady], [other[name][steady] for other in others]
        allowed = 2 * gap(yardstick, right).max(initial=0.0) + room(spec, name, right)
        allowed += more.get(name, 0.0) + 4 * np.max([gap(shake, right) for shake in shakes], axis=0)
        error = gap(found[name][steady], right)
        worst = np.unravel_index((error - allowed).argmax(), error.shape) if error.size else ()
        assert (error <= allowed).all(), f"{name} is {error[worst]:.3g} off, {allowed[worst]:.3g} allowed"
        nothing = found[name][steady][right == 0]
        np.testing.assert_allclose(nothing, 0, rtol=0, atol=more.get(name, 0.0), err_msg=name)
    return float(steady.mean())


def rows_of(spec: Spec, results: dict[str, Array]) -> dict[str, Array]:
    """One row of numbers for each query: (batch, heads, queries, numbers), in float64."""
    out = plain.heads_first(spec, results["out"]).astype(np.float64)
    statistics = (statistic.value for statistic in spec.outputs.statistics)
    return {"out": out} | {name: results[name].astype(np.float64)[..., None] for name in statistics}


def is_near(found: Array, gold: Array) -> Array:
    """For each row: is it roughly the same?"""
    near: Array = (gap(found, gold) <= STRAY * (1 + np.abs(np.nan_to_num(gold)))).all(axis=-1)
    return near


def gap(found: Array, gold: Array) -> Array:
    """Distances; 0 between equal infinities and between NaNs, infinite where only one is such."""
    same = (found == gold) | (np.isnan(found) & np.isnan(gold))
    with np.errstate(invalid="ignore"):
        distance = np.abs(found - gold)
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))
