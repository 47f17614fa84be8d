"""The keys of [projections]: the linear maps around attention, and what follows them before it."""

from __future__ import annotations

import math
from enum import Enum
from typing import Annotated, TypeAlias

from pydantic import Field

from ..base.turning import Scaling, Turning
from ..expr.tree import REAL_LIMIT
from .tables import Table

MOST_MODEL_DIM = 65536
MOST_ROTARY_DIM = 1024
# Scalings that have to know how long sequences were in training.
KNOWS_LENGTH = (Scaling.DYNAMIC, Scaling.LLAMA3, Scaling.YARN)
# The keys of [projections.rotary.scaling] that only some types read.
READ_BY: dict[str, tuple[Scaling, ...]] = {
    "factor": tuple(each for each in Scaling if each is not Scaling.NONE),
    "original_max_position_embeddings": KNOWS_LENGTH,
    "low_freq_factor": (Scaling.LLAMA3,),
    "high_freq_factor": (Scaling.LLAMA3,),
    "beta_fast": (Scaling.YARN,),
    "beta_slow": (Scaling.YARN,),
    "truncate": (Scaling.YARN,),
    "attention_factor": (Scaling.YARN,),
}

Positive: TypeAlias = Annotated[float, Field(gt=0, le=REAL_LIMIT, allow_inf_nan=False)]
# Of a whole training length: a pair that turns less stands still, and far less leaves what a float can count.
LEAST_TURNS = 1e-6
Turns: TypeAlias = Annotated[float, Field(ge=LEAST_TURNS, le=REAL_LIMIT, allow_inf_nan=False)]


class RotaryLayout(Enum):
    """Which numbers of a head turn together: number i and i + dim / 2 (half), or neighbours (interleaved)."""

    HALF = "half"
    INTERLEAVED = "interleaved"


class RotaryScaling(Table):
    """How rotary positions reach beyond the length of training."""

    type: Scaling = Field(
        strict=False,
        description="What is scaled: linear, ntk, dynamic, llama3 or yarn; none.",
        examples=["yarn"],
    )
    factor: float | None = Field(
        default=None,
        ge=1,
        le=REAL_LIMIT,
        allow_inf_nan=False,
        description="How many times as long sequences may become: every type but none needs it.",
        examples=[8.0],
    )
    original_max_position_embeddings: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="The length of sequences in training: dynamic, llama3 and yarn need it.",
        examples=[8192],
    )
    low_freq_factor: Turns = Field(
        default=1.0, description="llama3: pairs with fewer turns in the original length are interpolated."
    )
    high_freq_factor: Turns = Field(
        default=4.0, description="llama3: pairs with more turns in the original length stay as they are."
    )
    beta_fast: Turns = Field(
        default=32.0, description="yarn: pairs with more turns in the original length stay as they are."
    )
    beta_slow: Turns = Field(
        default=1.0, description="yarn: pairs with fewer turns in the original length are interpolated."
    )
    truncate: bool = Field(
        default=True, description="yarn: whether the ends of the ramp are moved outwards to whole pairs."
    )
    attention_factor: Positive | None = Field(
        default=None,
        description="yarn: factor of turned queries and keys. Default: 0.1 * ln(factor) + 1.",
        examples=[1.0],
    )


class Rotary(Table):
    """Rotary position embedding of queries and keys."""

    base: float = Field(
        default=10000.0,
        gt=1,
        le=REAL_LIMIT,
        allow_inf_nan=False,
        description="Base of the rotation frequencies: rope_theta.",
        examples=[10000.0],
    )
    layout: RotaryLayout = Field(
        default=RotaryLayout.HALF,
        strict=False,
        description="Which numbers of a head turn together: half: i and i + dim / 2, as in GPT-NeoX and "
        "Llama; interleaved: neighbours, as in GPT-J.",
        examples=["half"],
    )
    dim: int | None = Field(
        default=None,
        ge=2,
        le=MOST_ROTARY_DIM,
        description="How many numbers of a head turn, from its first one on: even. Default: all of them.",
        examples=[64],
    )
    scaling: RotaryScaling | None = Field(
        default=None, description="How positions reach beyond the length of training."
    )

    def turning(self, head_dim: int) -> Turning:
        """How fast the pairs of heads of this width turn."""
        dim, scaling = self.dim or head_dim, self.scaling
        if scaling is None or scaling.type is Scaling.NONE:
            return Turning(dim, self.base)
        given = scaling.model_dump(exclude_none=True, exclude={"type"})
        if scaling.type is Scaling.YARN and scaling.attention_factor is None:
            given["attention_factor"] = 0.1 * math.log(given["factor"]) + 1.0
        return Turning(dim, self.base, scaling.type, **given)


class QkNorm(Table):
    """RMS norm of each head's query and key, before they are turned; its weights are q_norm and k_norm."""

    eps: float = Field(
        default=1e-6,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="What is added to the mean of squares.",
        examples=[1e-6],
    )


class Projections(Table):
    """The linear maps around attention that make a whole layer; without them there is only attention()."""

    model_dim: int = Field(
        ge=1, le=MOST_MODEL_DIM, description="Width of a row of x, in numbers.", examples=[768]
    )
    bias: bool = Field(default=False, description="Whether query, key and value add biases bq, bk, bv.")
    output_bias: bool = Field(default=False, description="Whether the output adds a bias bo.")
    qk_norm: QkNorm | None = Field(
        default=None, description="RMS norm of each head's query and key, with weights q_norm and k_norm."
    )
    rotary: Rotary | None = Field(default=None, description="Turn queries and keys by their position.")
