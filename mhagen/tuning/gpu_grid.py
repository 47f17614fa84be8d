"""The grid of calls for GPUs: sizes that are usual there, and what kernels have to reach in them."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.dtypes import DType
from ..base.errors import InputError
from ..base.spelling import did_you_mean
from ..base.target import Gpu
from .grid import CAUSAL, Keys, Row, heads
from .problem import CAUSAL as SEES_NO_LATER
from .problem import Problem

GPU_DTYPES = (DType.BFLOAT16, DType.FLOAT16)
TOKENS = 16384  # batch times length
HEADS, SHARED_HEADS = 16, 4
DECODING_HEADS, DECODING_SHARED, DECODED_KEYS = 32, 8, 8192
SEQUENCES = (8, 16, 32, 64)
DIMS = (128, 64, 256)
LENGTHS = (4096, 1024, 16384)
OTHER_LENGTHS = (2048, 512, 8192)
WINDOW: Keys = {"mask": {"keep": "k <= q and q - k < 1024"}}
ALIBI: Keys = {"scores": {"modify": "score + exp(-0.34657359 * (h + 1)) * (k - q)"}, **CAUSAL}
SOFTCAP: Keys = {"scores": {"modify": "30.0 * tanh(score / 30.0)"}, **CAUSAL}

FLASH, CUDNN, FLEX, SDPA = "FlashAttention-2", "cuDNN", "FlexAttention", "PyTorch SDPA"
# What kernels have to reach, by whom they are compared with: times as fast, or of the bandwidth of copying.
BAR_OF_FLASH, BAR_OF_CUDNN, BAR_OF_FLEX, BAR_OF_DECODING = 1.0, 0.85, 1.2, 0.85
DIM_OF_CUDNN, LENGTH_OF_CUDNN = 128, 4096


def row(name: str, length: int, dim: int, keys: Keys, key_value: int = HEADS) -> Row:
    batch = max(1, TOKENS // length)
    shared = "" if key_value == HEADS else f" on {key_value}"
    title = f"batch {batch}, {HEADS} heads{shared}, {length} tokens, dim {dim}"
    return Row(name, title, heads(HEADS, dim, key_value, **keys), batch, length, length)


def plain_rows(lengths: tuple[int, ...]) -> Iterator[Row]:
    for dim in DIMS:
        for length in lengths:
            yield row(f"causal d{dim} s{length}", length, dim, CAUSAL)
            yield row(f"dense d{dim} s{length}", length, dim, {})


def decoding_row(batch: int) -> Row:
    counts = f"{DECODING_HEADS} heads on {DECODING_SHARED}, {DECODED_KEYS} keys"
    keys = heads(DECODING_HEADS, 128, DECODING_SHARED)
    return Row(f"decode b{batch}", f"batch {batch}, 1 query, {counts}, dim 128", keys, batch, 1, DECODED_KEYS)


# Most telling first: who measures may run out of time.
GPU_GRID = (
    *plain_rows(LENGTHS),
    row("grouped", 4096, 128, CAUSAL, SHARED_HEADS),
    row("window", 8192, 128, WINDOW),
    row("alibi", 4096, 64, ALIBI),
    row("softcap", 4096, 128, SOFTCAP),
    *map(decoding_row, SEQUENCES),
    *plain_rows(OTHER_LENGTHS),
)
GPU_NAMES = tuple(each.name for each in GPU_GRID)


def gpu_rows_named(text: str) -> tuple[Row, ...]:
    """The row of that name, else those whose names have all these words in them.

    Raises   InputError where there is none
    """
    asked = text.lower().split()
    exact = tuple(each for each in GPU_GRID if each.name.split() == asked)
    found = exact or tuple(each for each in GPU_GRID if set(asked) <= set(each.name.split()))
    if not found:
        remedy = (
            did_you_mean(text, GPU_NAMES) or "some are causal d128 s4096, window, decode b8; d64 for all such"
        )
        raise InputError(f"the grid for GPUs has no row {text[:32]!r}: {remedy}")
    return found


def is_plain(problem: Problem) -> bool:
    """No mask but the causal one, scores as they are: what fused operators everywhere do."""
    keep = problem.spec.keep_expression
    return problem.spec.scores.modify is None and (keep is None or keep == SEES_NO_LATER)


def bar_of(peer: str, problem: Problem, target: Gpu) -> float | None:
    """How many times as fast as a peer a kernel for that target has to be; None where nothing is asked."""
    if problem.is_decoding:
        return None
    is_hopper = bool(target.suffix)
    if peer == FLASH:
        return None if is_hopper else BAR_OF_FLASH
    if not is_hopper and target.compute_capability == (9, 0):
        return None  # beside cuDNN and FlexAttention it is judged what a Hopper GPU gets
    if peer == FLEX:
        return BAR_OF_FLEX
    is_long = problem.example.queries >= LENGTH_OF_CUDNN and problem.spec.heads.dim == DIM_OF_CUDNN
    return BAR_OF_CUDNN if peer == CUDNN and is_hopper and is_long else None
