"""Kernels for GPUs beside the reference: every result counts, and lengths lie around the edges of tiles."""

from __future__ import annotations

from typing import Any

import pytest

from mhagen.pipeline import compile_to_gpu_source
from mhagen.tuning.gpu_verification import lengths, verify_on_gpu
from tuning.planted_for_gpus import Reckoning

SPEC: dict[str, Any] = {
    "name": "verified",
    "dtype": "float32",
    "heads": {"query": 2, "dim": 16},
    "mask": {"keep": "k <= q"},
    "outputs": {"statistics": ["lse", "argmax"]},
}


@pytest.fixture(scope="module")
def built() -> Any:
    spec, _, source = compile_to_gpu_source(SPEC, "sm_80")
    return spec, source


def test_every_edge_of_a_tile_is_met(built: Any) -> None:
    tile = built[1].schedule.tile_queries
    assert {queries - tile for queries, _ in lengths(built[1])} >= {-1, 0, 1}
    assert {keys for queries, keys in lengths(built[1]) if queries == 1} >= {1, 256, 259}


def test_a_right_kernel_passes_and_each_wrong_result_is_seen(built: Any) -> None:
    assert all(case.is_right for case in verify_on_gpu(Reckoning(SPEC), *built))
    for result in range(2):
        cases = list(verify_on_gpu(Reckoning(SPEC, off=0.01, off_in=result), *built))
        assert not any(case.is_right for case in cases if case.keys >= case.queries)
