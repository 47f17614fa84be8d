"""The tables and keys of a spec: what each may hold, its default and its meaning."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Annotated, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from ..base.dtypes import DType, Kind
from ..base.spelling import did_you_mean
from ..expr.interval import MOST_HEADS
from ..expr.tree import INTEGER_LIMIT, REAL_LIMIT, Number
from .names import NAME_PATTERN, similar_name, why_not_a_module, why_not_a_variable, why_not_an_input
from .problems import shown
from .projections import Projections as Projections
from .statistic import Statistic as Statistic
from .tables import Table

MOST_DIM = 1024


class Layout(Enum):
    """Axes of query, key, value and out: b batch, h heads, s sequence, d dim."""

    BHSD = "bhsd"
    BSHD = "bshd"


class Align(Enum):
    """Where the queries stand among the keys by default: from the first key on, or up to the last."""

    START = "start"
    END = "end"


class Axis(Enum):
    """An axis of an input that is as long as one of the call."""

    BATCH = "batch"
    QUERY_HEADS = "query_heads"
    KEY_VALUE_HEADS = "key_value_heads"
    QUERIES = "queries"
    KEYS = "keys"


AXES = tuple(axis.value for axis in Axis)
FLOATS = [dtype.value for dtype in DType if dtype.kind is Kind.REAL]


def mistake(code: str, message: str, label: str, remedy: str = "") -> PydanticCustomError:
    """A validator's complaint, in mhagen's own words."""
    return PydanticCustomError(code, "{message}", {"message": message, "label": label, "remedy": remedy})


def _module_name(name: str) -> str:
    return _legal(name, why_not_a_module)


def _variable_name(name: str) -> str:
    return _legal(name, why_not_a_variable)


def _input_name(name: str) -> str:
    return _legal(name, why_not_an_input)


def _legal(name: str, why_not: Callable[[str], str]) -> str:
    if why := why_not(name):
        remedy = f"write {similar_name(name, why_not)}"
        raise mistake("bad-name", f"{shown(name)} cannot be a name here", why, remedy)
    return name


def _constant(value: object) -> Number:
    if not isinstance(value, bool | int | float):
        raise mistake("wrong-type", "a constant is a number or a condition", "write a number, true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise mistake("not-finite", "a constant must be finite", "infinite, or not a number")
    limit = REAL_LIMIT if isinstance(value, float) else INTEGER_LIMIT
    if abs(value) > limit:
        raise mistake("out-of-range", "this constant is too large", f"at most {limit} in magnitude")
    return value


def _axis(value: object) -> str | int:
    if isinstance(value, str) and value in AXES:
        return value
    if isinstance(value, str):
        remedy = did_you_mean(value, AXES) or "one of " + ", ".join(AXES)
        raise mistake(
            "unknown-value",
            f"{shown(value)} is not an axis",
            "write a length, or the name of an axis",
            remedy,
        )
    if not isinstance(value, int) or isinstance(value, bool):
        raise mistake(
            "wrong-type", "an axis is a name or a length", "write a name or an integer", ", ".join(AXES)
        )
    if not 1 <= value <= INTEGER_LIMIT:
        raise mistake("out-of-range", "an axis has a length of 1 or more", f"1 to {INTEGER_LIMIT}")
    return value


def _floats(dtype: DType) -> DType:
    if dtype.kind is not Kind.REAL:
        raise mistake(
            "unknown-value",
            f"attention cannot be computed in {dtype.value}",
            "needs a float",
            ", ".join(FLOATS),
        )
    return dtype


def _from_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


ModuleName: TypeAlias = Annotated[
    str, AfterValidator(_module_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})
]
VariableName: TypeAlias = Annotated[str, AfterValidator(_variable_name)]
InputName: TypeAlias = Annotated[str, AfterValidator(_input_name)]
ConstantValue: TypeAlias = Annotated[
    Number, PlainValidator(_constant), WithJsonSchema({"type": ["number", "boolean"]})
]
FloatDType: TypeAlias = Annotated[
    DType, Field(strict=False), AfterValidator(_floats), WithJsonSchema({"type": "string", "enum": FLOATS})
]
AxisSize: TypeAlias = Annotated[
    str | int,
    PlainValidator(_axis),
    WithJsonSchema(
        {"anyOf": [{"enum": list(AXES)}, {"type": "integer", "minimum": 1, "maximum": INTEGER_LIMIT}]}
    ),
]
QueryHead: TypeAlias = Annotated[int, Field(ge=0, lt=MOST_HEADS)]
HeadList: TypeAlias = Annotated[tuple[QueryHead, ...], BeforeValidator(_from_list)]


class Heads(Table):
    """How many heads there are, and how wide they are."""

    query: int = Field(ge=1, le=MOST_HEADS, description="Number of query heads.", examples=[12])
    key_value: int = Field(
        default_factory=lambda given: given["query"],
        ge=1,
        le=MOST_HEADS,
        description="Number of key/value heads; must divide `query`. Query head h reads key/value head "
        "h // (query / key_value). Default: as many as `query`.",
        examples=[4],
    )
    dim: int = Field(
        ge=1, le=MOST_DIM, description="Width of a query and of a key, in numbers per head.", examples=[64]
    )
    value_dim: int = Field(
        default_factory=lambda given: given["dim"],
        ge=1,
        le=MOST_DIM,
        description="Width of a value and of the output, in numbers per head. Default: `dim`.",
        examples=[64],
    )
    pruned: HeadList = Field(
        default=(),
        description="Query heads that do no work: attention gives 0 there, layer skips their weights.",
        examples=[[3, 7]],
    )


class Scores(Table):
    """How the product of a query and a key becomes a score."""

    scale: float | None = Field(
        default=None,
        ge=-REAL_LIMIT,
        le=REAL_LIMIT,
        allow_inf_nan=False,
        description="Factor of the product of query and key, applied before `modify`. Default: dim ** -0.5.",
        examples=[0.125],
    )
    modify: str | None = Field(
        default=None,
        description="Expression that replaces the score: of `score` (already scaled), b, h, q, k, constants, "
        "inputs.",
        examples=["cap * tanh(score / cap)"],
    )


class Mask(Table):
    """Which keys a query sees."""

    keep: str | None = Field(
        default=None,
        description="Condition for query position q to see key position k: of b, h, q, k, constants, inputs. "
        "Default: every query sees every key.",
        examples=["k <= q"],
    )
    align: Align = Field(
        default=Align.START,
        strict=False,
        description="Where queries stand when a call gives no query_offset: start: offset 0; end: offset "
        "keys - queries, so that the last query stands at the last key.",
        examples=["end"],
    )


class Softmax(Table):
    """How scores become weights."""

    sink: str | None = Field(
        default=None,
        description="Expression of one more logit in the denominator, whose share of the weights no value "
        "gets: of b, h, q, constants, inputs.",
        examples=["sink[h]"],
    )


class Input(Table):
    """A run-time array that expressions may index; a keyword argument of attention()."""

    shape: Annotated[tuple[AxisSize, ...], BeforeValidator(_from_list)] = Field(
        min_length=1,
        max_length=4,
        description="Its axes: batch, query_heads, key_value_heads, queries, keys, or a length.",
        examples=[["query_heads"]],
    )
    dtype: DType = Field(
        default=DType.FLOAT32, strict=False, description="Its number format.", examples=["int32"]
    )


class GroupMask(Table):
    """Which keys a query of a group sees; where queries stand is one thing for all heads of a call."""

    keep: str | None = Field(
        default=None,
        description="Their own mask.keep; `True`: every key is seen.",
        examples=["k <= q and q - k < window"],
    )


class Group(Table):
    """Query heads that differ from the others: what they set here replaces what the spec says."""

    heads: HeadList = Field(min_length=1, description="These query heads, counted from 0.", examples=[[0, 1]])
    scores: Scores = Field(default=Scores(), description="Their own [scores], as far as given.")
    mask: GroupMask = Field(default=GroupMask(), description="Their own [mask], as far as given.")
    softmax: Softmax = Field(default=Softmax(), description="Their own [softmax], as far as given.")


class Outputs(Table):
    """What a kernel returns beside its output."""

    statistics: Annotated[
        tuple[Annotated[Statistic, Field(strict=False)], ...], BeforeValidator(_from_list)
    ] = Field(
        default=(),
        description="Returned with the output, in this order: numbers of each query, or of each key.",
        examples=[["lse"]],
    )


class Fields(Table):
    """A spec's keys, each right by itself; whether they fit together is for `rules`."""

    name: ModuleName = Field(
        description="Name of the kernel's module: a lower-case letter, then lower-case letters, digits or _.",
        examples=["causal_gqa"],
    )
    dtype: FloatDType = Field(
        default=DType.FLOAT32,
        description="Number format of query, key, value and out.",
        examples=["float32"],
    )
    # What has no description here has that of its type.
    layout: Layout = Field(default=Layout.BHSD, strict=False, examples=["bhsd"])
    heads: Heads = Field(examples=[{"query": 12, "dim": 64}])
    scores: Scores = Scores()
    mask: Mask = Mask()
    softmax: Softmax = Softmax()
    constants: dict[VariableName, ConstantValue] = Field(
        default={}, max_length=64, description="Numbers that expressions may name."
    )
    inputs: dict[InputName, Input] = Field(
        default={}, max_length=16, description="Run-time arrays that expressions may index."
    )
    groups: Annotated[tuple[Group, ...], BeforeValidator(_from_list)] = Field(
        default=(), max_length=MOST_HEADS, description="Query heads that differ from the others."
    )
    projections: Projections | None = None
    outputs: Outputs = Outputs()
