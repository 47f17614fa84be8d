"""A spec is written as TOML that means it, whatever is in it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhagen.base.source import Source
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
HEADS = {"query": 12, "dim": 64}
EVERY_KEY: dict[str, Any] = {
    "name": "every_key",
    "dtype": "bfloat16",
    "layout": "bshd",
    "heads": {"query": 1024, "key_value": 2, "dim": 8, "value_dim": 4, "pruned": list(range(7, 1000))},
    "scores": {"scale": 1e-30, "modify": "cap * tanh(score / cap)"},
    "mask": {"keep": "k <= q", "align": "end"},
    "softmax": {"sink": "sink[h]"},
    "constants": {"cap": 1e30, "exact": True, "zero": -0.0, "window": -5},
    "inputs": {"sink": {"shape": ["query_heads"]}, "bias": {"shape": [5, "keys"], "dtype": "bool"}},
    "groups": [{"heads": [1, 2], "mask": {"keep": "k < q"}, "scores": {"scale": 0.5}}, {"heads": [3]}],
    "projections": {"model_dim": 8, "bias": True, "rotary": {"base": 1e5}},
    "outputs": {"statistics": ["lse", "max"]},
}


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_every_example_is_written_as_what_it_means(path: Path) -> None:
    spec = load_spec(path)
    assert load_spec(Source("written.toml", spec.to_toml())) == spec


def test_every_key_is_written() -> None:
    spec = Spec(**EVERY_KEY)
    text = spec.to_toml()
    assert Spec(**tomllib.loads(text)) == spec
    assert {key for key in EVERY_KEY if key not in tomllib.loads(text)} == set()
    assert max(map(len, text.splitlines())) <= 110


def test_what_is_left_out_stays_out() -> None:
    assert Spec(name="tiny", heads=HEADS).to_toml().splitlines() == [
        *('name = "tiny"', "", "[heads]", "query = 12", "key_value = 12", "dim = 64", "value_dim = 64")
    ]


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(-(2**31) + 1, 2**31 - 1))
def test_numbers_keep_every_digit(real: float, integer: int) -> None:
    spec = Spec(name="tiny", heads=HEADS, constants={"real": real, "integer": integer, "flag": True})
    loaded = load_spec(Source("written.toml", spec.to_toml()))
    assert repr(loaded.constants) == repr(spec.constants)
