"""What Numba and LLVM say of this machine, whatever mhagen is told to make of it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from ..base.errors import UnsupportedError
from ..runtime.gpu_compiler import NO_COMPILER

# The modules that hold Numba's threading layers; importing one loads its library, and starts no thread.
LAYER_MODULES = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}


def own_cpu_name() -> str:
    """The CPU's name in LLVM, without regard to NUMBA_CPU_NAME."""
    import llvmlite.binding as llvm

    return str(llvm.get_host_cpu_name())


def own_cpu_features() -> frozenset[str]:
    """The CPU's features in LLVM, without regard to NUMBA_CPU_FEATURES."""
    import llvmlite.binding as llvm

    return frozenset(feature for feature, present in llvm.get_host_cpu_features().items() if present)


def compiler_is_on() -> bool:
    """Whether Numba compiles: NUMBA_DISABLE_JIT=1 turns it off."""
    from numba import config

    return not config.DISABLE_JIT  # type: ignore[attr-defined]


def threading_layer() -> str | None:
    """The layer that Numba's own parallel code would load here; None if there is none."""
    from numba import config

    chosen, order = str(config.THREADING_LAYER), config.THREADING_LAYER_PRIORITY  # type: ignore[attr-defined]
    for layer in (chosen,) if chosen in LAYER_MODULES else order:
        try:
            import_module(f"numba.np.ufunc.{LAYER_MODULES[layer]}")
        except ImportError:
            continue
        return str(layer)
    return None


def require_gpu_compiler() -> None:
    """Raises   UnsupportedError where Numba's CUDA compiler is not installed"""
    if find_spec("numba_cuda") is None:
        raise UnsupportedError(NO_COMPILER)
