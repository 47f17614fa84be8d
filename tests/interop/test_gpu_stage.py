"""PyTorch's side of a bench on GPUs, on the CPU: what judges results, makes arrays, and is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mhagen.backend.acceptance import Example, distance
from mhagen.base.errors import InputError, UnsupportedError
from mhagen.interop import gpu
from mhagen.ir.reference import Reference
from mhagen.spec.load import load_spec
from mhagen.tuning.gpu_grid import CUDNN, FLASH, FLEX, SDPA, gpu_rows_named
from mhagen.tuning.problem import Problem
from mhagen.tuning.sampling import result_of

torch = pytest.importorskip("torch")
stages = pytest.importorskip("mhagen.interop.gpu.stage")
peers = pytest.importorskip("mhagen.interop.gpu.peers")
from mhagen.interop.gpu.exact import exact_attention, rows_of  # noqa: E402

SMALL = {
    "causal d128 s4096": (2, 150, 150), "dense d64 s4096": (1, 70, 70), "grouped": (1, 70, 70),
    "window": (1, 1100, 1100), "alibi": (2, 70, 70), "softcap": (1, 70, 70), "decode b8": (3, 1, 90),
}  # fmt: skip


def small(row: str, **changes: Any) -> Problem:
    (found,) = gpu_rows_named(row)
    from mhagen.base.dtypes import DType

    spec = {**found.spec(DType.FLOAT32), "heads": {"query": 4, "key_value": 2, "dim": 16}, **changes}
    return Problem(load_spec(spec), Example(*SMALL[row], seed=0))


def on_host(problem: Problem, stage: Any) -> tuple[Any, Any]:
    """Operands, and the right result for them, by the reference."""
    operands = stage.operands(problem)
    arrays = {name: operands.keywords[name].numpy() for name in ("query", "key", "value")}
    exact = Reference(problem.spec).attention(**arrays, query_offset=problem.query_offset)
    return operands, torch.from_numpy(exact)


@pytest.mark.parametrize("changes", [{}, {"layout": "bshd"}])
@pytest.mark.parametrize("row", SMALL)
def test_the_judge_agrees_with_the_reference_and_sees_a_wrong_number(
    row: str, changes: dict[str, Any]
) -> None:
    problem = small(row, **changes)
    operands, right = on_host(problem, stages.TorchStage("this CPU", "cpu"))
    assert operands.new_out().shape == right.shape
    assert bool(operands.new_out().isnan().all())
    assert operands.error(right) < 1e-5
    right[-1, ..., -1, -1, 0] += 0.1
    assert operands.error(right) > 0.02 > operands.allowed(0.0)


def test_arrays_of_inputs_are_read_and_a_query_that_sees_nothing_gives_zero() -> None:
    inputs = {"slope": {"shape": ["query_heads"]}, "length": {"shape": ["batch"], "dtype": "int32"}}
    problem = small(
        "alibi",
        inputs=inputs,
        scores={"modify": "score + slope[h] * (k - q)"},
        mask={"keep": "k < length[b] - 60 and k < q"},
    )
    stage = stages.TorchStage("this CPU", "cpu")
    arrays = {name: stage.put(array) for name, array in problem.arguments.items()}
    given = {name: stage.put(array) for name, array in problem.inputs.items()}
    found = exact_attention(problem, arrays, given, 1, slice(0, 70))
    assert distance(found.numpy(), result_of(Reference(problem.spec), problem)[1]) < 1e-5
    with pytest.raises(UnsupportedError, match="pruned"):
        exact_attention(
            small("alibi", heads={"query": 4, "dim": 16, "pruned": [1]}), arrays, given, 0, slice(9)
        )


def test_front_middle_and_end_are_judged() -> None:
    assert rows_of(4096, 64) == (slice(0, 64), slice(2011, 2075), slice(4032, 4096))
    assert rows_of(1, 64) == (slice(0, 1),)


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
@pytest.mark.parametrize("row", ["causal d128 s4096", "dense d64 s4096", "decode b8"])
@pytest.mark.parametrize("name", [FLASH, SDPA])
def test_peers_are_right_in_the_layout_of_the_spec(name: str, row: str, layout: str) -> None:
    problem = small(row, layout=layout)
    operands, _ = on_host(problem, stages.TorchStage("this CPU", "cpu"))
    (peer,) = (each for each in peers.PEERS if each.name == name)
    try:
        result = peer.make(problem, operands.keywords)()
    except RuntimeError as refusal:  # what this CPU's PyTorch has no kernel for
        pytest.skip(str(refusal)[:80])
    assert operands.error(result) < 1e-5


def test_each_peer_is_asked_what_it_may_be_able_to_do() -> None:
    able = {peer.name: peer for peer in peers.PEERS}
    assert set(able) == {FLASH, CUDNN, FLEX, SDPA}
    assert [able[FLASH].is_for(small(row)) for row in ("grouped", "window", "alibi")] == [True, False, False]
    assert [able[SDPA].is_for(small(row)) for row in ("grouped", "decode b8")] == [False, True]
    with pytest.raises(UnsupportedError, match="window"):
        able[FLASH].make(small("window"), {})


def test_arrays_come_back_as_they_went() -> None:
    stage = stages.TorchStage("this CPU", "cpu")
    for dtype in (np.dtype(np.float16), np.dtype(np.int32), np.dtype(bool)):
        array = np.arange(6).reshape(2, 3).astype(dtype)
        assert stage.fetch(stage.put(array), dtype).dtype == dtype
        np.testing.assert_array_equal(stage.fetch(stage.put(array), dtype), array)
    bits = small("alibi", dtype="bfloat16").arguments["query"]
    assert stage.put(bits).dtype == torch.bfloat16
    np.testing.assert_array_equal(stage.fetch(stage.put(bits), bits.dtype), bits)


def test_calls_are_timed_one_behind_the_other_by_events(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, called = [0.0], []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = clock[0]

        def elapsed_time(self, other: Event) -> float:
            return other.at - self.at

    def call() -> None:
        clock[0] += 2.0
        called.append(clock[0])

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert stages.TorchStage("", "cpu").seconds(call, 3) == [2e-3] * 3
    assert len(called) == 4, "the first one is not timed"


def test_without_cuda_or_pytorch_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnsupportedError, match="finds no GPU here"):
        gpu.stage_here()
    with pytest.raises(InputError, match="no peer 'onnxruntime' on GPUs"):
        gpu.peers_on_gpu(["onnxruntime"])
    assert gpu.peers_on_gpu([]) == ()

    def missing(*_: Any) -> Any:
        raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(gpu, "import_module", missing)
    with pytest.raises(UnsupportedError, match="pip install torch"):
        gpu.stage_here()
