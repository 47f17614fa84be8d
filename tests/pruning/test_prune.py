"""mhagen.prune: what it returns and writes, that it proves what it writes, and what it refuses."""

from __future__ import annotations

import dataclasses
import pickle

import ml_dtypes
import numpy as np
import pytest

import mhagen
from mhagen.base.errors import InputError, UnsupportedError, VerificationError
from mhagen.ir.files import read_arrays, write_arrays
from mhagen.ir.reference import Reference
from mhagen.pruning import prune as module
from mhagen.pruning.methods import Method
from mhagen.spec.load import load_spec

from .layers import COUNTED, GRADIENT, SMALL, WEIGHTS, X, spec_of, with_gates


@pytest.fixture(scope="module")
def found():
    """Two layers, pruned together."""
    louder = {**WEIGHTS, "wq": 2 * WEIGHTS["wq"]}
    return mhagen.prune(SMALL, [WEIGHTS, louder], [X, {"x": X, "counted": COUNTED}], by="ablation", keep=4)


def test_heads_of_all_layers_are_ranked_together(found):
    assert sum(map(len, found.pruned)) == 4
    left = [
        value
        for row, layer in zip(found.measures[Method.ABLATION], found.layers, strict=True)
        for head, value in enumerate(row)
        if head not in layer.pruned
    ]
    gone = [value for row in found.measures[Method.ABLATION] for value in row if value not in left]
    assert max(gone) < min(left)


def test_the_kernel_of_a_smaller_layer_gives_what_the_gated_layer_gives(found):
    first = found.layers[0]
    gates = np.array([head not in first.pruned for head in range(4)])
    expected = Reference(SMALL).layer(X, with_gates(SMALL, WEIGHTS, gates))
    y = mhagen.build(first.spec).layer(X, dict(first.weights))
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert first.proof.reference_error < 1e-12
    assert 0 < first.proof.kernel_error <= first.proof.allowed


def test_a_result_is_read_as_a_table(found):
    lines = str(found).splitlines()
    assert lines[0] == "small: 8 heads in 2 layers, 4 of them pruned by ablation"
    assert lines[2].split() == ["layer", "head", *(method.value for method in Method)]
    assert sum(line.endswith(" pruned") for line in lines) == 4
    assert "small_pruned_0: " in str(found) and "<table>" in found._repr_html_()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.by = Method.ENTROPY


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_saved_is_read_back(found, suffix, tmp_path):
    paths = found.save(tmp_path / "out", suffix)
    assert [path.name for path in paths[:2]] == ["small_pruned_0.toml", f"small_pruned_0{suffix}"]
    assert load_spec(paths[2]) == found.layers[1].spec
    weights = read_arrays(paths[3])
    for name, array in found.layers[1].weights.items():
        np.testing.assert_array_equal(weights[name], array)


def test_heads_that_are_pruned_already_stay_so():
    spec = spec_of(heads={"query": 4, "key_value": 2, "dim": 16, "pruned": [0]})
    found = mhagen.prune(spec, WEIGHTS, {"x": X, "gradient": GRADIENT})
    for (row,) in found.measures.values():
        assert row[0] is None and all(value is not None for value in row[1:])
    assert "was pruned" in str(found) and found.headline == "small: 3 heads, measured"


def test_nothing_is_cut_where_heads_are_only_measured(tmp_path):
    found = mhagen.prune(SMALL, WEIGHTS, X, out=tmp_path / "out")
    assert found.layers == () and found.headline == "small: 4 heads, measured"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["its float64 reference", "its kernel"])
