"""The public grid: the calls whose speed counts, each a spec and the lengths of one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..base.dtypes import DType
from ..base.errors import InputError
from ..base.spelling import did_you_mean

Keys = Mapping[str, Any]  # of a spec, as in TOML

CAUSAL: Keys = {"mask": {"keep": "k <= q"}}
SLIDING: Keys = {"mask": {"keep": "k <= q and q - k < window"}, "constants": {"window": 512}}
ALIBI_SOFTCAP: Keys = {
    **CAUSAL,
    "scores": {"modify": "cap * tanh(score / cap) + slope[h] * (k - q)"},
    "constants": {"cap": 30.0},
    "inputs": {"slope": {"shape": ["query_heads"]}},
}
LAYER: Keys = {"projections": {"model_dim": 768, "bias": True, "output_bias": True}}
DTYPES = (DType.FLOAT32, DType.BFLOAT16)


@dataclass(frozen=True)
class Row:
    """One call to measure.

    `beside` names the row whose kernel is timed with it: what counts then is the time of one operation here
    over the time of one there.
    """

    name: str
    title: str
    keys_of_spec: Keys
    batch: int
    queries: int
    keys: int
    beside: str | None = None

    def spec(self, dtype: DType) -> dict[str, Any]:
        """The spec as `load_spec` takes it."""
        name = self.name.lower().replace(" ", "_")
        return {"name": f"{name}_{dtype.value}", "dtype": dtype.value, **self.keys_of_spec}


def heads(query: int, dim: int, key_value: int | None = None, **other_keys: Any) -> Keys:
    return {"heads": {"query": query, "key_value": key_value or query, "dim": dim}, **other_keys}


GRID = (
    Row("P1", "12 heads, 1024 tokens, dim 64", heads(12, 64), 1, 1024, 1024),
    Row("P2", "12 heads, 1024 tokens, dim 64, causal", heads(12, 64, **CAUSAL), 1, 1024, 1024),
    Row("P3", "16 heads, 4096 tokens, dim 64, causal", heads(16, 64, **CAUSAL), 1, 4096, 4096),
    Row("P4", "32 heads, 2048 tokens, dim 128, causal", heads(32, 128, **CAUSAL), 1, 2048, 2048),
    Row("P4 dense", "32 heads, 2048 tokens, dim 128", heads(32, 128), 1, 2048, 2048),
    Row("P5", "batch 32, 12 heads, 128 tokens, dim 64", heads(12, 64), 32, 128, 128),
    Row("P5 causal", "batch 32, 12 heads, 128 tokens, dim 64, causal", heads(12, 64, **CAUSAL), 32, 128, 128),
    Row("P6", "8 heads, 16 tokens, dim 64", heads(8, 64), 1, 16, 16),
    Row("P7", "1 query, 32 heads on 8, 4096 keys, dim 128", heads(32, 128, 8), 1, 1, 4096),
    Row("P8", "1 query, 32 heads, 4096 keys, dim 128", heads(32, 128), 1, 1, 4096),
    Row(
        "P9",
        "8 heads, 8192 tokens, dim 64, causal, window 512",
        heads(8, 64, **SLIDING),
        *(1, 8192, 8192),
        beside="P1",
    ),
    Row("P10", "layer of width 768, 12 heads, 1024 tokens", heads(12, 64, **LAYER), 1, 1024, 1024),
    Row(
        "P11",
        "as P2, with ALiBi and soft-capped scores",
        heads(12, 64, **ALIBI_SOFTCAP),
        *(1, 1024, 1024),
        beside="P2",
    ),
)
NAMES = tuple(row.name for row in GRID)


def row_named(name: str) -> Row:
    """Raises   InputError for a name that the grid does not have."""
    for row in GRID:
        if row.name.lower() == name.strip().lower():
            return row
    remedy = did_you_mean(name, NAMES) or "one of " + ", ".join(NAMES)
    raise InputError(f"the grid has no row {name.strip()[:32]!r}: {remedy}")
