"""What serves the calls of one range of lengths, where a module has more than one schedule."""

from __future__ import annotations

from typing import NamedTuple

from .launch import Kernel


class Entry(NamedTuple):
    """Kernels, and the sizes by which attend() counts their tasks."""

    kernel: Kernel
    decode: Kernel
    decode_queries: int
    chunk_keys: int
    rows_of_task: int