def test_a_smaller_layer_that_is_not_the_gated_one_is_not_written(what, monkeypatch, tmp_path):
    right = module.smaller_weights

    def wrong(spec, cut, weights):
        small = right(spec, cut, weights)
        return {**small, "wv": small["wv"][::-1]}

    monkeypatch.setattr(module, "smaller_weights", wrong)
    if what == "its kernel":
        monkeypatch.setattr("mhagen.pruning.proof.reference_error", lambda *_: 0.0)
    with pytest.raises(VerificationError, match=f"small_pruned: {what} differs from the layer"):
        mhagen.prune(SMALL, WEIGHTS, X, keep=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def changed(arrays, **changes):
    return {name: array for name, array in {**arrays, **changes}.items() if array is not None}


NAN = np.where(np.arange(24) == 3, np.nan, X)
ATTENTION = load_spec({"name": "bare", "heads": {"query": 2, "dim": 16}})
TAKEN = spec_of(mask={"keep": "k < counted[b]"}, inputs={"counted": {"shape": ["batch"], "dtype": "int32"}})
REFUSED = {
    "no layer": ((ATTENTION, WEIGHTS, X), r"bare has no weights to prune: its spec has no \[projections\]"),
    "missing weights": ((SMALL, changed(WEIGHTS, wk=None, bo=None), X), "weights needs wk, bo"),
    "unknown weights": ((SMALL, changed(WEIGHTS, q_norm=X), X), "weights has no q_norm; it takes wq, wk"),
    "turned weights": (
        (SMALL, changed(WEIGHTS, wo=WEIGHTS["wo"].T), X),
        r"wo has shape \(64, 24\) and needs",
    ),
    "NaN in weights": (
        (SMALL, changed(WEIGHTS, bq=WEIGHTS["bq"] * np.inf), X),
        "bq has 64 numbers that are NaN",
    ),
    "NaN in x": ((SMALL, WEIGHTS, NAN), "x has 33 numbers that are NaN or infinite"),
    "text": ((SMALL, WEIGHTS, np.array([[["a"]]])), "x holds <U1 and needs float32"),
    "flat x": ((SMALL, WEIGHTS, X[0]), r"x has shape \(11, 24\) and needs \(batch, queries, 24\)"),
    "no x": ((SMALL, WEIGHTS, {"gradient": GRADIENT}), "inputs needs x"),
    "no tokens": ((SMALL, WEIGHTS, X[:, :0]), "without tokens nothing tells heads apart"),
    "unknown input": ((SMALL, WEIGHTS, {"x": X, "length": X}), "inputs has no length; it takes x"),
    "gradient": (
        (SMALL, WEIGHTS, {"x": X, "gradient": X[:1]}),
        r"gradient has shape \(1, 11, 24\) and needs",
    ),
    "NaN in gradient": ((SMALL, WEIGHTS, {"x": X, "gradient": NAN}), "gradient has 33 numbers that are NaN"),
    "ragged gradient": ((SMALL, WEIGHTS, {"x": X, "gradient": [[1], [1, 2]]}), "gradient is not an array: "),
    "ragged counted": ((SMALL, WEIGHTS, {"x": X, "counted": [[1], [1, 0]]}), "counted is not an array: "),
    "ragged weights": ((SMALL, changed(WEIGHTS, bo=[[1], [1, 2]]), X), "bo is not an array: "),
    "complex gradient": (
        (SMALL, WEIGHTS, {"x": X, "gradient": 1j * X}),
        "gradient holds complex64 and needs",
    ),
    "counted": ((SMALL, WEIGHTS, {"x": X, "counted": COUNTED[0]}), r"counted has shape \(11,\) and needs"),
    "lengths": ((SMALL, WEIGHTS, {"x": X, "counted": 2 * COUNTED}), "counted holds int64 and needs true or"),
    "none counts": ((SMALL, WEIGHTS, {"x": X, "counted": 0 * COUNTED}), "counted is false everywhere"),
    "name taken": (
        (TAKEN, WEIGHTS, {"x": X, "counted": COUNTED}),
        "small has an input counted, which is what",
    ),
    "layers": (
        (SMALL, [WEIGHTS, WEIGHTS], [X]),
        "weights of 2 layers and inputs of 1; each layer needs both",
    ),
    "second layer": ((SMALL, [WEIGHTS] * 2, [X, X[0]]), r"layer 1: x has shape \(11, 24\)"),
    "weights of no name": ((SMALL, "w.npy", X), r"w.npy cannot hold weights, which have names: give .npz"),
    "no mapping": ((SMALL, WEIGHTS["wq"], X), "weights is a ndarray and needs to be a mapping or a file"),
    "no file": ((SMALL, "gone.npz", X), "gone.npz cannot be read: No such file or directory"),
    "no format": ((SMALL, WEIGHTS, "x.pt"), "x.pt is no file of arrays: its name has to end in .npy, .npz"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused(arguments, said):
    with pytest.raises((InputError, UnsupportedError), match=said):
        mhagen.prune(*arguments)


BIASED = spec_of(
    name="biased",
    scores={"modify": "score + bias[b, k]"},
    inputs={"bias": {"shape": ["batch", "keys"]}},
)
BIAS = np.zeros(X.shape[:2], np.float32)


def test_measures_that_are_no_numbers_do_not_rank_heads(tmp_path):
    bias = BIAS.copy()
    bias[1, 2] = np.nan
    with pytest.raises(InputError, match=r"by michel, head 0 of layer 0 has no finite measure.* in bias"):
        mhagen.prune(BIASED, WEIGHTS, {"x": X, "bias": bias}, keep=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bias_may_hide_keys_and_padding_may_be_no_number(tmp_path):
    bias = np.where(COUNTED, BIAS, -np.inf)
    plain = mhagen.prune(BIASED, WEIGHTS, {"x": X, "bias": bias, "counted": COUNTED}, keep=2)
    bias = np.where(
        COUNTED | (np.arange(11) < 10), bias, np.nan
    )  # seen by the last queries, which are padding
    padded = mhagen.prune(BIASED, WEIGHTS, {"x": X, "bias": bias, "counted": COUNTED}, keep=2)
    assert padded.measures == plain.measures and padded.pruned == plain.pruned


def test_a_proof_of_no_numbers_is_none(monkeypatch):
    class Broken(Reference):
        def layer(self, x, *arguments, **inputs):
            return np.full(x.shape, np.nan)

    monkeypatch.setattr("mhagen.pruning.proof.Reference", Broken)
    with pytest.raises(VerificationError, match="small_pruned: its float64 reference differs"):
        mhagen.prune(SMALL, WEIGHTS, X, keep=2)


def test_a_smaller_layer_never_has_the_name_of_the_whole_one():
    spec = spec_of(name="a" * 41 + "_pruned")
    with pytest.raises(InputError, match=r"the smaller layer would be called a+_pruned, as the spec is"):
        mhagen.prune(spec, WEIGHTS, X, keep=2)


def test_what_has_been_pruned_is_not_written_over(tmp_path):
    write_arrays(tmp_path / "small_pruned.npz", WEIGHTS)
    found = mhagen.prune(SMALL, tmp_path / "small_pruned.npz", X, keep=2)
    before = (tmp_path / "small_pruned.npz").read_bytes()
    with pytest.raises(
        InputError, match=r"small_pruned.npz is what has been pruned, and would be written over"
    ):
        found.save(tmp_path / "elsewhere" / "..")
    assert (tmp_path / "small_pruned.npz").read_bytes() == before
    assert not (tmp_path / "small_pruned.toml").exists()


def test_a_gradient_may_come_as_its_bits():
    spec = spec_of(name="short", dtype="bfloat16")
    weights, x = ({name: array.astype(ml_dtypes.bfloat16) for name, array in WEIGHTS.items()}, X)
    gradient = GRADIENT.astype(ml_dtypes.bfloat16)
    given, bits = (
        mhagen.prune(spec, weights, {"x": x.astype(ml_dtypes.bfloat16), "gradient": each})
        for each in (gradient, gradient.view(np.uint16))
    )
    assert given.measures == bits.measures


def test_a_batch_is_at_least_an_example():
    with pytest.raises(InputError, match="batch is 0 and needs a number of examples, 1 or more"):
        mhagen.prune(SMALL, WEIGHTS, X, batch=0)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_keep_bfloat16(suffix, tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).astype(ml_dtypes.bfloat16)
    write_arrays(tmp_path / f"a{suffix}", {"a": array.T})
    read = read_arrays(tmp_path / f"a{suffix}")["a"]
    np.testing.assert_array_equal(read.view(ml_dtypes.bfloat16), array.T)


def test_what_numpy_itself_saves_is_bfloat16(tmp_path):
    array = np.arange(6, dtype=np.float32).astype(ml_dtypes.bfloat16)
    np.savez(tmp_path / "a.npz", a=array)
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")["a"], array)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_layer_takes_the_weights_that_are_written_as_numpy_loads_them(dtype, tmp_path):
    spec = spec_of(name="short", dtype=dtype)
    x, weights = (
        X.astype(ml_dtypes.bfloat16),
        {name: each.astype(ml_dtypes.bfloat16) for name, each in WEIGHTS.items()},
    )
    np.savez(tmp_path / "weights.npz", **weights)
    (small,) = mhagen.prune(spec, tmp_path / "weights.npz", x, keep=2, out=tmp_path).layers
    kernel = mhagen.build(tmp_path / "short_pruned.toml")
    with np.load(tmp_path / "short_pruned.npz") as plain:
        found = kernel.layer(x if dtype == "bfloat16" else x.astype(np.float32), dict(plain))
    expected = Reference(small.spec).layer(x, small.weights)
    np.testing.assert_allclose(found.astype(np.float64), expected, atol=5e-2)


UNCLOSED = b"\x93NUMPY\x01\x00\x04\x00(((("  # a header that ends too early


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no such file", b"PK\x03\x04 and no more", b"\x93NUMPY", UNCLOSED])
def test_a_damaged_file_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} cannot be read: "):
        read_arrays(tmp_path / name)


@pytest.mark.parametrize("name", ["array.npy", "member.npz", "pickle.npy", "pickle.npz", "table.npy"])
def test_what_is_no_array_of_numbers_is_not_run(name, tmp_path):
    objects = np.array([print], dtype=object)
    match name:
        case "array.npy":
            np.save(tmp_path / name, objects, allow_pickle=True)
        case "member.npz":
            np.savez(tmp_path / name, x=objects)
        case "table.npy":
            (tmp_path / name).write_text("1,2\n3,4\n")
        case _:
            (tmp_path / name).write_bytes(pickle.dumps({"x": print}))
    with pytest.raises(InputError, match=f"{name} cannot be read: it has no plain arrays .* not read"):
        read_arrays(tmp_path / name)
