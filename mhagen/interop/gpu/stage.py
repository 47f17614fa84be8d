"""The GPU of this machine, by PyTorch: arrays that are made on it, events, graphs, and who judges results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ...backend.acceptance import distance
from ...backend.cuda import GpuSource, load_gpu
from ...base.errors import UnsupportedError
from ...spec.fields import Layout
from ...tuning.gpu_race import Operands, usual_tolerance
from ...tuning.measure import Candidate
from ...tuning.problem import Array, Problem
from ..torch_arrays import tensor
from .exact import ROWS, exact_attention, rows_of

COPIED_BYTES = 1 << 30
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


class TorchStage:
    """The first GPU that PyTorch sees; another device stands for it in tests."""

    def __init__(self, name: str, device: str = "cuda") -> None:
        self.name = name
        self.device = torch.device(device)

    def attention(self, source: GpuSource) -> Callable[..., Any]:
        """The function that users call; it compiles what is not in the cache when it is first called."""
        found: Callable[..., Any] = load_gpu(source).attention
        return found

    def put(self, array: Array) -> torch.Tensor:
        return tensor(np.ascontiguousarray(array)).to(self.device)

    def fetch(self, array: torch.Tensor, dtype: np.dtype[Any]) -> Array:
        """A copy here, when what was asked for is done."""
        if not array.is_floating_point():
            found: Array = array.cpu().numpy()
            return found
        return array.float().cpu().numpy().astype(dtype)

    def seconds(self, call: Candidate, count: int) -> list[float]:
        """What each of some calls took, one behind the other, by events: the GPU does not wait for Python."""
        call()
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]  # type: ignore[no-untyped-call]
        marks[0].record()
        for mark in marks[1:]:
            call()
            mark.record()
        torch.cuda.synchronize()
        return [first.elapsed_time(second) / 1e3 for first, second in pairwise(marks)]

    def operands(self, problem: Problem) -> Operands:
        """Normal numbers, made on the GPU; float32 attention, written out, judges some of the queries."""
        torch.manual_seed(problem.example.keys + problem.spec.heads.dim)
        shapes = shapes_of(problem)
        arrays = {name: self.normal(shape, problem) for name, shape in shapes.items() if name != "out"}
        inputs = {name: self.put(array) for name, array in problem.inputs.items()}
        return Operands(
            {**arrays, **inputs, "query_offset": problem.query_offset},
            lambda: torch.full_like(self.normal(shapes["out"], problem), torch.nan),
            partial(error_of, problem, arrays, inputs),
            lambda error: usual_tolerance(problem),
        )

    def normal(self, shape: tuple[int, ...], problem: Problem) -> torch.Tensor:
        return torch.randn(shape, device=self.device, dtype=DTYPES[problem.spec.dtype.value])

    def repeated(self, call: Candidate, count: int) -> Candidate:
        """A graph of some calls: what it takes is the GPU's time alone."""
        call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(count):
                call()
        replay: Candidate = graph.replay
        return replay

    def copying(self) -> tuple[Candidate, int]:
        """A copy from memory to memory, and how many bytes it reads and writes."""
        source, target = (torch.empty(COPIED_BYTES, device=self.device, dtype=torch.uint8) for _ in range(2))
        return partial(target.copy_, source), 2 * COPIED_BYTES


def stage_here() -> TorchStage:
    """Raises   UnsupportedError where PyTorch has no CUDA"""
    if not torch.cuda.is_available():
        raise UnsupportedError(
            f"PyTorch {torch.__version__} finds no GPU here, and kernels are timed with its arrays: install "
            "one that is built for CUDA"
        )
    return TorchStage(torch.cuda.get_device_name(0))


def shapes_of(problem: Problem) -> dict[str, tuple[int, ...]]:
    """Of query, key, value and the output, in the spec's layout."""
    heads, example = problem.spec.heads, problem.example
    widths = {
        "query": (heads.query, example.queries, heads.dim),
        "key": (heads.key_value, example.keys, heads.dim),
        "value": (heads.key_value, example.keys, heads.value_dim),
        "out": (heads.query, example.queries, heads.value_dim),
    }
    is_heads_first = problem.spec.layout is Layout.BHSD
    return {
        name: (example.batch, count, length, width)
        if is_heads_first
        else (example.batch, length, count, width)
        for name, (count, length, width) in widths.items()
    }


def error_of(
    problem: Problem, arrays: Mapping[str, torch.Tensor], inputs: Mapping[str, torch.Tensor], result: Any
) -> float:
    """The greatest distance in some queries of the first and the last batch entry."""
    worst = 0.0
    found = result if problem.spec.layout is Layout.BHSD else result.transpose(1, 2)
    for entry in sorted({0, problem.example.batch - 1}):
        for rows in rows_of(problem.example.queries, ROWS):
            exact = exact_attention(problem, arrays, inputs, entry, rows)
            mine = found[entry, :, rows].float()
            worst = max(worst, distance(mine.cpu().numpy(), exact.cpu().numpy()))
    return worst
