"""The words of simd and their meanings for a machine are the same words, and mean nothing to plain Python."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from numba.core.errors import TypingError

from mhagen.base.target import AVX2, AVX512, TARGETS
from mhagen.runtime.formats import FORMATS
from mhagen.runtime.notcompiled import NotCompiledError
from mhagen.runtime.vocabulary import MEANINGS, vocabulary

from .lanes import WORDS, Machine, on_every_target, text_of


def test_every_word_has_a_meaning_and_every_meaning_a_word() -> None:
    assert MEANINGS.keys() == WORDS.keys()


@pytest.mark.parametrize("name", WORDS)
def test_a_word_has_as_many_parameters_as_its_meaning(name: str) -> None:
    assert len(inspect.signature(WORDS[name]).parameters) == len(MEANINGS[name].parameters)


@pytest.mark.parametrize("name", WORDS)
def test_every_word_is_compared_with_its_meaning(name: str) -> None:
    claims = "".join(path.read_text() for path in Path(__file__).parent.glob("test_simd_*.py"))
    # The words of a number format are tested by a pattern: load_{stored}_lanes.
    pattern = re.sub("|".join(FORMATS), "{stored}", name)
    assert re.search(rf'\b{name}\(|"{name}"', claims) or f"{pattern}(" in claims


@pytest.mark.parametrize("name", WORDS)
def test_every_word_says_what_it_does(name: str) -> None:
    assert inspect.getdoc(WORDS[name])


@pytest.mark.parametrize("name", WORDS)
def test_a_word_called_from_plain_python_says_so(name: str) -> None:
    count = len(inspect.signature(WORDS[name]).parameters)
    with pytest.raises(NotCompiledError, match=f"^{name} has a meaning in compiled kernels only"):
        WORDS[name](*[1] * count)


def test_each_target_has_meanings_of_its_own() -> None:
    for target in TARGETS:
        assert vocabulary(target, "float32").keys() == WORDS.keys()
    assert vocabulary(AVX512, "float32")["exp2"] is not vocabulary(AVX2, "float32")["exp2"]


MISUSES: dict[str, str] = {
    "an address that is a vector": "load(load(at))",
    "a mask that is a vector of numbers": "where(load(at), load(at), load(at))",
    "real lanes made wide": "wide(load(at))",
    "an index that is real": "take_float32(at, load(at))",
    "the greater of two numbers": "maximum(1.0, 2.0)",
    "a mask beside a number": "(load(at) < 1.0) * 2.0",
    "two arguments for one": "exp(load(at), load(at))",
    "real lanes stored as an address": "store(load(at), load(at))",
    "the sum of masks": "(load(at) < 1.0) + (load(at) < 2.0)",
    "the conjunction of numbers": "load(at) & load(at)",
    "the complement of integers": "real(~lane_numbers())",
}


@on_every_target
@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_operands_of_a_wrong_kind_do_not_compile(machine: Machine, misuse: str) -> None:
    with pytest.raises(TypingError):
        machine.compile_text(text_of(["at"], f"store(at, {misuse})"))
