"""Specs whose scores and masks are Python functions mean what the same expressions in TOML mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mhagen
from mhagen.base.errors import SpecError
from mhagen.base.source import Source
from mhagen.pipeline import compile_to_source
from mhagen.spec.fields import Mask
from mhagen.spec.load import load_spec

HEADS = {"query": 4, "dim": 32}
TOML = """
name = "traced"
[heads]
query = 8
key_value = 2
dim = 64
[scores]
modify = "cap * tanh(score / cap) + slope[h] * (k - q)"
[mask]
keep = "k <= q and q - k < window and segment[b, q] == segment[b, k]"
align = "end"
[constants]
cap = 30.0
window = 256
[inputs.slope]
shape = ["query_heads"]
[inputs.segment]
shape = ["batch", "keys"]
dtype = "int32"
"""
TRACED: dict[str, Any] = {
    "name": "traced",
    "heads": {"query": 8, "key_value": 2, "dim": 64},
    "score": lambda score, b, h, q, k, slope, cap: cap * mhagen.tanh(score / cap) + slope[h] * (k - q),
    "keep": lambda b, h, q, k, window, segment: (
        (k <= q) & (q - k < window) & (segment[b, q] == segment[b, k])
    ),
    "mask": Mask(align="end"),
    "constants": {"cap": 30.0, "window": 256},
    "inputs": {
        "slope": {"shape": ["query_heads"]},
        "segment": {"shape": ["batch", "keys"], "dtype": "int32"},
    },
}


def test_a_spec_of_functions_equals_the_one_of_texts() -> None:
    assert mhagen.Spec(**TRACED) == load_spec(Source("traced.toml", TOML))


def test_a_kernel_of_functions_is_the_kernel_of_texts_byte_for_byte() -> None:
    texts = compile_to_source(load_spec(Source("traced.toml", TOML)), tune="never")[-1].text
    assert compile_to_source(mhagen.Spec(**TRACED), tune="never")[-1].text == texts


def test_a_spec_of_functions_is_written_as_the_toml_that_it_means(tmp_path: Path) -> None:
    spec = mhagen.Spec(**TRACED)
    path = tmp_path / "traced.toml"
    path.write_text(spec.to_toml())
    assert load_spec(path) == spec
    assert 'keep = "k <= q and q - k < window and segment[b, q] == segment[b, k]"' in path.read_text()


def problems(**keys: Any) -> list[tuple[str, str]]:
    with pytest.raises(mhagen.SpecError) as caught:
        mhagen.Spec(**{"name": "wrong", "heads": HEADS, **keys})
    return [(found.code, found.place) for found in caught.value.diagnostics]


def test_all_mistakes_of_a_spec_are_told_at_once() -> None:
    found = problems(
        heads={"query": 4, "key_value": 3, "dim": 32},
        score=lambda score, b, h, q, k: min(score, 1),
        keep=lambda b, h, q, k: q - k,
    )
    assert [code for code, _ in found] == ["not-yet-decided", "heads-not-divisible", "needs-condition"]
    assert found[0][1].startswith(f"score at {__file__}:")


def test_a_mistake_of_values_has_its_caret_in_the_traced_text() -> None:
    with pytest.raises(mhagen.SpecError) as caught:
        mhagen.Spec(name="wrong", heads=HEADS, score=lambda score, b, h, q, k: score + q % k)
    assert str(caught.value).splitlines()[1:4] == [
        "  score, as traced:1:13",
        "    1 | score + q % k",
        "      |             ^ it goes from 0 to 1073741823: write max(1, k), or another expression that is "
        "never 0",
    ]


def test_a_function_and_a_text_for_one_thing_are_one_too_many() -> None:
    found = problems(score=lambda score, b, h, q, k: score, scores={"modify": "score"})
    assert found == [("given-twice", "score")]


def test_a_mistake_in_what_a_function_names_is_told_once() -> None:
    found = problems(score=lambda score, b, h, q, k, cap: score * cap, constants={"cap": "30"})
    assert found == [("wrong-type", "constants.cap")]


def test_a_table_that_is_wrong_is_left_to_its_own_error() -> None:
    assert problems(score=lambda score, b, h, q, k: score, scores=3) == [("wrong-type", "scores")]


GROUPED: dict[str, Any] = {
    "groups": [
        {"heads": [0, 2], "keep": lambda b, h, q, k, window: (k <= q) & (q - k < window + h)},
        {"heads": [1], "score": lambda score, b, h, q, k: score - abs(q - k), "softmax": {"sink": "0.0"}},
        {"heads": [3]},
    ],
    "constants": {"window": 16},
}


def test_a_group_has_functions_of_its_own() -> None:
    spec = mhagen.Spec(name="grouped", heads=HEADS, keep=lambda b, h, q, k: k <= q, **GROUPED)
    texts = [
        {"heads": [0, 2], "mask": {"keep": "k <= q and q - k < window + h"}},
        {"heads": [1], "scores": {"modify": "score - abs(q - k)"}, "softmax": {"sink": "0.0"}},
        {"heads": [3]},
    ]
    written = {"name": "grouped", "heads": HEADS, "mask": {"keep": "k <= q"}, "constants": {"window": 16}}
    assert spec == load_spec({**written, "groups": texts})
    assert load_spec(Source("grouped.toml", spec.to_toml())) == spec
    assert callable(GROUPED["groups"][0]["keep"])  # what was given is as it was


def test_a_mistake_in_a_function_of_a_group_names_the_group() -> None:
    groups = [
        {"heads": [0], "keep": lambda b, h, q, k: 0 <= q - k < 9},
        {"heads": [1], "score": lambda score, b, h, q, k: q % k},
        {"heads": [2], "mask": {"keep": "k <= q"}, "keep": lambda b, h, q, k: k <= q},
        {"heads": [3], "mask": 3, "keep": lambda b, h, q, k: k <= q},
    ]
    with pytest.raises(mhagen.SpecError) as caught:
        mhagen.Spec(name="wrong", heads=HEADS, groups=groups)
    found = {each.code: each.place for each in caught.value.diagnostics}
    assert found.pop("not-yet-decided").startswith(f"groups[0].keep at {__file__}:")
    assert found == {
        "given-twice": "groups[2].keep",
        "wrong-type": "groups[3].mask",
        "divisor-can-be-zero": "groups[1].scores.modify",
    }
    assert "groups[1].score, as traced:1:5" in str(caught.value)


def test_a_keep_of_a_group_that_is_no_function_is_told_where_texts_stand() -> None:
    with pytest.raises(mhagen.SpecError, match=r"it belongs into \[mask\]"):
        mhagen.Spec(name="wrong", heads=HEADS, groups=[{"heads": [0], "keep": "k <= q"}])


def test_files_and_mappings_know_no_functions() -> None:
    with pytest.raises(mhagen.SpecError, match="unknown-key"):
        load_spec({"name": "tiny", "heads": HEADS, "score": lambda score, b, h, q, k: score})


def test_a_kernel_can_be_built_of_functions() -> None:
    import numpy as np

    spec = mhagen.Spec(name="reach", heads={"query": 2, "dim": 16}, keep=lambda b, h, q, k: abs(q - k) < 3)
    array = np.random.default_rng(0).standard_normal((1, 2, 20, 16), dtype=np.float32)
    expected = mhagen.reference(spec).attention(array, array, array)
    np.testing.assert_allclose(mhagen.build(spec).attention(array, array, array), expected, atol=1e-5)


HINTS: dict[str, tuple[dict[str, Any], str]] = {
    "a function in a group": (
        {"groups": [{"heads": [1], "mask": {"keep": lambda b, h, q, k: k <= q}}]},
        'in mhagen.Spec a function is keep=..., of a group its key "keep"',
    ),
    "a function in a table": (
        {"scores": {"modify": lambda score, b, h, q, k: score}},
        'in mhagen.Spec a function is score=..., of a group its key "score"',
    ),
    "a function for a table": (
        {"mask": lambda b, h, q, k: k <= q},
        'in mhagen.Spec a function is keep=..., of a group its key "keep"',
    ),
    "a function by the name that FlexAttention has": (
        {"score_mod": lambda score, b, h, q, k: score},
        'in mhagen.Spec a function is score=..., of a group its key "score"',
    ),
    "an array for its declaration": (
        {"inputs": {"table": [[True, False]]}},
        "declare its shape and dtype: the array itself is an argument of every call",
    ),
    "a condition without quotes": ({"mask": {"keep": True}}, 'write "True", in quotes'),
    "one table for a list of tables": ({"groups": {"heads": [1]}}, r"write \[\[groups\]\], once for each"),
}


@pytest.mark.parametrize(("given", "hint"), HINTS.values(), ids=HINTS.keys())
def test_what_is_wrong_is_told_with_what_to_write(given: dict[str, Any], hint: str) -> None:
    with pytest.raises(SpecError, match=hint):
        load_spec({"name": "small", "heads": {"query": 2, "dim": 8}, **given})
