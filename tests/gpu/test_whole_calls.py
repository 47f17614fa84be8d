"""attention() as users call it, down to what its kernels leave in the memory of a simulated GPU."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpu import simulated, test_attention, test_decoding, test_float32, test_groups, test_hopper, test_second
from gpu.attention import DTYPES, SMALL, Call, Outcome, assert_right, module_of, spec_of
from gpu.by_torch import TorchGpu
from gpu.machine.faults import Fault
from gpu.simulated import Gpu, attend
from gpu.toolchain import needs_compiler
from mhagen.base.errors import InternalError
from mhagen.runtime import gpu_launch

pytestmark = needs_compiler
BIASED, ALIBI = test_hopper.CHOSEN["a bias"], test_hopper.CHOSEN["ALiBi"]
# So long an expression that the compiler leaves the loop over scores as it is.
LOOPING = spec_of(heads={"query": 1, "dim": 32}, scores={"modify": "score % 0.75"}, mask={"keep": "k <= q"})
# The spec, the schedule and the architecture by which another test has compiled it, the call, and how many
# kernels it needs.
CALLS: dict[str, tuple[Mapping[str, Any], Any, str, Call, int]] = {
    "tiles": (test_attention.CAUSAL, SMALL, "sm_80", Call(33, 65, batch=2, query_offset=32), 1),
    "parts": (test_decoding.CAUSAL, SMALL, "sm_80", Call(5, 257, batch=2, offsets=(252, -2)), 2),
    "17 queries are too many for parts": (test_decoding.CAUSAL, SMALL, "sm_80", Call(17, 257), 1),
    "rows apart": (test_attention.CAUSAL, SMALL, "sm_80", Call(33, 65, gap=8, query_offset=32), 1),
    "rows backwards": (test_attention.CAUSAL, SMALL, "sm_80", Call(33, 65, backwards=True), 1),
    "heads that differ": (
        test_groups.MIXED,
        SMALL,
        "sm_80",
        Call(33, 70, batch=2, offsets=(37, -70), inputs=test_groups.SLOPE),
        3,
    ),
    "heads that differ, by parts": (
        test_groups.MIXED,
        SMALL,
        "sm_80",
        Call(2, 300, batch=2, inputs=test_groups.SLOPE),
        5,
    ),
    "heads that differ on Hopper": (
        test_groups.MIXED,
        None,
        "sm_90a",
        Call(33, 70, batch=2, offsets=(37, -70), inputs=test_groups.SLOPE),
        3,
    ),
    "second passes of heads that differ": (
        test_groups.SECOND,
        SMALL,
        "sm_80",
        Call(70, 66, batch=2, offsets=(0, -3)),
        1 + 3 * 2,
    ),
    "second passes, rows first, not aligned": (
        test_second.PLAIN,
        SMALL,
        "sm_80",
        Call(65, 33, batch=2, layout="bshd", gap=3),
        3,
    ),
    "second passes behind parts": (test_second.CAUSAL, SMALL, "sm_80", Call(4, 260, query_offset=256), 4),
    "float32": (
        test_float32.MIXED,
        test_float32.SMALL,
        "sm_80",
        Call(33, 65, batch=2, offsets=(32, -3), inputs={"slope": test_float32.SLOPE}),
        1,
    ),
    "parts in float32": (
        test_float32.MIXED,
        test_float32.SMALL,
        "sm_80",
        Call(6, 257, batch=2, inputs={"slope": test_float32.SLOPE}),
        2,
    ),
    "more tasks than blocks of threads": (test_hopper.CAUSAL, None, "sm_90a", Call(130, 150, batch=3), 1),
    "inputs of many axes": (BIASED[0], None, "sm_90a", Call(70, 90, batch=2, inputs=BIASED[1]), 1),
    "scores in local memory": (LOOPING, None, "sm_80", Call(9, 70, batch=2), 1),
    "parts for Hopper": (ALIBI[0], None, "sm_90a", Call(1, 300, batch=2, inputs=ALIBI[1]), 2),
}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu | TorchGpu:
    return simulated.gpu_for_calls(monkeypatch)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return simulated.installed(monkeypatch)


def called(gpu: Gpu | TorchGpu, name: str, library: str = "torch") -> Outcome:
    spec, schedule, arch, call, _ = CALLS[name]
    return attend(gpu, spec, call, module_of(spec, schedule, arch), library)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_gives_what_the_reference_gives(gpu: Gpu | TorchGpu, name: str) -> None:
    spec, *_, kernels = CALLS[name]
    assert_right(called(gpu, name), spec["dtype"])
    assert gpu.ran in (kernels, TorchGpu.ran)


def test_scores_that_a_loop_goes_through_are_in_local_memory() -> None:
    assert "__local_depot" in module_of(LOOPING, None).KERNEL.code().decode(), "else they are in registers"


@pytest.mark.parametrize("name", ["tiles", "parts", "rows apart", "second passes behind parts"])
def test_the_library_that_arrays_are_from_is_all_the_same(without_gpu: Gpu, name: str) -> None:
    """CuPy's come by DLPack, and results are made of other functions."""
    assert_right(called(without_gpu, name, "cupy"), CALLS[name][0]["dtype"])


@pytest.mark.parametrize("given", ["new_counter", "new_workspace"])
def test_what_is_let_go_before_kernels_are_on_the_stream_is_seen(
    without_gpu: Gpu, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    name, place = {
        "new_counter": ("more tasks than blocks of threads", gpu_launch),
        "new_workspace": ("parts", module_of(*CALLS["parts"][:3])),
    }[given]
    plain = getattr(place, given)
    monkeypatch.setattr(place, given, lambda *how: SimpleNamespace(address=plain(*how).address))
    with pytest.raises(Fault, match="global memory out of bounds"):
        called(without_gpu, name)


def test_shared_memory_that_was_not_asked_for_is_not_there(
    without_gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 48 KiB nobody needs to ask for any; the blocks of this kernel have more."""
    monkeypatch.setattr(Gpu, "allow", lambda *how: 0)
    module = module_of({**test_hopper.CAUSAL, "name": "of_much_memory"}, None, "sm_90a")
    with pytest.raises(InternalError, match="cuLaunchKernel failed"):
        attend(without_gpu, test_hopper.CAUSAL, Call(3, 3), module)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("gap", [0, 3])
def test_arrays_for_a_gpu_come_back_as_they_were(dtype: str, gap: int) -> None:
    """By PyTorch, here with the host in place of the GPU."""
    array = np.random.default_rng(0).standard_normal((2, 3, 5, 8)).astype(DTYPES[dtype])
    host = TorchGpu("cpu")
    given = host.put(None, array, Call(5, 5, gap=gap))
    assert given.stride() == (15 * (8 + gap), 5 * (8 + gap), 8 + gap, 1)
    np.testing.assert_array_equal(host.fetch(given, DTYPES[dtype]), array)
