"""OpenVINO: scaled_dot_product_attention, and a whole layer around it, with a hint of the precision."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import openvino
from openvino import opset13

from ...base.dtypes import DType
from ...base.errors import UnsupportedError
from ...tuning.peer import Form, Ready
from ...tuning.problem import Array, Problem, as_dtype
from ..fused import added, fused, heads_first, in_layout

# Its CPU plug-in computes float16 with the precision of bfloat16 where it is asked for f16.
HINTS = {DType.FLOAT32: "f32", DType.BFLOAT16: "bf16", DType.FLOAT16: "f32"}
TYPES = {
    DType.FLOAT32: openvino.Type.f32,
    DType.BFLOAT16: openvino.Type.bf16,
    DType.FLOAT16: openvino.Type.f16,
}


def same_format(problem: Problem, threads: int) -> Ready:
    """Tensors in the format of the problem."""
    return ready(problem, threads, hinted(problem))


def float32_tensors(problem: Problem, threads: int) -> Ready:
    """float32 tensors; the hint has it compute in the format of the problem."""
    hinted(problem)
    return ready(problem, threads, DType.FLOAT32)


def hinted(problem: Problem) -> DType:
    dtype = problem.spec.dtype
    if dtype not in HINTS:
        raise UnsupportedError(f"it has no precision hint for {dtype.value}")
    return dtype


def ready(problem: Problem, threads: int, io: DType) -> Ready:
    build = layer if problem.is_layer else attention
    result, feeds = build(problem, io)
    parameters = [parameter for parameter, _ in feeds]
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[problem.spec.dtype],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(openvino.Model([result], parameters), "CPU", settings)
    request = compiled.create_infer_request()
    arrays = [stored(array, io) for _, array in feeds]
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, tensor(array, io))
    return Ready(partial(run, request, arrays), partial(read, problem))


def run(request: Any, arrays: list[Array]) -> Any:
    """`arrays` is not read here: tensors share its memory, and do not keep it."""
    request.infer()
    return request


def read(problem: Problem, request: Any) -> Array:
    result = request.get_output_tensor(0)
    data = result.data
    if result.element_type == openvino.Type.bf16:
        data = (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    array = np.array(data, np.float32).reshape(result.shape)
    return array if problem.is_layer else in_layout(problem, array)


def attention(problem: Problem, io: DType) -> tuple[Any, list[tuple[Any, Array]]]:
    """Grouped heads are broadcast in the form that its compiler knows; masks and biases come as an array."""
    asked = fused(problem)
    asked.refuse("softcap")
    is_flag = asked.is_causal and asked.window is None and asked.bias is None
    extra = added(problem, asked, with_mask=not is_flag)
    arrays = [*heads_first(problem), *([] if extra is None else [extra])]
    feeds = [(opset13.parameter(list(array.shape), TYPES[io]), array) for array in arrays]
    query, key, value, *mask = (parameter for parameter, _ in feeds)
    key, value = (broadcast(problem, each) for each in (key, value))
    scale = opset13.convert(opset13.constant(problem.spec.scale, np.float32), TYPES[io].to_string())
    masked = mask[0] if mask else None
    return (
        opset13.scaled_dot_product_attention(query, key, value, masked, scale, causal=is_flag),
        feeds,
    )


def broadcast(problem: Problem, rows: Any) -> Any:
    heads, (batch, _, keys, dim) = problem.spec.heads, [int(each) for each in rows.shape]
    group = heads.query // heads.key_value
    if group == 1:
        return rows
    apart = opset13.unsqueeze(rows, opset13.constant(2, np.int64))
    shape = opset13.constant([batch, heads.key_value, group, keys, dim], dtype=np.int64)
    together = opset13.constant([batch, heads.query, keys, dim], dtype=np.int64)
    return opset13.reshape(opset13.broadcast(apart, shape), together, False)


def layer(problem: Problem, io: DType) -> tuple[Any, list[tuple[Any, Array]]]:
    asked = fused(problem)
    asked.refuse("window", "softcap", "bias", "keep")
    heads, x = problem.spec.heads, problem.arguments["x"]
    if heads.query != heads.key_value:
        raise UnsupportedError("its heads share no keys here")
    parameter = opset13.parameter(list(x.shape), TYPES[io])
    query, key, value = (split(problem, product(problem, parameter, letter, io)) for letter in "qkv")
    out = opset13.scaled_dot_product_attention(query, key, value, causal=asked.is_causal)
    rows = opset13.transpose(out, opset13.constant([0, 2, 1, 3]))
    shape = opset13.constant([*x.shape[:2], heads.query * heads.value_dim])
    return product(problem, opset13.reshape(rows, shape, False), "o", io), [(parameter, x)]


def product(problem: Problem, rows: Any, letter: str, io: DType) -> Any:
    weights = constant(problem.weights[f"w{letter}"], io)
    out = opset13.matmul(rows, weights, False, True)
    bias = problem.weights.get(f"b{letter}")
    return out if bias is None else opset13.add(out, constant(bias, io))


def split(problem: Problem, rows: Any) -> Any:
    batch, length, width = (int(each) for each in rows.shape)
    heads = problem.spec.heads.query
    apart = opset13.reshape(rows, opset13.constant([batch, length, heads, width // heads]), False)
    return opset13.transpose(apart, opset13.constant([0, 2, 1, 3]))


def constant(array: Array, io: DType) -> Any:
    """A copy in the model."""
    return openvino.op.Constant(tensor(stored(array, io), io), shared_memory=False)


def stored(array: Array, io: DType) -> Array:
    """In the format; bfloat16 as integers of its bits, which is all that both sides know."""
    contiguous = np.ascontiguousarray(as_dtype(array, io))
    return contiguous.view(np.uint16) if io is DType.BFLOAT16 else contiguous


def tensor(array: Array, io: DType) -> Any:
    return openvino.Tensor(array, list(array.shape), TYPES[io])


def always(problem: Problem) -> bool:
    return True


def is_not_float32(problem: Problem) -> bool:
    return problem.spec.dtype is not DType.FLOAT32


FORMS = (
    Form("tensors of that format", same_format, always),
    Form("float32 tensors", float32_tensors, is_not_float32),
)
