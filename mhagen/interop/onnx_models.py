"""ONNX models of one node or a few, and their sessions in ONNX Runtime with all memory bound beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ..base.dtypes import DType
from ..tuning.problem import Array

OPSETS = (("", 23), ("com.microsoft", 1))
IR_VERSION = 11  # of opset 23
CONTRIB = "com.microsoft"
# Of the formats that NumPy does not have, tensors pass as integers of that size.
AS_INTEGERS = {DType.BFLOAT16.value: (TensorProto.BFLOAT16, np.uint16)}


@dataclass(frozen=True)
class Session:
    """A model that reads and writes the same memory in every call. `keeps` holds that memory."""

    run: Callable[[], object]
    read: Callable[[Any], Array]
    keeps: tuple[object, ...]


def open_session(
    nodes: Sequence[NodeProto],
    feeds: Mapping[str, Array],
    weights: Mapping[str, Array],
    outputs: Sequence[str],
    threads: int,
    shared: Mapping[str, str] | None = None,
) -> Session:
    """Load a model.

    `shared` names, for an output, the input whose memory it is written to: the caches of a decoder.
    """
    values = {name: ort_value(array) for name, array in feeds.items()}
    session = onnxruntime.InferenceSession(
        model_bytes(nodes, feeds, weights, outputs), options(threads), providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for name in outputs:
        if shared and name in shared:
            binding.bind_ortvalue_output(name, values[shared[name]])
        else:
            binding.bind_output(name, "cpu")

    def run() -> object:
        session.run_with_iobinding(binding)
        return binding

    return Session(run, first_output, (values, session))


def model_bytes(
    nodes: Sequence[NodeProto],
    feeds: Mapping[str, Array],
    weights: Mapping[str, Array],
    outputs: Sequence[str],
) -> bytes:
    inputs = [
        helper.make_tensor_value_info(name, element_type(array), array.shape) for name, array in feeds.items()
    ]
    kind = element_type(next(iter(feeds.values())))
    results = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "attention", inputs, results, constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = IR_VERSION
    return bytes(model.SerializeToString())


def options(threads: int) -> onnxruntime.SessionOptions:
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.log_severity_level = 3  # errors alone: they are raised anyway
    return chosen


def element_type(array: Array) -> int:
    if array.dtype.name in AS_INTEGERS:
        return int(AS_INTEGERS[array.dtype.name][0])
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def ort_value(array: Array) -> onnxruntime.OrtValue:
    if array.dtype.name in AS_INTEGERS:
        kind, integers = AS_INTEGERS[array.dtype.name]
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
            np.ascontiguousarray(array).view(integers), kind
        )
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def first_output(binding: Any) -> Array:
    return np.asarray(binding.get_outputs()[0].numpy())
