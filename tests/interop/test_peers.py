"""Each peer that is installed agrees with the reference, in all its forms, on small versions of the grid."""

from __future__ import annotations

import sys

import pytest

from mhagen.backend.acceptance import Example
from mhagen.base.dtypes import DType
from mhagen.base.errors import InputError
from mhagen.interop import peers
from mhagen.interop.peers import ENTRIES, PACKAGES, Entry, found, peers_of
from mhagen.ir.reference import Reference
from mhagen.spec.load import load_spec
from mhagen.tuning.grid import DTYPES, row_named
from mhagen.tuning.peer import Absent, attempt, reason
from mhagen.tuning.problem import Problem
from mhagen.tuning.sampling import result_of

# Batch, queries and keys of the same work in small.
SMALL = {
    "P1": (2, 37, 37),
    "P2": (1, 37, 37),
    "P5 causal": (3, 16, 16),
    "P7": (2, 1, 50),
    "P8": (1, 1, 50),
    "P9": (1, 600, 600),
    "P10": (2, 20, 20),
    "P11": (1, 37, 37),
}
ATTENTION = frozenset(SMALL) - {"P10"}
WITHOUT_SOFTCAP = ATTENTION - {"P11"}
# Which rows a form must be able to do, by format; all others it must refuse in words.
SERVES = {
    ("PyTorch SDPA", "is_causal"): WITHOUT_SOFTCAP - {"P9"},
    ("PyTorch SDPA", "attn_mask"): {"P2", "P5 causal", "P9"},
    ("PyTorch SDPA", "groups as queries"): {"P7"},
    ("nn.MultiheadAttention", "need_weights=False"): {"P10"},
    ("ONNX Runtime", "MultiHeadAttention"): WITHOUT_SOFTCAP - {"P7"},
    ("ONNX Runtime", "GroupQueryAttention"): ATTENTION - {"P1"},
    ("ONNX Runtime", "Attention-23"): ATTENTION,
    ("ONNX Runtime", "layer of Attention"): {"P10"},
    ("ONNX Runtime", "layer of MultiHeadAttention"): {"P10"},
    ("OpenVINO", "tensors of that format"): WITHOUT_SOFTCAP | {"P10"},
    ("OpenVINO", "float32 tensors"): WITHOUT_SOFTCAP | {"P10"},
    ("NumPy", "float32"): frozenset(SMALL),
}
FORMATS = {"ONNX Runtime": (DType.FLOAT32,)}
SLOW_TO_COMPILE = ("FlexAttention",)  # seconds for each problem: what is new in a row is tried once


def small(row: str, dtype: DType) -> Problem:
    return Problem(load_spec(row_named(row).spec(dtype)), Example(*SMALL[row], seed=0))


def outcome(entry: Entry, form: str, row: str, dtype: DType) -> object:
    peer = found(entry)
    if isinstance(peer, Absent):
        pytest.skip(f"{peer.name}: {peer.reason}")
    problem = small(row, dtype)
    (chosen,) = [each for each in peer.forms if each.name == form]
    if not chosen.is_for(problem):
        return "not for this"
    made = attempt(chosen, problem, 1, result_of(Reference(problem.spec), problem))
    return reason(made) if isinstance(made, Exception) else made


def entry_named(name: str) -> Entry:
    return next(entry for entry in ENTRIES if entry.name == name)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.value)
@pytest.mark.parametrize("row", SMALL)
@pytest.mark.parametrize(("name", "form"), SERVES)
def test_a_form_is_right_or_refuses(name: str, form: str, row: str, dtype: DType) -> None:
    found = outcome(entry_named(name), form, row, dtype)
    is_served = row in SERVES[name, form] and dtype in FORMATS.get(name, DTYPES)
    if form == "float32 tensors" and dtype is DType.FLOAT32:
        is_served = False  # the other form has them already
    if is_served:
        assert not isinstance(found, str), found
    else:
        assert isinstance(found, str)
        assert "Error" not in found, found


@pytest.mark.parametrize(("row", "dtype"), [("P11", DType.FLOAT32), ("P9", DType.BFLOAT16)])
def test_flex_attention_takes_any_score_and_mask(row: str, dtype: DType) -> None:
    found = outcome(entry_named("FlexAttention"), "compiled", row, dtype)
    if isinstance(found, str) and "compiler" in found.lower():
        pytest.skip(found)
    assert not isinstance(found, str), found


def test_every_form_of_every_peer_is_tried_here() -> None:
    for entry in ENTRIES:
        peer = found(entry)
        if not isinstance(peer, Absent) and entry.name not in SLOW_TO_COMPILE:
            assert {form.name for form in peer.forms} == {form for name, form in SERVES if name == entry.name}


def test_a_package_that_is_not_installed_makes_its_peers_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = (Entry("PyTorch SDPA", "torch", ("torch_sdpa",)),)
    monkeypatch.setattr(peers, "ENTRIES", entries)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("torch_arrays", "peers.torch_sdpa"):
        monkeypatch.delitem(sys.modules, f"mhagen.interop.{name}", raising=False)
    (absent,) = peers_of(["torch"])
    assert (
        absent.reason
        == "the package torch is not installed; pip install 'mhagen[peers]' installs all of them"
    )


def test_an_unknown_package_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean `torch`"):
        peers_of(["trch"])
    assert PACKAGES == ("torch", "onnxruntime", "openvino", "numpy")
