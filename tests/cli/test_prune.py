"""`mhagen prune`: its table, its document, its picture, its files and its exit codes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pruning.layers import SMALL, WEIGHTS, X

import mhagen as package
from mhagen.cli.prune_command import METHODS
from mhagen.pruning.methods import Method
from mhagen.spec.load import load_spec

from .conftest import Run, written


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A spec, its weights and what the layer was given."""
    spec = written(tmp_path / "small.toml", SMALL.to_toml())
    weights, inputs = tmp_path / "weights.npz", tmp_path / "x.npy"
    np.savez(weights, **WEIGHTS)
    np.save(inputs, X)
    return spec, weights, inputs


def test_the_command_knows_all_methods() -> None:
    assert tuple(method.value for method in Method) == METHODS


def test_heads_are_measured_and_nothing_is_written(mhagen: Run, files: tuple[Path, ...]) -> None:
    spec, weights, inputs = files
    said = mhagen("prune", spec, weights, "-i", inputs)
    assert said.code == 0, said.err
    assert said.out.startswith("small: 4 heads, measured\n\nlayer  head  michel")
    assert "entropy: mean over tokens of the entropy of the weights: the greatest goes first" in said.out
    assert not Path("pruned").exists()


def test_a_smaller_layer_is_written_and_works(mhagen: Run, files: tuple[Path, ...]) -> None:
    spec, weights, inputs = files
    options = ("--share", 0.5, "--picture", "heads.svg", "--json")
    said = mhagen("prune", spec, weights, "-i", inputs, *options)
    assert said.code == 0, said.err
    (layer,) = said.document["layers"]
    assert (layer["name"], len(layer["pruned"])) == ("small_pruned", 2)
    assert layer["verification"]["kernel_error"] <= layer["verification"]["allowed"]
    assert said.document["written"] == ["pruned/small_pruned.toml", "pruned/small_pruned.npz", "heads.svg"]
    assert len(said.document["measures"]) == len(METHODS)
    smaller = load_spec("pruned/small_pruned.toml")
    assert len(smaller.kept_heads) == 2
    with np.load("pruned/small_pruned.npz") as small:
        assert package.reference(smaller).layer(X, dict(small)).shape == X.shape


def test_the_picture_has_a_bar_for_each_head_and_method(mhagen: Run, files: tuple[Path, ...]) -> None:
    spec, weights, inputs = files
    options = ("--prune", 4, "--by", "ablation", "--picture", "heads.svg")
    said = mhagen("prune", spec, weights, weights, "-i", inputs, "-i", inputs, *options)
    assert said.code == 0, said.err
    assert "written: pruned/small_pruned_1.npz" in said.out
    bars = list(ElementTree.parse("heads.svg").iter("{http://www.w3.org/2000/svg}rect"))
    assert len(bars) == 8 * len(METHODS)
    assert sum(bar.get("class") == "pruned" for bar in bars) == 4 * len(METHODS)
    assert "small_pruned_0" in said.out and " pruned\n" in said.out


def test_measures_alone_can_be_drawn(mhagen: Run, files: tuple[Path, ...]) -> None:
    spec, weights, inputs = files
    assert mhagen("prune", spec, weights, "-i", inputs, "--picture", "heads.svg").code == 0
    assert Path("heads.svg").exists() and not Path("pruned").exists()
    assert "no spec is written" in " ".join(mhagen("prune", "--help").out.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "guess"), "'guess' is not one of"),
        (("--keep", 9), "keep = 9 prunes -5 of 4 heads"),
        (("--keep", 1, "--prune", 1), "keep and prune both say how many heads go"),
        (("-i", "more.npz"), "weights of 1 layers and inputs of 2"),
        (("--picture", "small.toml/heads.svg"), "cannot write small.toml/heads.svg"),
    ],
)
def test_what_cannot_be_is_wrong(mhagen: Run, files: tuple[Path, ...], options, said) -> None:
    spec, weights, inputs = files
    found = mhagen("prune", spec, weights, "-i", inputs, *options)
    assert found.code == 2 and said in found.err


def test_an_error_is_a_document_too(mhagen: Run, files: tuple[Path, ...]) -> None:
    spec, _, inputs = files
    found = mhagen("prune", spec, "gone.npz", "-i", inputs, "--json")
    assert (found.code, found.document["exit_code"]) == (2, 2)
    assert "gone.npz cannot be read" in found.document["error"]["message"]


def test_files_that_are_given_in_place_of_each_other_are_named(mhagen: Run, files: tuple[Path, ...]) -> None:
    spec, weights, _ = files
    inputs = weights.with_name("seen.npz")
    np.savez(inputs, x=X)
    said = mhagen("prune", spec, inputs, "-i", weights)
    assert (said.code, said.err) == (2, f"error: weights {inputs}, inputs {weights}: inputs needs x\n")
