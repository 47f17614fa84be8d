"""mhagen compiles the description of an attention layer into a readable Python module of kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

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
    from pathlib import Path

    from .expr.functions import abs as abs
    from .expr.functions import exp as exp
    from .expr.functions import floor as floor
    from .expr.functions import log as log
    from .expr.functions import maximum as maximum
    from .expr.functions import minimum as minimum
    from .expr.functions import sigmoid as sigmoid
    from .expr.functions import sqrt as sqrt
    from .expr.functions import tanh as tanh
    from .expr.functions import where as where
    from .ir.reference import Reference as Reference
    from .pipeline import Kernel as Kernel
    from .pipeline import SpecLike, Tune
    from .pruning.prune import prune as prune
    from .pruning.result import Pruning as Pruning
    from .spec.load import load_spec as load_spec
    from .spec.model import Spec as Spec
    from .tuning.gpu_result import GpuTuning as GpuTuning
    from .tuning.gpu_tune import tune_for_gpu as tune_for_gpu
    from .tuning.result import Tuning as Tuning
    from .tuning.tune import tune as tune

__all__ = (
    "GpuTuning",
    "InputError",
    "InternalError",
    "Kernel",
    "MhagenError",
    "Pruning",
    "Reference",
    "Spec",
    "SpecError",
    "Tuning",
    "UnsupportedError",
    "VerificationError",
    "abs",
    "build",
    "exp",
    "floor",
    "load_spec",
    "log",
    "maximum",
    "minimum",
    "prune",
    "reference",
    "sigmoid",
    "sqrt",
    "tanh",
    "tune",
    "tune_for_gpu",
    "where",
)

# Where public names live that are imported when first asked for: most bring NumPy or pydantic.
HOMES = {
    "GpuTuning": "tuning.gpu_result",
    "Kernel": "pipeline",
    "Pruning": "pruning.result",
    "Reference": "ir.reference",
    "Spec": "spec.model",
    "Tuning": "tuning.result",
    "load_spec": "spec.load",
    "prune": "pruning.prune",
    "tune": "tuning.tune",
    "tune_for_gpu": "tuning.gpu_tune",
    **dict.fromkeys(("abs", "exp", "floor", "log", "maximum", "minimum"), "expr.functions"),
    **dict.fromkeys(("sigmoid", "sqrt", "tanh", "where"), "expr.functions"),
}


def build(
    spec: SpecLike,
    *,
    backend: str = "cpu",
    arch: str | None = None,
    out: str | Path | None = None,
    tune: Tune | Literal["now"] = "cached",
) -> Kernel:
    """Compile a spec: a path, a dict or a Spec. With `out`, also write the module into that folder.

    Units    backend: "cpu" or "cuda"; arch: the GPU of the latter ("sm_90"), without it this machine's
             tune: "cached" takes schedules tuned before, if there are any; "never" ignores them; "now"
             measures first, which takes a minute; a ScheduleTable is taken as it is
    Raises   SpecError for a wrong spec, UnsupportedError for one that this version or machine cannot serve,
             VerificationError (and nothing written) when the kernel disagrees with the reference
    """
    from . import pipeline

    if tune == "now":
        from .tuning.tune import tune_now

        return pipeline.build(spec, backend=backend, arch=arch, out=out, tune=tune_now)
    return pipeline.build(spec, backend=backend, arch=arch, out=out, tune=tune)


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
