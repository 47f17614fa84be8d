"""Cosines and sines of positions, as the kernel of a layer's products reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .turning import Scaling as Scaling
from .turning import Turning as Turning

# Positions of a table begin and end at multiples of this: the next tokens of a sequence find theirs there.
STEP = 256


@dataclass(frozen=True)
class Table:
    """The turns of some positions in a row, for one set of rates.

    Shapes   turns (positions, 2, pairs filled up to whole vectors): the cosines, then the sines
    """

    rates: tuple[float, ...]
    first: int
    turns: np.ndarray

    def serves(self, rates: tuple[float, ...], first: int, end: int) -> bool:
        return self.rates == rates and self.first <= first and end <= self.first + len(self.turns)


@dataclass(frozen=True)
class Turns:
    """What the kernel reads: the turns, and for each row of queries and of keys which are its own."""

    turns: np.ndarray
    of_queries: np.ndarray  # (batch * queries,) int64
    of_keys: np.ndarray  # (batch * keys,) int64


class Rotation:
    """The turns of a module's queries and keys; the table of the last call is kept for the next.

    Numbers  angles in float64, cosines and sines rounded once to what is computed in
    """

    def __init__(self, turning: Turning, *, computed: str, lanes: int) -> None:
        self.turning = turning
        self.computed = np.dtype(computed)
        self.width = -(-turning.dim // (2 * lanes)) * lanes
        self._rates = turning.rates(0)
        self._table = Table((), 0, np.empty((0, 2, 0)))

    def turns(self, queries: int, keys: int, query_offset: np.ndarray) -> Turns:
        """Shapes   query_offset (batch,) int64."""
        rates = self.turning.rates(keys) if self.turning.depends_on_keys else self._rates
        batch = len(query_offset)
        of_queries = (query_offset[:, np.newaxis] + np.arange(queries, dtype=np.int64)).reshape(-1)
        of_keys = np.tile(np.arange(keys, dtype=np.int64), batch)
        if of_queries.size == 0 or of_keys.size == 0:
            return Turns(self.made(rates, np.zeros(1, np.int64)), 0 * of_queries, 0 * of_keys)
        first = min(int(query_offset.min()), 0)
        end = max(int(query_offset.max()) + queries, keys)
        if end - first > 2 * (of_queries.size + keys) + STEP:  # far apart: a table of all between is a waste
            positions, rows = np.unique(np.concatenate((of_queries, of_keys)), return_inverse=True)
            rows = rows.reshape(-1).astype(np.int64)
            return Turns(self.made(rates, positions), rows[: of_queries.size], rows[of_queries.size :])
        table = self.table(rates, first, end)
        return Turns(table.turns, of_queries - table.first, of_keys - table.first)

    def table(self, rates: tuple[float, ...], first: int, end: int) -> Table:
        """The table of these positions, or one with more: threads may each make one, and all are right."""
        table = self._table
        if not table.serves(rates, first, end):
            first, end = first // STEP * STEP, -(-end // STEP) * STEP
            table = Table(rates, first, self.made(rates, np.arange(first, end)))
            self._table = table
        return table

    def made(self, rates: tuple[float, ...], positions: np.ndarray) -> np.ndarray:
        angles = positions[:, np.newaxis] * np.array(rates)
        turns = np.zeros((len(positions), 2, self.width), self.computed)
        turns[:, 0, : len(rates)] = self.turning.attention_factor * np.cos(angles)
        turns[:, 1, : len(rates)] = self.turning.attention_factor * np.sin(angles)
        return turns
