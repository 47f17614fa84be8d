"""Decoding visits the keys that heads which differ by an array can reach, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen.backend import cpu
from mhagen.pipeline import compile_to_source

Table = dict[str, Any]
HEADS: Table = {"query": 8, "key_value": 2, "dim": 8}
WINDOW: Table = {"window": {"shape": ["query_heads"], "dtype": "int32"}}
LEFT: Table = {"left": {"shape": ["batch", "query_heads"], "dtype": "int64"}}
PLAIN: Table = {
    "name": "windows",
    "heads": HEADS,
    "mask": {"keep": "k <= q and q - k < window[h]", "align": "end"},
    "inputs": WINDOW,
    "outputs": {"statistics": ["lse"]},
}
SPECS: dict[str, Table] = {
    "a window by head": PLAIN,
    "pruned heads": {**PLAIN, "heads": {**HEADS, "pruned": [1, 4, 5]}},
    "parts, and an array by batch entry": {
        **PLAIN,
        "heads": {**HEADS, "pruned": [1]},
        "inputs": WINDOW | LEFT,
        "groups": [
            {"heads": [0, 5, 6], "mask": {"keep": "k <= q and k >= left[b, h]"}},
            {"heads": [2], "mask": {"keep": "k <= q"}},
        ],
    },
    "heads that differ in what is not bounded": {
        **PLAIN,
        "mask": {"keep": "k <= q and (k // 64 + window[h]) % 2 == 0"},
    },
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_heads_that_see_as_far_as_an_array_says_meet_the_reference(spec: Table) -> None:
    """Windows of 0 and less hide every key, from one head or from all."""
    kernel, rng = mhagen.build(spec, tune="never"), np.random.default_rng(0)
    edge = vars(kernel.module)["CHUNK_KEYS"]
    windows = np.array([0, -3, -(2**31), 1, 17, edge - 1, edge + 1, 5000])
    for queries, keys in (1, 1), (1, edge), (2, edge + 1), (5, 3 * edge + 7), (1, 4 * edge):
        query = rng.standard_normal((2, 8, queries, 8), np.float32)
        key, value = (rng.standard_normal((2, 2, keys, 8), np.float32) for _ in range(2))
        for choices, offset in (windows, None), (windows, np.array([3, keys + 40])), (windows[:3], None):
            call: Table = {"window": rng.choice(choices, 8).astype(np.int32), "query_offset": offset}
            if "left" in spec["inputs"]:
                call["left"] = rng.choice(choices, (2, 8)).astype(np.int64)
            found = kernel.attention(query, key, value, **call)
            wanted = mhagen.reference(spec).attention(query, key, value, **call)
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


def test_the_chunks_of_heads_that_share_keys_are_those_of_the_one_that_sees_the_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Heads 0 to 3 read one key/value head, 4 to 7 the other."""
    module, keys = cpu.load(compile_to_source(PLAIN, tune="never")[-1]), 65_536
    size = module.CHUNK_KEYS
    window = [size, 0, -9, 1, 2 * size, -1, 3 * size, 7]
    monkeypatch.setattr(module, "load_int32", lambda address: window[address // 4])
    chunks = [module.reached_chunks(keys - 1, 1, keys, head, 0) for head in (0, 1)]
    assert chunks == [(keys // size - 1, keys // size), (keys // size - 3, keys // size)]
    monkeypatch.setattr(module, "load_int64", lambda address: keys - 1)
    assert module.most_chunks(1, 1, keys, 0, 0) == 3
    window[:] = [0] * 8
    assert module.most_chunks(1, 1, keys, 0, 0) == 1
