"""Specs drawn at random for CPUs, on a simulated GPU; `--hypothesis-profile=long` draws many others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kernels.calls import Array, Shape
from kernels.drawn_specs import kept, sort_of
from kernels.random_specs import OF_QUERIES, numbered
from kernels.specs import Case
from kernels.steadiness import assert_right_where_steady
from kernels.test_random_specs import DRAWN_NOW, offset_of

from gpu import simulated
from gpu.attention import DTYPES
from gpu.by_torch import TorchGpu
from gpu.libraries import OfTorch
from gpu.simulated import Gpu
from gpu.toolchain import needs_compiler
from mhagen.backend import cuda
from mhagen.base.digest import digest
from mhagen.base.dtypes import DType
from mhagen.pipeline import compile_to_gpu_source

pytestmark = needs_compiler
# By tiles, by parts, and where few keys are seen.
LENGTHS = ((33, 70), (2, 300), (1, 5))
WEIGHTS = {DType.FLOAT16: 2.0**-11, DType.BFLOAT16: 2.0**-8}  # their rounding, before they are multiplied
SAYS_SOMETHING = 0.3  # the share of results that are neither 0 nor infinite, nor open to chance
ENTROPY = 2e-7  # a difference: where it is 0 the kernel rounds


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu | TorchGpu:
    return simulated.gpu_for_calls(monkeypatch)


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
    arrays = {name: gpu.put(OfTorch, each) for name, each in call.items() if isinstance(each, np.ndarray)}
    result = module.attention(**{**call, **arrays})
    dtype = DTYPES[case.spec.dtype.value]
    if not case.spec.outputs.statistics:
        return gpu.fetch(result, dtype)
    out, *others = result
    return (gpu.fetch(out, dtype), *(gpu.fetch(each, np.float32) for each in others))


def offsets_of(rng: np.random.Generator, keys: int, is_kept: bool) -> int | Array | None:
    """As for CPUs; of specs that are kept, queries see some keys and not others."""
    if is_kept:
        return rng.integers(keys // 2, keys, 2)
    found = offset_of(rng, 2, keys)
    return found.astype(np.int64) if isinstance(found, np.ndarray) else found


def chosen(number: int, arch: str, dtype: DType | None = None) -> tuple[Case, str]:
    """A spec of the file; where a format is named, in that one."""
    case = kept()[number]
    spec = case.spec if dtype is None else case.spec.model_copy(update={"dtype": dtype})
    return replace(case, spec=spec), arch


# One of each sort (do heads differ, and are some pruned?), with all formats and statistics of queries.
KEPT = [chosen(9, "sm_80"), chosen(8, "sm_90a"), chosen(14, "sm_80", DType.FLOAT16), chosen(17, "sm_90a")]
DRAWN = [(number, arch) for number in range(DRAWN_NOW) for arch in ("sm_80", "sm_90a")]


def test_specs_that_are_chosen_have_heads_of_every_sort_and_numbers_of_every_dtype() -> None:
    cases = [for_gpus(case, arch).spec for case, arch in KEPT]
    assert {sort_of(case) for case, _ in KEPT} == {(a, b) for a in (False, True) for b in (False, True)}
    assert {each.dtype for each in cases} == {DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32}
    assert {each.value for spec in cases for each in spec.outputs.statistics} == {*OF_QUERIES}


@pytest.mark.parametrize(("drawn", "arch"), [*KEPT, *DRAWN], ids=repr)
def test_a_spec_drawn_at_random_equals_the_reference(
    gpu: Gpu | TorchGpu, drawn: Case | int, arch: str
) -> None:
    is_kept = isinstance(drawn, Case)
    case = for_gpus(drawn if isinstance(drawn, Case) else numbered(drawn), arch)
    print(case.spec.model_dump_json(exclude_defaults=True), case.ranges)
    module = cuda.load_gpu(compile_to_gpu_source(case.spec, arch)[2])
    rng = np.random.default_rng(int(digest(case.spec.name), 16) % 2**32)
    for queries, keys in LENGTHS:
        call = Shape(2, queries, keys, queries, rng.choice([0.2, 1.0, 8.0])).random(case)
        call["query_offset"] = offsets_of(rng, keys, is_kept)
        found = called(gpu, module, case, call)
        out = found[0] if isinstance(found, tuple) else found
        greatest = float(np.abs(out[np.isfinite(out)]).max(initial=0.0))
        more = {"out": WEIGHTS.get(case.spec.dtype, 0.0) * greatest, "entropy": ENTROPY}
        steady = assert_right_where_steady(case.spec, found, call, more)
        says_something = (np.isfinite(out) & (out != 0)).mean() * steady > SAYS_SOMETHING
        assert says_something or not is_kept
