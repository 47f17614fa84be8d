"""PyTorch on a GPU: its arrays, its clock and its own kernels, which ours are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from ...base.errors import InputError, UnsupportedError
from ...base.spelling import did_you_mean
from ...tuning.gpu_race import GpuPeer, Stage

PACKAGES = ("torch",)


def require_packages(packages: Sequence[str]) -> None:
    """Raises   InputError for a package without a peer on GPUs"""
    for package in packages:
        if package not in PACKAGES:
            remedy = did_you_mean(package, PACKAGES) or "torch is all there is"
            raise InputError(f"there is no peer {package[:32]!r} on GPUs: {remedy}")


def stage_here() -> Stage:
    """The GPU of this machine, by PyTorch.

    Raises   UnsupportedError without PyTorch, or one that has no CUDA
    """
    try:
        stage = import_module(".stage", __package__)
    except (ImportError, OSError) as error:
        raise UnsupportedError(
            f"kernels for GPUs are timed with PyTorch's arrays, and it is not here ({error}): pip install "
            "torch"
        ) from error
    found: Stage = stage.stage_here()
    return found


def peers_on_gpu(packages: Sequence[str]) -> tuple[GpuPeer, ...]:
    """What these packages have. `stage_here` has seen that PyTorch is there.

    Raises   InputError for a package without a peer
    """
    require_packages(packages)
    if not packages:
        return ()
    peers: tuple[GpuPeer, ...] = import_module(".peers", __package__).PEERS
    return peers
