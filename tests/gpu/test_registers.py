"""Every kernel of a module, as ptxas makes it: the aligned and the others, second passes, pruned heads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gpu.attention import module_of, spec_of
from gpu.test_attention import CHOSEN
from gpu.toolchain import assemble_in_registers, needs_compiler, needs_sass
from mhagen.runtime.gpu_launch import GpuKernel
from mhagen.tuning.gpu_static import blocks_at_once

pytestmark = [needs_compiler, needs_sass]
# Two that share a multiprocessor of an H100, or one: a tile of queries is as wide as that allows.
MODULES: Mapping[str, tuple[dict[str, Any], str, int]] = {
    "64, with all there is": (
        spec_of(
            heads={"query": 2, "dim": 64, "pruned": [1]},
            outputs={"statistics": ["argmax", "lse", "received", "top_4"]},
        ),
        "sm_90",
        2,
    ),
    "192 and 128": (CHOSEN["192 and 128"], "sm_90", 1),
    "256": (CHOSEN["256"], "sm_90", 1),
    "64 in float32": (spec_of(dtype="float32", heads={"query": 2, "dim": 64}), "sm_90", 2),
    "64 on Hopper": (spec_of(dtype="bfloat16", heads={"query": 2, "dim": 64}), "sm_90a", 1),
}
# The others of a module for Hopper are those that every GPU has: test_hopper.py says so.
OF_HOPPER = ("KERNEL", "UNALIGNED")


def blocks(kernel: GpuKernel, registers: int) -> int:
    """Blocks of threads that a multiprocessor holds at once."""
    shared = kernel.shared_bytes
    return blocks_at_once(kernel.target, threads=kernel.threads, registers=registers, shared_bytes=shared)


@pytest.mark.parametrize("name", MODULES)
def test_every_kernel_stays_in_registers(name: str, tmp_path: Path) -> None:
    spec, arch, at_once = MODULES[name]
    kernels = {
        k: each for k, each in vars(module_of(spec, None, arch)).items() if isinstance(each, GpuKernel)
    }
    product = "FFMA" if spec["dtype"] == "float32" else "HGMMA" if arch == "sm_90a" else "HMMA"
    for kernel in OF_HOPPER if arch == "sm_90a" else kernels:
        made = assemble_in_registers(kernels[kernel], tmp_path)
        if kernel not in ("CLEARING", "MERGING"):
            assert made.opcodes()[product] >= 16, (kernel, product)
        if kernel == "KERNEL":
            assert blocks(kernels[kernel], made.registers) >= at_once
        if kernel == "PARTS":  # as many as have room for what is on its way
            assert blocks(kernels[kernel], made.registers) == blocks(kernels[kernel], 1)
