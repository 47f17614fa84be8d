"""mhagen compiles the description of an attention layer into a readable Python module of kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base.errors import (
    InputError,
    InternalError,
    MhagenError,
    SpecError,
    UnsupportedError,
    VerificationError,
)
from .base.version import __version__ as __version__

if TYPE_CHECKING:
    from .ir.reference import Reference as Reference
    from .pipeline import Kernel as Kernel
    from .pipeline import SpecLike
    from .pipeline import build as build
    from .spec.load import load_spec as load_spec
    from .spec.model import Spec as Spec

__all__ = (
    "InputError",
    "InternalError",
    "Kernel",
    "MhagenError",
    "Reference",
    "Spec",
    "SpecError",
    "UnsupportedError",
    "VerificationError",
    "build",
    "load_spec",
    "reference",
)

# Where public names live that bring NumPy or pydantic: imported when first asked for.
HOMES = {
    "Kernel": "pipeline",
    "Reference": "ir.reference",
    "Spec": "spec.model",
    "build": "pipeline",
    "load_spec": "spec.load",
}


def reference(spec: SpecLike) -> Reference:
    """What a spec means, in float64: `attention` and `layer` interpreted op by op. The oracle."""
    from .ir.reference import Reference
    from .spec.load import load_spec

    return Reference(load_spec(spec))


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
