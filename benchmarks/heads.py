"""What heads that differ cost, and what a window costs in many keys.

    python benchmarks/heads.py [--threads 1] [--rounds 9]

First, four heads that see all keys before them and 28 that see a window, in one kernel, beside a kernel for
the four and one for the 28. Then calls whose queries see a window of 512, among 8,192 keys and among 65,536.
All that is compared takes turns in one process, a round each; ratios are medians of the rounds' ratios. Both
sides have the same bits, or nothing is told. The last column says what a ratio may be at most.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np

import mhagen
from mhagen.backend.acceptance import numpy_dtype
from mhagen.base.dtypes import DType
from mhagen.runtime.threads import threads
from mhagen.tuning.measure import interleave

Array = np.ndarray[Any, Any]
HEADS, GLOBAL = 32, 4
CAUSAL, WINDOW = "k <= q", "k <= q and q - k < 256"
MIXED_BAR, LENGTH_BAR = 1.2, 1.1
# Batch, queries, keys, key/value heads.
MIXED = {
    "float32": ((1, 2048, 2048, 8), (1, 2048, 2048, 32), (4, 512, 512, 8), (1, 1, 8192, 8), (8, 1, 4096, 8)),
    "bfloat16": ((1, 2048, 2048, 8), (4, 512, 512, 8), (1, 1, 8192, 8)),
}
SHORT, LONG = 8192, 65_536
NARROW = {"mask": {"keep": "k <= q and q - k < 512", "align": "end"}}
TWO_WINDOWS = NARROW | {"groups": [{"heads": [0, 3], "mask": {"keep": "k <= q and q - k < 128"}}]}
BY_HEAD = {
    "mask": {"keep": "k <= q and q - k < window[h]", "align": "end"},
    "inputs": {"window": {"shape": ["query_heads"], "dtype": "int32"}},
}
WINDOWS = {"one window": NARROW, "two windows": TWO_WINDOWS, "windows of an array": BY_HEAD}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    with threads(asked.threads):
        print("| call | together | apart | ratio | at most |\n| --- | --- | --- | --- | --- |")
        for line in mixed_rows(asked.rounds):
            print(line, flush=True)
        print(f"\n| call | {LONG} keys | {SHORT} keys | ratio | at most |\n| --- | --- | --- | --- | --- |")
        for line in window_rows(asked.rounds):
            print(line, flush=True)


def mixed_rows(rounds: int) -> Iterator[str]:
    for dtype, calls in MIXED.items():
        for batch, queries, keys, shared in calls:
            query, key, value = arrays(dtype, (batch, HEADS, queries), (batch, shared, keys))
            cut = GLOBAL * shared // HEADS
            both = call(mixed_spec(dtype, shared), query, key, value)
            first = (query[:, :GLOBAL], key[:, :cut], value[:, :cut])
            rest = (query[:, GLOBAL:], key[:, cut:], value[:, cut:])
            wide = call(plain_spec(dtype, GLOBAL, cut, CAUSAL), *first)
            narrow = call(plain_spec(dtype, HEADS - GLOBAL, shared - cut, WINDOW), *rest)
            require_same(both(), np.concatenate([wide(), narrow()], axis=1))
            times = interleave({"both": both, "wide": wide, "narrow": narrow}, rounds)
            sums = [sum(pair) for pair in zip(times["wide"].rounds, times["narrow"].rounds, strict=True)]
            name = f"{dtype} b={batch} q={queries} k={keys}, {HEADS}/{shared} heads"
            yield row(name, times["both"].rounds, sums, MIXED_BAR)


def window_rows(rounds: int) -> Iterator[str]:
    for title, said in WINDOWS.items():
        for queries in (2048, 1):
            spec = {"name": "windowed", "heads": {"query": 8, "key_value": 2, "dim": 64}, **said}
            query, key, value = arrays("float32", (1, 8, queries), (1, 2, LONG))
            given = {"window": np.full(8, 512, np.int32)} if "inputs" in said else {}
            long = call(spec, query, key, value, **given)
            short = call(spec, query, key[:, :, -SHORT:], value[:, :, -SHORT:], **given)
            require_same(short(), long())
            times = interleave({"short": short, "long": long}, rounds)
            name = f"{title}, q={queries}, 8/2 heads"
            yield row(name, times["long"].rounds, times["short"].rounds, LENGTH_BAR)


def mixed_spec(dtype: str, shared: int) -> dict[str, Any]:
    groups = [{"heads": [*range(GLOBAL)], "mask": {"keep": CAUSAL}}]
    return {**plain_spec(dtype, HEADS, shared, WINDOW), "groups": groups}


def plain_spec(dtype: str, heads: int, shared: int, keep: str) -> dict[str, Any]:
    count = {"query": heads, "key_value": shared, "dim": 64}
    return {"name": "heads", "dtype": dtype, "heads": count, "mask": {"keep": keep, "align": "end"}}


def arrays(dtype: str, of_queries: tuple[int, ...], of_keys: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(0)
    shapes = ((*each, 64) for each in (of_queries, of_keys, of_keys))
    return [rng.standard_normal(shape, np.float32).astype(numpy_dtype(DType(dtype))) for shape in shapes]


def call(spec: dict[str, Any], *operands: Array, **given: Array) -> Callable[[], Array]:
    """A call of the spec's kernel, whose result is always written into one array."""
    attention = mhagen.build(spec).attention
    whole = [np.ascontiguousarray(each) for each in operands]
    return partial(attention, *whole, **given, out=np.empty_like(attention(*whole, **given)))


def require_same(one: Array, other: Array) -> None:
    if not np.array_equal(one.astype(np.float32), other.astype(np.float32)):
        raise SystemExit("both sides of a comparison have to have the same result, and have not")


def row(name: str, one: Sequence[float], other: Sequence[float], bar: float) -> str:
    ratio = median(a / b for a, b in zip(one, other, strict=True))
    return f"| {name} | {1e3 * median(one):.3f} ms | {1e3 * median(other):.3f} ms | {ratio:.2f} | {bar} |"


if __name__ == "__main__":
    main()
