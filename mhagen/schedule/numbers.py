"""In which formats the numbers of a kernel lie in memory, and in which it computes."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.dtypes import DType
from ..base.target import Target


@dataclass(frozen=True)
class Numbers:
    """The formats of a kernel, and the words that read and write them.

    Terms    stored: query, key, value and out as the caller has them; computed: vectors in registers
    """

    stored: DType
    computed: DType
    pairs: bool  # products are of pairs of stored numbers, summed as they are computed
    lanes: int
    realigns: bool  # values are multiplied as they lie, but not where vectors cross the ends of cache lines

    @property
    def staged(self) -> bool:
        """Are keys and values widened, a block at a time, before they are multiplied?"""
        return self.stored is not self.computed and not self.pairs

    @property
    def narrow(self) -> bool:
        """Are fewer digits stored than computed?"""
        return self.stored is not self.computed

    @property
    def copied(self) -> bool:
        """Are values multiplied where they are copied to, a block at a time: always, or as they lie?"""
        return self.narrow or self.realigns

    @property
    def bytes(self) -> int:
        """Bytes of a computed number."""
        return self.computed.bytes

    @property
    def vector_bytes(self) -> int:
        return self.lanes * self.computed.bytes

    @property
    def stored_vector_bytes(self) -> int:
        """Bytes in memory of as many stored numbers as a vector has lanes."""
        return self.lanes * self.stored.bytes

    @property
    def together(self) -> int:
        """How many neighbours one step of a product multiplies at once."""
        return 2 if self.pairs else 1

    def vectors_of(self, dim: int) -> int:
        """Vectors that a row of so many stored numbers takes where it is multiplied."""
        return -(-(dim // self.together) // self.lanes)

    @property
    def step(self) -> int:
        """Bytes of a row of keys that one step of a product reads."""
        return self.together * self.stored.bytes if self.pairs else self.computed.bytes

    @property
    def multiply(self) -> str:
        """The word that multiplies vectors and adds to a third."""
        return "dot_pairs" if self.pairs else "fma"

    def read(self, place: str, count: str = "") -> str:
        """The text that reads a vector of stored numbers as computed ones, or the first `count` of them."""
        first = "_first" if count else "_lanes" if self.narrow else ""
        word = f"load_{self.stored.value}{first}" if self.narrow else f"load{first}"
        return f"{word}({place}, {count})" if count else f"{word}({place})"

    @property
    def store(self) -> str:
        """The word that writes a vector of stored numbers."""
        return f"store_{self.stored.value}_lanes" if self.narrow else "store"

    @property
    def store_first(self) -> str:
        return f"store_{self.stored.value}_first" if self.narrow else "store_first"

    @property
    def statistic(self) -> DType:
        """The format of statistics: that of computing."""
        return self.computed


def numbers_of(dtype: DType, target: Target, multiplied: tuple[int, ...]) -> Numbers:
    """The formats of a kernel of this dtype; `multiplied` are the lengths of its products.

    Pairs never reach over the end of a row: every length has to be even for them.
    """
    computed = DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32
    even = all(length % 2 == 0 for length in multiplied)
    pairs = target.pair_dtype == dtype.value and even
    realigns = target.realigns and computed is dtype
    return Numbers(dtype, computed, pairs, target.lanes_of(computed.value), realigns)
