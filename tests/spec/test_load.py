"""From files, texts and mappings to a spec."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mhagen.base.dtypes import DType
from mhagen.base.errors import InputError, SpecError, UnsupportedError
from mhagen.base.source import Source
from mhagen.spec.fields import Align, Input, Layout, Projections, Statistic
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec

SMALLEST = 'name = "tiny"\n[heads]\nquery = 1\ndim = 64\n'
WHOLE = """
name = "whole"           # all that this version can make
dtype = "float32"
layout = "bshd"
[heads]
query = 12
key_value = 4
dim = 64
value_dim = 48
[scores]
scale = 0.2
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
[projections]
model_dim = 768
bias = true
[outputs]
statistics = ["lse"]
"""
MAPPING = {"name": "tiny", "heads": {"query": 1, "dim": 64}}


def codes(given: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(given)  # type: ignore[arg-type]
    return [found.code for found in caught.value.diagnostics]


def test_every_key_of_a_spec_is_read() -> None:
    spec = load_spec(Source("whole.toml", WHOLE))
    assert (spec.name, spec.dtype, spec.layout) == ("whole", DType.FLOAT32, Layout.BSHD)
    assert (spec.heads.query, spec.heads.key_value, spec.heads.dim, spec.heads.value_dim) == (12, 4, 64, 48)
    assert (spec.scale, spec.mask.align) == (0.2, Align.END)
    assert spec.constants == {"cap": 30.0, "window": 256}
    assert spec.inputs["segment"] == Input(shape=("batch", "keys"), dtype=DType.INT32)
    assert spec.projections == Projections(model_dim=768, bias=True, output_bias=False)
    assert spec.outputs.statistics == (Statistic.LSE,)


def test_a_file_a_text_a_mapping_and_keywords_give_the_same_spec(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(SMALLEST)
    expected = Spec(name="tiny", heads={"query": 1, "dim": 64})
    for given in (path, str(path), Source("tiny.toml", SMALLEST), MAPPING, expected):
        assert load_spec(given) == expected


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode())
    assert load_spec(path).name == "tiny"


def test_a_spec_can_come_through_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, SMALLEST.encode())
    os.close(writer)
    assert load_spec(f"/dev/fd/{reader}").name == "tiny"
    os.close(reader)


def test_a_file_that_is_missing_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "gpt2_small.toml").write_text(SMALLEST)
    with pytest.raises(SpecError, match=r"did you mean `gpt2_small\.toml`\?") as caught:
        load_spec(tmp_path / "gtp2_small.toml")
    assert caught.value.diagnostics[0].code == "file-not-found"


def test_what_is_no_file_is_an_error_of_the_spec(tmp_path: Path) -> None:
    assert codes(tmp_path) == ["not-a-file"]
    assert codes("a\0b") == ["file-not-readable"]
    assert codes("x" * 10_000) == ["file-not-readable"]
    assert codes("no/such/folder/spec.toml") == ["file-not-found"]


def test_a_text_that_is_not_unicode_is_refused() -> None:
    assert codes(Source("s.toml", 'name = "\ud800"')) == ["not-utf-8"]
    assert codes(Source("s.toml", "#" + "\n" * 70_000)) == ["file-too-large"]


def test_a_file_without_end_is_refused_at_once() -> None:
    assert codes("/dev/zero") == ["file-too-large"]


@pytest.mark.parametrize("given", [None, 3, ["name"], b"tiny.toml"])
def test_what_is_no_spec_at_all_is_a_bad_argument(given: object) -> None:
    with pytest.raises(InputError, match=r"a spec is a path, a mapping or a mhagen\.Spec"):
        load_spec(given)  # type: ignore[arg-type]


def test_in_a_mapping_mistakes_are_named_by_their_key() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec({"name": "tiny", "heads": {"query": 12, "key_value": 5, "dim": 64, "size": 1}})
    assert str(caught.value).splitlines()[:3] == [
        "error[unknown-key]: [heads] has no key size",
        "  heads.size",
        "    it has query, key_value, dim, value_dim, pruned",
    ]
    assert [found.place for found in caught.value.diagnostics] == ["heads.size", "heads.key_value"]


def test_mistakes_are_told_in_the_order_of_their_places() -> None:
    text = '[heads]\nquery = 12\nkey_value = 5\ndim = true\n[mask]\nkeep = "q"\nx = 1\n'
    with pytest.raises(SpecError) as caught:
        load_spec(Source("s.toml", text))
    lines = [found.span.line for found in caught.value.diagnostics if found.span is not None]
    assert lines == [1, 3, 4, 6, 7]


def test_a_broken_key_does_not_hide_other_mistakes_of_its_table() -> None:
    heads = {"query": 12, "key_value": 5, "dim": "wide", "x": 1}
    assert codes({"name": "no name", "heads": heads, "mask": {"keep": "k < qq", "y": 2}}) == [
        "bad-name",
        "wrong-type",
        "unknown-key",
        "unknown-key",
        "heads-not-divisible",
        "unknown-name",
    ]


def test_a_broken_declaration_is_told_once_and_not_at_each_use() -> None:
    modify = "score + slope[h] + slope[q]"
    spec = {**MAPPING, "inputs": {"slope": {"shape": ["nowhere"]}}, "scores": {"modify": modify}}
    assert codes(spec) == ["unknown-value"]
    assert codes({**MAPPING, "constants": 3, "scores": {"modify": "score * cap"}}) == ["wrong-type"]


UNSUPPORTED = {
    "name": "sunk",
    "heads": {"query": 2, "dim": 64},
    "inputs": {"tail": {"shape": ["keys"]}},
    "softmax": {"sink": "0.5"},
    "groups": [{"heads": [0], "softmax": {"sink": "tail[q]"}}],
    "outputs": {"statistics": ["lse"]},
}


def test_mistakes_come_before_what_is_not_supported() -> None:
    assert codes({**UNSUPPORTED, "mask": {"keep": "q"}}) == ["needs-condition"]
    with pytest.raises(UnsupportedError, match="a log-sum-exp of groups"):
        load_spec(UNSUPPORTED)


def test_a_spec_object_is_refused_too_for_what_is_not_supported() -> None:
    with pytest.raises(UnsupportedError, match="a log-sum-exp of groups") as caught:
        load_spec(Spec(**UNSUPPORTED))
    assert caught.value.exit_code == 2


def test_loading_a_spec_imports_neither_numpy_nor_numba(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(WHOLE + "x = 1\n")
    program = f"""
