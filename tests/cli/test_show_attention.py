"""`mhagen show --attention` draws where heads look, as the reference has it."""

from __future__ import annotations

import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import ml_dtypes
import numpy as np
import pytest

from mhagen import reference
from mhagen.ir.files import write_arrays

from .conftest import Run, written

SVG = "{http://www.w3.org/2000/svg}"
SPEC = """\
name = "looks"
layout = "bshd"
[heads]
query = 4
key_value = 2
dim = 8
value_dim = 5
[mask]
keep = "k <= q and segment[b, k] == segment[b, q]"
[inputs.segment]
shape = ["batch", "keys"]
dtype = "int32"
"""
Arrays = dict[str, np.ndarray[Any, Any]]


def arrays(queries: int = 6, keys: int = 6) -> Arrays:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((2, queries, 4, 8)).astype(np.float32)
    key = rng.standard_normal((2, keys, 2, 8)).astype(np.float32)
    return {"query": query, "key": key, "segment": np.arange(2 * keys, dtype=np.int32).reshape(2, keys) // 4}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return written(tmp_path / "looks.toml", SPEC)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    np.savez(tmp_path / "inputs.npz", **arrays())
    return tmp_path / "inputs.npz"


def opacities(text: str) -> list[float]:
    """The opacities of what is drawn."""
    return [float(each.get("fill-opacity", "0")) for each in ET.fromstring(text).iter(f"{SVG}path")]


HEADS: dict[str, dict[str, Any]] = {
    "alike": {},
    "pruned": {"pruned": [1]},
    "apart": {"groups": [{"heads": [0, 3], "mask": {"keep": "k <= q and q - k < 2"}}]},
}


@pytest.mark.parametrize("heads", HEADS)
def test_the_weights_are_those_of_the_attention(heads: str) -> None:
    given = arrays()
    value = np.random.default_rng(1).standard_normal((2, 6, 2, 5))
    spec: dict[str, Any] = {
        "name": "looks", "layout": "bshd", "heads": {"query": 4, "key_value": 2, "dim": 8, "value_dim": 5},
        "mask": {"keep": "k <= q and segment[b, k] == segment[b, q]"},
        "inputs": {"segment": {"shape": ["batch", "keys"], "dtype": "int32"}},
    }  # fmt: skip
    spec["heads"] |= {name: each for name, each in HEADS[heads].items() if name == "pruned"}
    spec |= {name: each for name, each in HEADS[heads].items() if name == "groups"}
    weights, offset = reference(spec).weights(**given, query_offset=[0, 1])
    out = reference(spec).attention(
        given["query"], given["key"], value, segment=given["segment"], query_offset=[0, 1]
    )
    found = weights @ value.swapaxes(1, 2).repeat(2, axis=1)
    np.testing.assert_allclose(found.swapaxes(1, 2), out)
    np.testing.assert_array_equal(offset, [0, 1])


def test_every_head_has_a_map_of_its_own(mhagen: Run, spec: Path, inputs: Path) -> None:
    said = mhagen("show", spec, "--attention", inputs)
    assert said.code == 0
    words = [each.text or "" for each in ET.fromstring(said.out).iter(f"{SVG}text")]
    assert [each for each in words if each.startswith("head ")] == [f"head {h}" for h in range(4)]
    assert "Batch entry 0; there are 2." in words
    assert said.err.startswith("Weights of 6 queries (down) and 6 keys (across)")
    # The first key of a document is all that its first query sees.
    assert max(opacities(said.out)) == 1.0


def test_a_folder_of_arrays_is_as_good_as_a_file(
    mhagen: Run, spec: Path, inputs: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    for name, array in arrays().items():
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    assert (
        mhagen("show", spec, "--attention", "folder").out == mhagen("show", spec, "--attention", inputs).out
    )


def test_a_page_has_the_same_picture(mhagen: Run, spec: Path, inputs: Path) -> None:
    said = mhagen("show", spec, "--attention", inputs, "--format", "html", "--out", "page.html")
    assert said.out.splitlines()[-1] == "written: page.html"
    text = Path("page.html").read_text()
    assert (
        text.startswith("<!DOCTYPE html>")
        and text.count("<svg") == 1
        and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    )


def test_programs_get_the_means_of_heads(mhagen: Run, spec: Path, inputs: Path) -> None:
    found = mhagen("show", spec, "--attention", inputs, "--json").document
    weights, _ = reference(spec).weights(**arrays())
    for head, each in enumerate(found["heads"]):
        assert each["head"] == head
        assert each["confidence"] == pytest.approx(weights[0, head].max(axis=1).mean())
        assert 0 <= each["entropy"] <= np.log(6)


def saved(**changed: Any) -> Arrays:
    return {name: array for name, array in (arrays() | changed).items() if array is not None}


WRONG: dict[str, tuple[Arrays, str]] = {
    "one is missing": (saved(segment=None), "the inputs lack segment"),
    "one is unknown": (saved(keys=np.zeros(3)), "unknown keys"),
    "one has another shape": (saved(key=np.zeros((2, 6, 3, 8))), "key has shape"),
    "they are too long": (arrays(200, 200), "200 queries by 200 keys are too many to draw for 4 heads"),
    "one is no array of numbers": (saved(key=np.array([["x"]])), "key"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_inputs_are_named(mhagen: Run, spec: Path, tmp_path: Path, given: Arrays, message: str) -> None:
    np.savez(tmp_path / "wrong.npz", **given)
    said = mhagen("show", spec, "--attention", "wrong.npz")
    assert said.code == 2 and message in " ".join(said.err.split())


def test_a_file_that_holds_no_arrays_is_named(mhagen: Run, spec: Path, tmp_path: Path) -> None:
    written(tmp_path / "words.npz", "words")
    objects = tmp_path / "objects.npz"
    np.savez(objects, query=np.array([{}], dtype=object))
    for name in ("words.npz", "missing.npz", objects):
        said = mhagen("show", spec, "--attention", name)
        assert said.code == 2 and Path(name).name in " ".join(said.err.split())


def test_bfloat16_is_read_from_every_kind_of_file(
    mhagen: Run, spec: Path, inputs: Path, tmp_path: Path
) -> None:
    written(spec, SPEC.replace('layout = "bshd"', 'layout = "bshd"\ndtype = "bfloat16"'))
    given = arrays()
    given |= {name: given[name].astype(ml_dtypes.bfloat16) for name in ("query", "key")}
    np.savez(tmp_path / "short.npz", **given)
    write_arrays(tmp_path / "short.safetensors", given)
    write_arrays(tmp_path / "bits.npz", given)
    drawn = [
        mhagen("show", spec, "--attention", name) for name in ("short.npz", "short.safetensors", "bits.npz")
    ]
    assert [each.code for each in drawn] == [0, 0, 0], drawn[0].err
    assert drawn[0].out == drawn[1].out == drawn[2].out


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY"])
@pytest.mark.parametrize("name", ["damaged.npz", "damaged.safetensors", "folder/query.npy"])
def test_a_damaged_file_is_named(mhagen: Run, spec: Path, tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    said = mhagen("show", spec, "--attention", tmp_path / name.partition("/")[0])
    assert said.code == 2 and f"{path.name} cannot be read" in " ".join(said.err.split())


def test_a_file_in_an_archive_that_is_no_array_is_named(mhagen: Run, spec: Path, inputs: Path) -> None:
    with ZipFile(inputs, "a") as archive:
        archive.writestr("notes.txt", "no array")
    said = mhagen("show", spec, "--attention", inputs)
    assert said.code == 2 and "notes.txt in it is no array" in " ".join(said.err.split())


def test_the_sink_of_a_group_is_told(mhagen: Run, spec: Path, inputs: Path) -> None:
    told = "rows of heads that have one add up to less than 1"
    assert told not in mhagen("show", spec, "--attention", inputs).err
    written(spec, SPEC + '[[groups]]\nheads = [1]\nsoftmax.sink = "0.0"\n')
    assert told in " ".join(mhagen("show", spec, "--attention", inputs).err.split())


LAYER = """\
name = "layer"
[heads]
query = 4
key_value = 2
dim = 8
[mask]
keep = "k <= q + 1"
[projections]
model_dim = 12
bias = true
qk_norm = {}
rotary = {}
"""


def layer_weights() -> Arrays:
    rng = np.random.default_rng(2)
    shapes = {"wqkv": (64, 12), "bqkv": (64,), "wo": (12, 32), "q_norm": (8,), "k_norm": (8,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def test_the_weights_of_a_layer_are_those_of_its_attention() -> None:
    """With values that are unit vectors, heads give their weights; the output linear lets them through."""
    spec = tomllib.loads(LAYER) | {"heads": {"query": 2, "key_value": 2, "dim": 8, "value_dim": 12}}
    spec["projections"] |= {"model_dim": 24}
    rng = np.random.default_rng(3)
    shapes = {"wq": (16, 24), "wk": (16, 24), "wv": (24, 24), "bq": (16,), "bk": (16,), "bv": (24,)}
    weights = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    weights |= {"q_norm": rng.random(8), "k_norm": rng.random(8), "wo": np.eye(24)}
    x, context = rng.standard_normal((2, 5, 24)), rng.standard_normal((2, 7, 24))
    for call in ({}, {"context": context, "query_offset": [1, 3]}):
        found, _ = reference(spec).weights_in_layer(x, weights, **call)
        values = call.get("context", x) @ weights["wv"].T + weights["bv"]
        heads = found @ values.reshape(2, -1, 2, 12).swapaxes(1, 2)
        expected = reference(spec).layer(x, weights, **call)
        np.testing.assert_allclose(heads.swapaxes(1, 2).reshape(expected.shape), expected)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("context", [{}, {"context": np.random.default_rng(5).standard_normal((2, 3, 12))}])
def test_a_layer_is_drawn_for_its_x(mhagen: Run, tmp_path: Path, suffix: str, context: Arrays) -> None:
    spec, weights = written(tmp_path / "layer.toml", LAYER), layer_weights()
    given = {"x": np.random.default_rng(4).standard_normal((2, 6, 12)), **context}
    write_arrays(tmp_path / f"layer{suffix}", weights)
    write_arrays(tmp_path / f"x{suffix}", given)
    write_arrays(tmp_path / f"all{suffix}", given | weights)
    said = mhagen("show", spec, "--attention", f"x{suffix}", "--weights", f"layer{suffix}", "--json")
    expected, _ = reference(spec).weights_in_layer(**given, weights=weights)
    assert expected.shape == (2, 4, 6, 3 if context else 6)
    for head, each in enumerate(said.document["heads"]):
        assert each["confidence"] == pytest.approx(expected[0, head].max(axis=1).mean())
    beside = mhagen("show", spec, "--attention", f"all{suffix}", "--json")
    assert beside.out == said.out
    assert len(opacities(mhagen("show", spec, "--attention", f"all{suffix}").out)) > 4


def test_one_array_is_x_and_queries_and_keys_need_no_other_weights(mhagen: Run, tmp_path: Path) -> None:
    spec, weights = written(tmp_path / "layer.toml", LAYER), layer_weights()
    np.save(tmp_path / "x.npy", np.random.default_rng(4).standard_normal((1, 6, 12)))
    rows = {"wq": weights["wqkv"][:32], "wk": weights["wqkv"][32:48]}
    rows |= {"bq": weights["bqkv"][:32], "bk": weights["bqkv"][32:48]}
    np.savez(tmp_path / "whole.npz", **weights)
    np.savez(tmp_path / "part.npz", **rows, q_norm=weights["q_norm"], k_norm=weights["k_norm"])
    drawn = [
        mhagen("show", spec, "--attention", "x.npy", "--weights", f"{name}.npz") for name in ("whole", "part")
    ]
    assert drawn[0].code == 0 and drawn[0].out == drawn[1].out


X = {"x": np.zeros((1, 3, 12))}
WRONG_LAYER: dict[str, tuple[Arrays, Arrays | None, str]] = {
    "no weights": (X, None, "x is given without weights of the layer: give them by --weights"),
    "a weight is missing": (X, {"wq": np.zeros((32, 12))}, "weights needs wk, bq, bk, q_norm, k_norm"),
    "a weight has another shape": (X, layer_weights() | {"k_norm": np.zeros(4)}, "k_norm has shape (4,)"),
    "a weight is unknown": (X, {"w_q": np.zeros(1)}, "has w_q; weights are wq, wk,"),
    "a weight is there twice": (X | {"wo": np.zeros((12, 32))}, layer_weights(), "wo of"),
    "x is missing": ({"context": X["x"]}, layer_weights(), "the inputs lack x; they may be x, context,"),
    "x is there beside query": (X | {"query": np.zeros(1)}, layer_weights(), "have unknown query"),
    "x has another width": ({"x": np.zeros((1, 3, 13))}, layer_weights(), "x has shape (1, 3, 13)"),
    "x is too long": ({"x": np.zeros((1, 200, 12))}, layer_weights(), "200 queries by 200 keys"),
}


@pytest.mark.parametrize(
    ("given", "weights", "message"),
    WRONG_LAYER.values(),
    ids=[each.replace(" ", "-") for each in WRONG_LAYER],
)
def test_what_a_layer_lacks_is_named(
    mhagen: Run, tmp_path: Path, given: Arrays, weights: Arrays | None, message: str
) -> None:
    spec = written(tmp_path / "layer.toml", LAYER)
    np.savez(tmp_path / "given.npz", **given)
    np.savez(tmp_path / "weights.npz", **(weights or {}))
    more = () if weights is None else ("--weights", "weights.npz")
    said = mhagen("show", spec, "--attention", "given.npz", *more)
    assert said.code == 2 and message in " ".join(said.err.split())


def test_weights_are_for_layers(mhagen: Run, spec: Path, inputs: Path) -> None:
    said = mhagen("show", spec, "--attention", inputs, "--weights", inputs)
    assert said.code == 2 and "its spec has no [projections]" in " ".join(said.err.split())


def test_what_is_not_for_pictures_is_refused(mhagen: Run, spec: Path, inputs: Path) -> None:
    for more in (("--after", "spec"), ("--format", "mermaid"), ("--shape", "s=4"), ("--head", "1")):
        assert mhagen("show", spec, "--attention", inputs, *more).code == 2
    said = mhagen("show", spec, "--attention", inputs, "--target", "avx2")
    assert said.code == 2 and "leave --target out" in said.err


def test_what_is_not_there_is_drawn_empty(mhagen: Run, spec: Path, tmp_path: Path) -> None:
    for name, given in (
        ("blind", saved(query_offset=-10)),
        ("none", arrays(0, 6)),
        ("nowhere", arrays(3, 0)),
    ):
        np.savez(tmp_path / f"{name}.npz", **given)
        said = mhagen("show", spec, "--attention", f"{name}.npz")
        assert said.code == 0, said.err
        assert opacities(said.out) == []
