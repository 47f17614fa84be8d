"""The peers of kernels: one file each, each optional, each in all forms in which it might be fastest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from ...base.errors import InputError
from ...base.spelling import did_you_mean
from ...tuning.peer import Absent, Peer, reason


@dataclass(frozen=True)
class Entry:
    """A peer, the name that `--against` knows it by, and the files of this folder that have its FORMS."""

    name: str
    package: str
    files: tuple[str, ...]


ENTRIES = (
    Entry("PyTorch SDPA", "torch", ("torch_sdpa",)),
    Entry("FlexAttention", "torch", ("torch_flex",)),
    Entry("nn.MultiheadAttention", "torch", ("torch_layer",)),
    Entry("ONNX Runtime", "onnxruntime", ("onnx_attention", "onnx_layer")),
    Entry("OpenVINO", "openvino", ("openvino_attention",)),
    Entry("NumPy", "numpy", ("plain_numpy",)),
)
REMEDY = "pip install 'mhagen[peers]' installs all of them"
PACKAGES = tuple(dict.fromkeys(entry.package for entry in ENTRIES))


def peers_of(packages: Sequence[str]) -> Iterator[Peer | Absent]:
    """The peers that these packages have, or why they are absent.

    Raises   InputError for a package without a peer
    """
    for package in packages:
        if package not in PACKAGES:
            remedy = did_you_mean(package, PACKAGES) or "one of " + ", ".join(PACKAGES)
            raise InputError(f"there is no peer {package[:32]!r}: {remedy}")
    return (found(entry) for entry in ENTRIES if entry.package in packages)


def found(entry: Entry) -> Peer | Absent:
    try:
        modules = [import_module(f".{file}", __package__) for file in entry.files]
    except (ImportError, OSError) as error:
        return Absent(entry.name, why_absent(error))
    return Peer(entry.name, tuple(form for module in modules for form in module.FORMS))


def why_absent(error: ImportError | OSError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        package = error.name.partition(".")[0]
        return f"the package {package} is not installed; {REMEDY}"
    return reason(error)
