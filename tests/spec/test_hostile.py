"""Whatever a spec holds, the answer is a spec or an error of mhagen's, soon and without much memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen.base.errors import MhagenError, SpecError
from mhagen.base.source import Source
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec
from mhagen.spec.toml import decode

from .test_load import WHOLE

SECONDS = 1.0
MEGABYTES = 64

HUGE = {
    "one key of 60 kB": ".".join("a" * 30_000) + " = 1",
    "keys with dots on many lines": "\n".join(f"{'.'.join('abcdefgh')}.k{n} = 1" for n in range(3000)),
    "keys with a long prefix": "\n".join(".".join(["a"] * 900) + f".k{n} = 1" for n in range(30)),
    "dots in an inline table": "x = { " + ".".join("a" * 1900) + " = 1 }",
    "nested lists": "x = " + "[" * 2000 + "]" * 2000,
    "nested tables": "x = " + "{a=" * 1000 + "1" + "}" * 1000,
    "lists nested over lines": "x = [\n" * 9000,
    "unclosed strings": 'x = """' * 9000,
    "quotes": '"' * 4000 + "\n" + "'" * 4000,
    "quotes over lines": '"""\n' * 9000,
    "backslashes": '"' + "\\" * 4000,
    "a long word": "a" * 4000 + "\n" + "b " * 2000,
    "many tables": "\n".join(f"[t{n}]" for n in range(6000)),
    "many arrays of tables": "[[groups]]\n" * 5000,
    "many constants": "[constants]\n" + "\n".join(f"c{n} = {n}" for n in range(3000)),
    "a long list": "x = [" + "\n1," * 20_000 + "]",
    "many digits": "x = 0x" + "f" * 4000 + "\ny = " + "9" * 4000,
    "blank lines": "\n" * 60_000,
    "comments": "#" * 4000 + "\n#\n" * 9000,
    "carriage returns": "\r" * 60_000,
    "a long expression": f'mask.keep = "{"(" * 4000}"',
    "many expressions": "[[groups]]\nheads = [0]\nmask.keep = 'k <= qq and q < kk'\n" * 900,
    "many empty lists": "groups = [" + "{heads = []},\n" * 4000 + "]",
    "a large file": "#" + "\n#" * 40_000,
}


def refuse(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(decode("huge.toml", text.encode()))
    assert len(str(caught.value)) < 40_000


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE.keys())
def test_large_and_deep_files_are_refused_soon(text: str) -> None:
    gc.collect()
    gc.freeze()  # what other tests have left is not searched meanwhile
    try:
        start = time.process_time()
        refuse(text)
        assert time.process_time() - start < SECONDS
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE.keys())
def test_large_and_deep_files_are_refused_in_little_memory(text: str) -> None:
    tracemalloc.start()
    try:
        refuse(text)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES << 20
    finally:
        tracemalloc.stop()


def refused_or_made(given: object) -> None:
    try:
        assert isinstance(load_spec(given), Spec)  # type: ignore[arg-type]
    except MhagenError as error:
        assert str(error).startswith("error[")
        assert error.exit_code == 2


LINES = WHOLE.splitlines()
MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, len(LINES) - 1), st.integers(0, 40), st.text("[]{}=\".'#\\\n\t 0a\x00é,", max_size=4)
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(MUTATIONS)
def test_a_damaged_file_is_refused_or_still_a_spec(mutations: list[tuple[int, int, str]]) -> None:
    lines = list(LINES)
    for line, column, text in mutations:
        lines[line] = lines[line][:column] + text + lines[line][column + len(text) // 2 :]
    refused_or_made(Source("damaged.toml", "\n".join(lines)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SpecError):
        load_spec(decode("noise.toml", data))


KNOWN_KEYS = """
name heads query key_value dim scores modify scale mask keep align constants inputs shape dtype groups
projections model_dim rotary base outputs statistics softmax sink pruned self [key]
"""
KEYS = st.one_of(st.sampled_from(KNOWN_KEYS.split()), st.text(max_size=5), st.integers(), st.none())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([64, 12, 1]),
    st.booleans().map(lambda sign: 10**5000 * (1 if sign else -1)),  # too long to print
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=3),
    st.just(date(1979, 5, 27)),
    st.sampled_from(["k <= q", "score", "float32", "end", "lse", "keys", "\ud800"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=10,
)


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_mapping_is_refused_or_made_into_a_spec(keys: dict[object, object]) -> None:
    refused_or_made(keys)
    refused_or_made({"name": "tiny", "heads": {"query": 12, "dim": 64}, **keys})


class Loud:
    def __repr__(self) -> str:
        raise AssertionError("a spec's values run no code")

    __str__ = __repr__


def test_values_of_any_class_are_shown_by_their_type() -> None:
    with pytest.raises(SpecError, match="name cannot be a Loud"):
        load_spec({"name": Loud(), "heads": {"query": Loud(), "dim": [Loud()]}, "constants": {"c": Loud()}})


def test_a_mapping_that_holds_itself_is_refused() -> None:
    keys: dict[str, object] = {"name": "tiny", "heads": {"query": 1, "dim": 1}}
    keys["mask"] = keys
    keys["groups"] = [keys]
    with pytest.raises(SpecError):
        load_spec(keys)


def test_nothing_of_a_spec_is_executed(tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    attack = f"__import__('pathlib').Path({str(witness)!r}).touch()"
    for keys in (
        {"name": f"a\n{attack}"},
        {"mask": {"keep": attack}},
        {"mask": {"keep": f"k <= q\n{attack}"}},
        {"scores": {"modify": f"score if {attack} else score"}},
        {"scores": {"scale": attack}},
        {"constants": {f"c = {attack}": 1}},
        {"constants": {"c": f"{{{{ {attack} }}}}"}},
        {"inputs": {"x1": {"shape": [attack]}}},
    ):
        with pytest.raises(SpecError):
            load_spec({"name": "tiny", "heads": {"query": 12, "dim": 64}, **keys})
    assert not witness.exists()
