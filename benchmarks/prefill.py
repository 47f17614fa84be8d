"""Prefill attention in float32 on one thread, against every peer that is installed.

    python benchmarks/prefill.py            P1, P2, P3, P4
    python benchmarks/prefill.py P1 P4

All candidates and a kernel that does nothing but multiply-adds run in turn in one process. Printed are the
median share of the multiply-add peak, and each peer's time over ours: the median of the ratios, round by
round. Work is counted as 4 * batch * heads * queries * keys * dim operations, half of it under a causal mask.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np

import mhagen
from mhagen.runtime.host import host_cpu, host_target
from mhagen.tuning.measure import interleave
from mhagen.tuning.probes import MultiplyAdds

# Read by our kernels and by OpenMP at the first call, long after these lines.
os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

Candidate = Callable[[], object]
ROUNDS = 11


@dataclass(frozen=True)
class Case:
    """One row of the grid."""

    name: str
    batch: int
    heads: int
    length: int
    dim: int
    causal: bool

    @property
    def operations(self) -> float:
        dense = 4.0 * self.batch * self.heads * self.length * self.length * self.dim
        return dense / 2 if self.causal else dense

    def arrays(self) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(0)
        shape = (self.batch, self.heads, self.length, self.dim)
        return tuple(rng.standard_normal(shape, dtype=np.float32) for _ in range(3))


GRID = (
    Case("P1", 1, 12, 1024, 64, causal=False),
    Case("P2", 1, 12, 1024, 64, causal=True),
    Case("P3", 1, 16, 4096, 64, causal=True),
    Case("P4", 1, 32, 2048, 128, causal=True),
    Case("P4 dense", 1, 32, 2048, 128, causal=False),
    Case("P5", 32, 12, 128, 64, causal=False),
)


def ours(case: Case, arrays: tuple[np.ndarray, ...]) -> Candidate:
    spec = {"name": "prefill", "heads": {"query": case.heads, "dim": case.dim}}
    if case.causal:
        spec["mask"] = {"keep": "k <= q"}
    kernel, out = mhagen.build(spec), np.empty_like(arrays[0])
    return lambda: kernel.attention(*arrays, out=out)


def torch_peer(case: Case, arrays: tuple[np.ndarray, ...]) -> Candidate:
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    tensors = [torch.from_numpy(array) for array in arrays]
    attention = torch.nn.functional.scaled_dot_product_attention
    return lambda: attention(*tensors, is_causal=case.causal)


def onnxruntime_peer(case: Case, arrays: tuple[np.ndarray, ...]) -> Candidate:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "n", "e"]) for name in "qkvo"]
    attention = helper.make_node(
        "MultiHeadAttention",
        list("qkv"),
        ["o"],
        domain="com.microsoft",
        num_heads=case.heads,
        unidirectional=int(case.causal),
    )
    graph = helper.make_graph([attention], "attention", values[:3], values[3:])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 10
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rows = (case.batch, case.length, case.heads * case.dim)
    feed = {
        n: np.ascontiguousarray(a.transpose(0, 2, 1, 3)).reshape(rows)
        for n, a in zip("qkv", arrays, strict=True)
    }
    return lambda: session.run(None, feed)


def openvino_peer(case: Case, arrays: tuple[np.ndarray, ...]) -> Candidate:
    import openvino
    from openvino import opset13

    parameters = [opset13.parameter([-1, -1, -1, -1], np.float32) for _ in range(3)]
    result = opset13.scaled_dot_product_attention(*parameters, causal=case.causal)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Core().compile_model(openvino.Model([result], parameters), "CPU", settings)
    request = model.create_infer_request()
    return lambda: request.infer(list(arrays), share_inputs=True, share_outputs=True)


PEERS = {"PyTorch": torch_peer, "ONNX Runtime": onnxruntime_peer, "OpenVINO": openvino_peer}


def candidates(case: Case) -> Iterator[tuple[str, Candidate]]:
    arrays = case.arrays()
    yield "mhagen", ours(case, arrays)
    for name, peer in PEERS.items():
        try:
            yield name, peer(case, arrays)
        except ImportError:
            print(f"{name} is not installed")


def measure(case: Case) -> str:
    probe = MultiplyAdds(host_target())
    timings = interleave({**dict(candidates(case)), "peak": lambda: probe.run(False)}, ROUNDS)
    ours_seconds = timings["mhagen"].rounds
    peak_seconds = timings["peak"].rounds
    shares = [
        case.operations / mine * (seconds / probe.operations)
        for mine, seconds in zip(ours_seconds, peak_seconds, strict=True)
    ]
    ratios = {
        name: median(theirs / mine for theirs, mine in zip(timing.rounds, ours_seconds, strict=True))
        for name, timing in timings.items()
        if name not in ("mhagen", "peak")
    }
    speed = case.operations / timings["mhagen"].median / 1e9
    against = "   ".join(f"{name} {ratio:.2f} x" for name, ratio in ratios.items())
    return f"{case.name:9} {speed:6.1f} GFLOP/s   {median(shares):4.0%} of peak   {against}"


def main() -> None:
    wanted = sys.argv[1:] or ["P1", "P2", "P3", "P4"]
    print(f"{host_cpu().name}, one thread; a peer's number is its time over ours")
    for case in GRID:
        if case.name in wanted:
            print(measure(case), flush=True)


if __name__ == "__main__":
    main()
