"""Specs drawn at random for CPUs, on a GPU that is none; `--hypothesis-profile=long` draws many others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kernels.calls import Array, Shape
from kernels.drawn_specs import kept, sort_of
from kernels.random_specs import numbered
from kernels.specs import Case
from kernels.steadiness import assert_right_where_steady
from kernels.test_random_specs import DRAWN_NOW, offset_of

from gpu import virtual
from gpu.attention import DTYPES
from gpu.by_torch import TorchGpu
from gpu.libraries import OfTorch
from gpu.toolchain import needs_compiler
from gpu.virtual import Gpu
from mhagen.backend import cuda
from mhagen.base.dtypes import DType
from mhagen.pipeline import compile_to_gpu_source

pytestmark = needs_compiler
# By tiles and by parts, with a tail, and where few keys are seen.
LENGTHS = ((33, 70), (2, 300), (1, 5))
ROUNDINGS = 2  # of weights, before they are multiplied, and of results
DUST = 2e-7  # of an entropy, which is a difference: where it is 0 the kernel rounds


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu | TorchGpu:
    return virtual.gpu_for_calls(monkeypatch)


def for_gpus(case: Case, arch: str) -> Case:
    """The spec in a format that GPUs have; for wgmma with heads that it takes."""
    heads, dtype = case.spec.heads, case.spec.dtype
    if dtype is DType.FLOAT64 or (arch == "sm_90a" and dtype is DType.FLOAT32):
        dtype = DType.FLOAT16
    if arch == "sm_90a":
        wide = {name: -(-getattr(heads, name) // 64) * 64 for name in ("dim", "value_dim")}
        heads = heads.model_copy(update=wide)
    return replace(case, spec=case.spec.model_copy(update={"heads": heads, "dtype": dtype}))


def called(gpu: Gpu | TorchGpu, module: Any, case: Case, call: dict[str, Any]) -> Any:
    """What attention() leaves in the memory of the GPU."""
    given = {
        name: gpu.put(OfTorch, each) if isinstance(each, np.ndarray) else each for name, each in call.items()
    }
    result = module.attention(**given)
    statistics = [each.value for each in case.spec.outputs.statistics]
    if not statistics:
        return gpu.fetch(result, DTYPES[case.spec.dtype.value])
    out, *others = result
    found = {name: gpu.fetch(each, np.float32) for name, each in zip(statistics, others, strict=True)}
    if "entropy" in found:
        found["entropy"][np.abs(found["entropy"]) < DUST] = 0.0
    return (gpu.fetch(out, DTYPES[case.spec.dtype.value]), *found.values())


def offsets_of(rng: np.random.Generator, batch: int, keys: int) -> int | Array | None:
    found = offset_of(rng, batch, keys)
    return found.astype(np.int64) if isinstance(found, np.ndarray) else found


# One of each sort: do heads differ, and are some pruned? Compiling one takes long.
KEPT = [*zip({sort_of(case): case for case in kept()}.values(), 2 * ("sm_80", "sm_90a"), strict=True)]
DRAWN = [(number, arch) for number in range(DRAWN_NOW) for arch in ("sm_80", "sm_90a")]


@pytest.mark.parametrize(("drawn", "arch"), [*KEPT, *DRAWN], ids=repr)
def test_a_spec_drawn_at_random_equals_the_reference(
    gpu: Gpu | TorchGpu, drawn: Case | int, arch: str
) -> None:
    case = for_gpus(numbered(drawn) if isinstance(drawn, int) else drawn, arch)
    print(case.spec.model_dump_json(exclude_defaults=True), case.ranges)
    module = cuda.load_gpu(compile_to_gpu_source(case.spec, arch)[2])
    rng = np.random.default_rng(0)
    for queries, keys in LENGTHS:
        call = Shape(2, queries, keys, queries, rng.choice([0.2, 1.0, 8.0])).random(case)
        call["query_offset"] = offsets_of(rng, 2, keys)
        assert_right_where_steady(case.spec, called(gpu, module, case, call), call, ROUNDINGS)
