"""The GPU of this machine in place of a simulated one, for whole calls: `pytest tests/gpu --gpu`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from gpu.attention import Call


class TorchGpu:
    """Its arrays are PyTorch's, whatever library is asked for; nothing is counted."""

    ran = None

    def __init__(self, device: str = "cuda") -> None:
        self.torch = pytest.importorskip("torch")
        self.device = device
        self.counts: Counter[str] = Counter()

    def put(self, kind: object, array: NDArray[Any], call: Call | None = None) -> Any:
        """An array on the GPU with those numbers; as a call says, with its rows apart."""
        if call is not None and call.backwards:
            pytest.skip("PyTorch has no strides below 0")
        is_bfloat16 = array.dtype.name == "bfloat16"
        found = self.torch.from_numpy(array.view(np.int16) if is_bfloat16 else array)
        found = (found.view(self.torch.bfloat16) if is_bfloat16 else found).to(self.device)
        if call is None or call.gap == 0:
            return found
        return self.torch.nn.functional.pad(found, (0, call.gap), value=np.nan)[..., : -call.gap]

    def fetch(self, array: Any, dtype: DTypeLike) -> NDArray[Any]:
        """A copy here, when what was asked for is done."""
        found = array.cpu()
        bits = found.view(self.torch.int16) if found.dtype == self.torch.bfloat16 else found
        return bits.numpy().view(dtype)
