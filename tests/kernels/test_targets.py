"""Expressions that mix numbers, vectors and conditions in every way, on every target this host can run."""

from __future__ import annotations

import functools
import signal
from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen.backend.acceptance import distance
from mhagen.base.target import AVX2, TARGETS, Target
from mhagen.pipeline import Kernel, compile_to_source, load_kernel
from mhagen.runtime.host import host_cpu, host_target

HEADS = {"query": 2, "dim": 20}
RUNNABLE = tuple(target for target in TARGETS if host_cpu().features.issuperset(target.features))
SPECS: dict[str, dict[str, Any]] = {
    "chosen_scores": {
        "scores": {
            "modify": "score + where(k <= q, 0.0, -10.0) + where(k <= q, 1, 0) * 0.5 "
            "+ xs[where(score > 0.0, k, 2)] + ys[b, q - where(exp(h * 0.1) > 1.0, k, 0)] * sigmoid(score)"
        },
        "inputs": {"xs": {"shape": ["keys"]}, "ys": {"shape": ["batch", "keys"]}},
        "outputs": {"statistics": ["lse"]},
    },
    "equal_conditions": {
        "mask": {
            "keep": "(seen[b, k] == seen[b, q] or k == q) and "
            "((k <= q) == (k % 2 == 0) or (k <= q) != (h == 0))"
        },
        "inputs": {"seen": {"shape": ["batch", "keys"], "dtype": "bool"}},
    },
    "plain_choices": {
        "scores": {"modify": "score * abs(xs[0]) + max(h, b, k) * abs(min(xs[h], xs[1])) / 50"},
        "mask": {"keep": "ys[b, max(h, -4, k) - 3] < 1.0 or min(h, b, q) + max(b, h, q, k) > 9"},
        "inputs": {"xs": {"shape": ["keys"]}, "ys": {"shape": ["batch", "keys"]}},
    },
    "literal_indices": {
        "mask": {"keep": "k < limit[5] + 40 and q >= limit[-1] - 40 and where(k <= q, 1, 0) == 1"},
        "inputs": {"limit": {"shape": ["batch"], "dtype": "int32"}},
    },
}


@functools.cache
def built(name: str, target: Target) -> Kernel:
    return load_kernel(*compile_to_source({"name": name, "heads": HEADS, **SPECS[name]}, target=target))


def inputs(name: str, batch: int, keys: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(keys)
    found = {
        "xs": rng.standard_normal(keys).astype(np.float32),
        "ys": rng.standard_normal((batch, keys)).astype(np.float32),
        "seen": rng.integers(0, 3, (batch, keys)).astype(np.uint8).view(bool),  # 2 is true as well
        "limit": rng.integers(0, 9, batch).astype(np.int32),
    }
    return {each: found[each] for each in SPECS[name]["inputs"]}


@pytest.mark.parametrize("target", RUNNABLE, ids=lambda target: target.name)
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (31, 65), (130, 300)])
def test_mixed_expressions_equal_the_reference(name: str, target: Target, queries: int, keys: int) -> None:
    kernel, rng = built(name, target), np.random.default_rng(queries)
    query = rng.standard_normal((2, 2, queries, 20), dtype=np.float32)
    key, value = rng.standard_normal((2, 2, 2, keys, 20), dtype=np.float32)
    given = inputs(name, 2, keys)
    plain = {
        each: array.view(np.uint8) != 0 if array.dtype == bool else array for each, array in given.items()
    }
    expected = mhagen.reference(kernel.spec).attention(query, key, value, **plain, query_offset=3)
    assert distance(kernel.attention(query, key, value, **given, query_offset=3), expected) < 1e-5


@pytest.mark.skipif(AVX2 not in RUNNABLE or host_target() is AVX2, reason="needs two targets on one host")
def test_weights_packed_for_another_target_are_refused() -> None:
    spec = {"name": "two_targets", "heads": HEADS, "projections": {"model_dim": 24}}
    ours, other = (load_kernel(*compile_to_source(spec, target=target)) for target in (host_target(), AVX2))
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal((40, 24), dtype=np.float32) for name in ("wq", "wk", "wv")}
    weights["wo"] = rng.standard_normal((24, 40), dtype=np.float32)
    with pytest.raises(mhagen.InputError, match="prepared for another layer"):
        ours.layer(np.zeros((1, 3, 24), np.float32), other.prepare(weights))


def test_a_call_inside_a_call_leaves_both_right() -> None:
    """A signal handler runs in the thread that waits for its workers."""
    kernel = built("literal_indices", host_target())
    rng = np.random.default_rng(0)
    large = rng.standard_normal((3, 1, 2, 900, 20), dtype=np.float32)
    small = rng.standard_normal((3, 1, 2, 40, 20), dtype=np.float32)
    limit = np.array([5], np.int32)
    expected = [kernel.attention(*arrays, limit=limit) for arrays in (large, small)]
    inner: list[bool] = []

    def interrupt(*_: object) -> None:
        inner.append(np.array_equal(kernel.attention(*small, limit=limit), expected[1]))

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        outer = [np.array_equal(kernel.attention(*large, limit=limit), expected[0]) for _ in range(100)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert all(outer) and all(inner) and inner
