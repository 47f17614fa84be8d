"""Rotary position embedding: by which angle each pair of numbers turns from one position to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

Rates: TypeAlias = tuple[float, ...]


class Scaling(Enum):
    """How a model serves longer sequences than it was trained with.

    LINEAR: positions are interpolated; NTK: a greater base; DYNAMIC: a base that grows with the number of
    keys; LLAMA3: interpolated where a turn takes long; YARN: so too, and with longer vectors.
    """

    NONE = "none"
    LINEAR = "linear"
    NTK = "ntk"
    DYNAMIC = "dynamic"
    LLAMA3 = "llama3"
    YARN = "yarn"


@dataclass(frozen=True)
class Turning:
    """How fast the pairs of a head turn. The names of fields are those of rope_scaling in Transformers.

    Units    dim counts the numbers of a head that turn, two in a pair; rates are radians a position
    """

    dim: int
    base: float = 10000.0
    scaling: Scaling = Scaling.NONE
    factor: float = 1.0
    original_max_position_embeddings: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0  # by which queries and keys become longer as they are turned

    def rates(self, keys: int) -> Rates:
        """The angle of each pair between neighbouring positions, where so many keys are looked at."""
        match self.scaling:
            case Scaling.NONE:
                return self.plain(self.base)
            case Scaling.LINEAR:
                return self.blended((1.0,) * (self.dim // 2))
            case Scaling.NTK:
                return self.plain(self.stretched(self.factor))
            case Scaling.DYNAMIC:
                longer = max(keys / self.original_max_position_embeddings, 1.0)
                return self.plain(self.stretched(self.factor * longer - (self.factor - 1.0)))
            case Scaling.LLAMA3:
                return self.blended(self.share_of_long_turns())
            case Scaling.YARN:
                return self.blended(self.share_of_few_turns())
            case _:
                assert_never(self.scaling)

    @property
    def depends_on_keys(self) -> bool:
        return self.scaling is Scaling.DYNAMIC

    def plain(self, base: float) -> Rates:
        return tuple(base ** (-pair / self.dim) for pair in range(0, self.dim, 2))

    def stretched(self, factor: float) -> float:
        """The base with which the slowest pair turns `factor` times as slowly."""
        return float(self.base * factor ** (self.dim / (self.dim - 2)))

    def blended(self, shares: Rates) -> Rates:
        """Interpolated rates by their shares, and plain ones for the rest."""
        pairs = zip(self.plain(self.base), shares, strict=True)
        return tuple(rate * (1.0 - share) + rate / self.factor * share for rate, share in pairs)

    def share_of_long_turns(self) -> Rates:
        """1 where a turn takes more than original / low positions, 0 where less than original / high."""
        turns = (self.original_max_position_embeddings * rate / math.tau for rate in self.plain(self.base))
        width = self.high_freq_factor - self.low_freq_factor
        return tuple(clipped((self.high_freq_factor - each) / width) for each in turns)

    def share_of_few_turns(self) -> Rates:
        """0 for pairs with beta_fast turns or more in the original length, 1 for beta_slow or fewer."""
        first, last = self.pair_of(self.beta_fast), self.pair_of(self.beta_slow)
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = (min(max(each, 0), self.dim - 1) for each in (first, last))
        width = last - first if last != first else 0.001
        return tuple(clipped((pair - first) / width) for pair in range(self.dim // 2))

    def pair_of(self, turns: float) -> float:
        """The number of the pair, not a whole one, that makes so many turns in the original length."""
        positions = self.original_max_position_embeddings / (turns * math.tau)
        return self.dim * math.log(positions) / (2 * math.log(self.base))


def clipped(share: float) -> float:
    return min(max(share, 0.0), 1.0)