import sys
from mhagen.spec.load import load_spec
from mhagen.spec.check import json_schema
from mhagen.expr import intervals, parse, simplify, tree
try:
    load_spec({str(path)!r})
except Exception as error:
    print(type(error).__name__)
json_schema()
print(sorted({{"numpy", "numba", "llvmlite", "jinja2"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "SpecError\n[]\n"


def test_numbers_of_numpy_are_the_numbers_that_they_are() -> None:
    import numpy as np

    keys: dict[str, Any] = {
        "name": "counted",
        "heads": {"query": np.int64(4), "dim": np.int32(8), "pruned": np.array([1])},
        "scores": {"scale": np.float32(0.5)},
        "constants": {"window": np.uint8(3)},
        "groups": [{"heads": (np.int64(0),), "scores": {"scale": np.float64(1)}}],
        "projections": {"model_dim": 8, "bias": np.True_, "rotary": {"scaling": {"type": "linear"}}},
    }
    keys["projections"]["rotary"]["scaling"]["factor"] = np.float16(2)
    spec = load_spec(keys)
    assert spec == Spec(**keys) and load_spec(Source("counted", spec.to_toml())) == spec
    assert type(spec.heads.query) is int and type(spec.constants["window"]) is int
    assert type(spec.scale) is float and spec.projections is not None and spec.projections.bias is True


@pytest.mark.parametrize("number", ["np.float64(4.0)", "np.array([4, 4])", "np.complex64(4)"])
def test_what_of_numpy_is_no_such_number_is_refused(number: str) -> None:
    import numpy as np

    value = eval(number, {"np": np})
    with pytest.raises(SpecError, match="needs an integer"):
        load_spec({"name": "counted", "heads": {"query": value, "dim": 8}})
