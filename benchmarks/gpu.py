"""Kernels for GPUs on a GPU: checked first, then timed against PyTorch; a table in under eight minutes.

    python benchmarks/gpu.py [--seconds 420] [--out gpu.md] [--only PART]

Needs a GPU of compute capability 8.0 or above, PyTorch with CUDA, and mhagen[cuda]. All candidates of a case
take turns, round after round; times are medians by CUDA events, of calls that follow each other without a
gap, or of graphs of calls where one takes less time than Python. TFLOP/s count what the mask lets through.
Nothing is timed that was not right: the reference is float32 attention by PyTorch, written out, on the same
GPU. On Hopper both families of kernels have a row.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

import mhagen
from mhagen.base.target import GPUS

TOKENS = 16384  # batch times length
ROUNDS, CALLS = 5, 6
IN_GRAPH = 4  # calls of decoding, which are short
ERRORS = {"float16": 4e-3, "bfloat16": 3e-2}
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# What kernels have to reach, by what they are compared with: those of mma.sync, and those for Hopper, for
# which cuDNN is the bar with heads of 128 and long rows.
BARS = {"FlashAttention-2": 1.0, "FlexAttention": 1.2}
PEERS = ("FlashAttention-2", "cuDNN", "FlexAttention")
BARS_OF_HOPPER = {"cuDNN": 0.85, "FlexAttention": 1.2}
HOPPER = "sm_90a"
DECODE_BAR = 0.85  # of the bandwidth that copying reaches in the same run
DECODED = (8, 16, 32, 64)  # sequences
DECODED_SPEC = {
    "name": "decoded",
    "dtype": "bfloat16",
    "heads": {"query": 32, "key_value": 8, "dim": 128},
}
ODD = {
    "name": "odd",
    "dtype": "float16",
    "heads": {"query": 4, "key_value": 2, "dim": 64},
    "mask": {"keep": "k <= q"},
    "outputs": {"statistics": ["lse"]},
}


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    length: int
    dim: int
    dtype: str = "bfloat16"
    heads: int = 16
    key_value_heads: int = 16
    changes: dict[str, Any] = field(default_factory=dict)
    visible: Callable[[Any, Any], Any] | None = None  # of q and k, as FlexAttention's mask_mod has them
    modify: Callable[[Any, Any, Any, Any], Any] | None = None  # of score, h, q and k

    @property
    def batch(self) -> int:
        return max(1, TOKENS // self.length)

    @property
    def is_plain(self) -> bool:
        """Can PyTorch's own attention do it?"""
        return self.modify is None and self.name.startswith(("dense", "causal"))

    @property
    def spec_name(self) -> str:
        """One for each spec, of all lengths."""
        return re.sub(r"\W+", "_", f"{self.name}_{self.dim}").lower()

    @property
    def spec(self) -> dict[str, Any]:
        heads = {"query": self.heads, "key_value": self.key_value_heads, "dim": self.dim}
        return {"name": self.spec_name, "dtype": self.dtype, "heads": heads, **self.changes}


def causal(q: Any, k: Any) -> Any:
    return k <= q


def windowed(q: Any, k: Any) -> Any:
    return (k <= q) & (q - k < 1024)


def alibi(score: Any, h: Any, q: Any, k: Any) -> Any:
    return score + torch.exp2(-(h + 1) / 2.0) * (k - q)


def softcapped(score: Any, h: Any, q: Any, k: Any) -> Any:
    return 30.0 * torch.tanh(score / 30.0)


KEEP_CAUSAL = {"mask": {"keep": "k <= q"}}


def cases() -> Iterator[Case]:
    """Most telling first: the script may run out of time."""
    for dim in (128, 64, 256):
        for length in (4096, 1024, 16384):
            yield Case("causal", length, dim, changes=KEEP_CAUSAL, visible=causal)
            yield Case("dense", length, dim)
    yield Case("causal float16", 4096, 128, "float16", changes=KEEP_CAUSAL, visible=causal)
    yield Case("causal grouped", 4096, 128, key_value_heads=4, changes=KEEP_CAUSAL, visible=causal)
    yield Case(
        "window 1024", 8192, 128, changes={"mask": {"keep": "k <= q and q - k < 1024"}}, visible=windowed
    )
    slopes = {"scores": {"modify": "score + exp(-0.34657359 * (h + 1)) * (k - q)"}, **KEEP_CAUSAL}
    yield Case("ALiBi, causal", 4096, 64, changes=slopes, visible=causal, modify=alibi)
    capped = {"scores": {"modify": "30.0 * tanh(score / 30.0)"}, **KEEP_CAUSAL}
    yield Case("softcap, causal", 4096, 128, changes=capped, visible=causal, modify=softcapped)


def decoding(batch: int) -> dict[str, Any]:
    """What decoding takes of the memory's bandwidth, one query to each of `batch` caches of 8k keys."""
    heads, shared, keys, dim = 32, 8, 8192, 128
    kernel = mhagen.build(DECODED_SPEC, backend="cuda", arch=architectures()[-1])
    shapes = ((heads, 1), (shared, keys), (shared, keys))
    query, key, value = (
        torch.randn(batch, h, n, dim, device="cuda", dtype=torch.bfloat16) for h, n in shapes
    )
    found = kernel.attention(query, key, value)
    k, v = (each[0].float().repeat_interleave(heads // shared, 0) for each in (key, value))
    wanted = (query[0].float() @ k.transpose(1, 2) * dim**-0.5).softmax(-1) @ v
    error = float((found[0].float() - wanted).abs().max())
    out = torch.empty_like(found)
    source, target = (torch.empty(1 << 30, device="cuda", dtype=torch.uint8) for _ in range(2))

    def theirs() -> Any:
        return functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)

    times = milliseconds(
        {
            "own": captured(lambda: kernel.attention(query, key, value, out=out)),
            "theirs": captured(theirs),
            "copy": lambda: target.copy_(source),
        }
    )
    own, copied = times["own"] / IN_GRAPH, 2 * source.numel() / times["copy"]
    share = (key.numel() + value.numel()) * key.element_size() / own / copied
    return {
        "error": error,
        "own": own,
        "ratio": times["theirs"] / times["own"],
        "share": share,
        "copied": copied,
    }


def captured(call: Callable[[], Any]) -> Callable[[], Any]:
    """A graph of some calls: what it takes is the GPU's time alone."""
    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(IN_GRAPH):
            call()
    return graph.replay


def row_of_decoding(batch: int) -> tuple[list[str], bool]:
    found = decoding(batch)
    name = f"decode b{batch} h32/8 k8192 d128 bfloat16"
    if not found["error"] < ERRORS["bfloat16"]:
        return [name, "decoding", f"WRONG: {found['error']:.1e}", "", "", ""], False
    verdict = "ok" if found["share"] >= DECODE_BAR else f"below {DECODE_BAR}"
    figures = f"{found['own']:.3f} ms, {found['share']:.2f} of {found['copied'] / 1e6:.0f} GB/s {verdict}"
    compared = f"{found['ratio']:.2f}x PyTorch"
    return [name, "decoding", f"{found['error']:.1e}", figures, compared, ""], True


def operands(case: Case) -> tuple[Any, Any, Any]:
    torch.manual_seed(case.length + case.dim)
    shapes = (case.heads, case.key_value_heads, case.key_value_heads)
    return tuple(
        torch.randn(case.batch, heads, case.length, case.dim, device="cuda", dtype=DTYPES[case.dtype])
        for heads in shapes
    )


def written_out(case: Case, query: Any, key: Any, value: Any, rows: slice) -> Any:
    """float32 attention of some queries of the first batch entry."""
    group = case.heads // case.key_value_heads
    q = query[0, :, rows].float()
    k, v = (each[0].float().repeat_interleave(group, 0) for each in (key, value))
    scores = q @ k.transpose(1, 2) * case.dim**-0.5
    at = torch.arange(case.length, device="cuda")
    positions = at[rows][None, :, None], at[None, None, :]
    if case.modify is not None:
        heads = torch.arange(case.heads, device="cuda")[:, None, None]
        scores = case.modify(scores, heads, *positions)
    if case.visible is not None:
        scores = scores.masked_fill(~case.visible(*positions), -torch.inf)
    return scores.softmax(-1) @ v


def largest_error(case: Case, found: Any, arrays: tuple[Any, Any, Any]) -> float:
    worst = 0.0
    for start in (0, case.length // 2 - 37, case.length - 64):
        rows = slice(start, start + 64)
        wanted = written_out(case, *arrays, rows)
        worst = max(worst, float((found[0, :, rows].float() - wanted).abs().max()))
    return worst


def milliseconds(candidates: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Of one call each. All take turns, so that what slows the GPU down slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for each in candidates.values():
        each()
    for _ in range(ROUNDS):
        for name, call in candidates.items():
            times[name] += times_of(call)
    return {name: statistics.median(found) for name, found in times.items()}


def times_of(call: Callable[[], Any]) -> list[float]:
    """Of some calls one behind the other: the GPU does not wait for Python."""
    call()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(CALLS + 1)]
    marks[0].record()
    for mark in marks[1:]:
        call()
        mark.record()
    torch.cuda.synchronize()
    return [first.elapsed_time(second) for first, second in itertools.pairwise(marks)]


def seen_share(case: Case) -> float:
    """The part of all pairs of queries and keys that is computed."""
    if case.visible is None:
        return 1.0
    step = max(1, case.length // 2048)
    at = torch.arange(0, case.length, step, device="cuda")
    return float(case.visible(at[:, None], at[None, :]).float().mean())


def peers(case: Case, arrays: tuple[Any, Any, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    query, key, value = arrays
    shared = case.heads != case.key_value_heads
    if case.is_plain:
        backends = {"FlashAttention-2": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}
        for name, backend in backends.items():

            def sdpa(backend: Any = backend) -> Any:
                with sdpa_kernel(backend):
                    return functional.scaled_dot_product_attention(
                        query, key, value, is_causal=case.visible is not None, enable_gqa=shared
                    )

            yield name, sdpa
    if not case.is_plain or (case.length == 4096 and case.dim == 128):
        yield "FlexAttention", flex(case, arrays)


def flex(case: Case, arrays: tuple[Any, Any, Any]) -> Callable[[], Any]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    compiled = torch.compile(flex_attention, dynamic=False)
    mask = None
    if case.visible is not None:
        visible = case.visible
        mask = create_block_mask(lambda b, h, q, k: visible(q, k), None, None, case.length, case.length)
    modify = None if case.modify is None else lambda s, b, h, q, k: case.modify(s, h, q, k)
    shared = case.heads != case.key_value_heads
    return lambda: compiled(*arrays, score_mod=modify, block_mask=mask, enable_gqa=shared)


def architectures() -> tuple[str, ...]:
    """The one that is chosen for this GPU, and on Hopper the one that has kernels of its own."""
    has = torch.cuda.get_device_capability()
    return (
        ("sm_90", HOPPER)
        if has == (9, 0)
        else tuple(g.name for g in GPUS if g.compute_capability <= has)[-1:]
    )


@dataclass(frozen=True)
class Own:
    """A kernel of one family for a case: what it makes, and how far that is from the reference."""

    arch: str
    call: Callable[[], Any]
    error: float
    built: float

    @property
    def family(self) -> str:
        return "wgmma" if self.arch == HOPPER else "mma.sync"


def rows_of(case: Case) -> Iterator[tuple[list[str], bool]]:
    """Rows of the table, one for each family of kernels, and whether its kernel was right."""
    arrays = operands(case)
    kernels = [own_of(case, arch, arrays) for arch in architectures()]
    calls, refusals = calls_of_peers(case, arrays)
    right = {own.family: own.call for own in kernels if own.error < ERRORS[case.dtype]}
    times = milliseconds({**calls, **right})
    for own in kernels:
        yield row_of(case, own, times, refusals)


def own_of(case: Case, arch: str, arrays: tuple[Any, Any, Any]) -> Own:
    start = time.perf_counter()
    kernel = mhagen.build(case.spec, backend="cuda", arch=arch)
    out = torch.full_like(arrays[0], torch.nan)
    kernel.attention(*arrays, out=out)
    torch.cuda.synchronize()
    built = time.perf_counter() - start
    return Own(arch, lambda: kernel.attention(*arrays, out=out), largest_error(case, out, arrays), built)


def calls_of_peers(
    case: Case, arrays: tuple[Any, Any, Any]
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """Those that can be called, and what the others say against the case."""
    able, refusals = {}, {}
    for peer, call in peers(case, arrays):
        try:
            call()
            able[peer] = call
        except RuntimeError as problem:  # a backend that PyTorch was built without, or that refuses the shape
            refusals[peer] = str(problem).splitlines()[0][:40]
    return able, refusals


def row_of(case: Case, own: Own, times: dict[str, float], refusals: dict[str, str]) -> tuple[list[str], bool]:
    name = f"{case.name} b{case.batch} h{case.heads} s{case.length} d{case.dim} {case.dtype}"
    if own.family not in times:
        return [name, own.family, f"WRONG: {own.error:.1e}", "", "", f"{own.built:.1f}"], False
    taken = times[own.family]
    work = 4.0 * case.batch * case.heads * case.length**2 * case.dim * seen_share(case)
    compared = [ratio_to(case, own, peer, each / taken) for peer, each in times.items() if peer in PEERS]
    compared += [f"{peer}: {refusal}" for peer, refusal in refusals.items()]
    figures = f"{taken:.3f} ms, {work / taken / 1e9:.0f} TFLOP/s"
    return [name, own.family, f"{own.error:.1e}", figures, "; ".join(compared), f"{own.built:.1f}"], True


def ratio_to(case: Case, own: Own, peer: str, ratio: float) -> str:
    """How many times as fast as a peer, and whether that is the bar."""
    bar = (BARS_OF_HOPPER if own.arch == HOPPER else BARS).get(peer)
    if peer == "cuDNN" and (case.dim != 128 or case.length < 4096):
        bar = None
    if peer == "FlexAttention" and own.arch != architectures()[-1]:
        bar = None  # it is compared with what this GPU gets
    verdict = "" if bar is None else " ok" if ratio >= bar else f" below {bar}"
    return f"{ratio:.2f}x {peer}{verdict}"


def prepare(seconds: float) -> None:
    """Compile all kernels ahead into the cache, on all cores: one after the other would take too long."""
    specs = {case.spec["name"]: case.spec for case in cases()}
    jobs = [(spec, arch) for spec in (ODD, DECODED_SPEC, *specs.values()) for arch in architectures()]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        done = [pool.submit(compiled, *job) for job in jobs]
        wait(done, timeout=seconds)
        for each in done:
            each.cancel()
            if each.done() and not each.cancelled():
                each.result()


def compiled(spec: dict[str, Any], arch: str) -> None:
    mhagen.build(spec, backend="cuda", arch=arch)


def odd_lengths(arch: str) -> bool:
    """Tails, offsets and rows that are not aligned, against the same reference."""
    kernel = mhagen.build(ODD, backend="cuda", arch=arch)
    right = True
    for queries, keys, gap in ((1, 1, 0), (1, 4097, 0), (129, 257, 0), (333, 1000, 3), (64, 64, 8)):
        make = [torch.randn(2, h, n, 64 + gap, device="cuda", dtype=torch.float16) for h, n in
                ((4, queries), (2, keys), (2, keys))]  # fmt: skip
        query, key, value = (each[..., :64] for each in make)
        found = kernel.attention(query, key, value, query_offset=keys - queries)
        k, v = (each.float().repeat_interleave(2, 1) for each in (key, value))
        scores = query.float() @ k.transpose(2, 3) / 8.0
        at = torch.arange(keys, device="cuda")
        scores = scores.masked_fill(at > at[keys - queries :, None], -torch.inf)
        errors = (
            float((found.out.float() - scores.softmax(-1) @ v).abs().max()),
            float((found.lse - scores.logsumexp(-1)).abs().max()),
        )
        is_right = errors[0] < ERRORS["float16"] and errors[1] < 1e-3
        right = right and is_right
        verdict = "ok" if is_right else "WRONG"
        print(f"{arch or 'this GPU'}, queries {queries}, keys {keys}, gap {gap}: errors {errors} {verdict}")
    return right


def table(rows: list[list[str]]) -> str:
    head = ["case", "kernels", "largest error", "mhagen", "against", "built in s"]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=420.0, help="no case is begun after so long")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"), help="where the table goes")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: this script checks and times kernels on one", file=sys.stderr)
        return 2
    start = time.perf_counter()
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    prepare(options.seconds / 2)
    print(f"all kernels compiled in {time.perf_counter() - start:.0f} s", flush=True)
    right, rows = all([odd_lengths(arch) for arch in architectures()]), []
    for batch in DECODED if options.only in "decode" else ():
        row, is_right = row_of_decoding(batch)
        right = right and is_right
        rows.append(row)
        print(" | ".join(row), flush=True)
    for case in cases():
        if options.only not in case.name or time.perf_counter() - start > options.seconds:
            continue
        for row, is_right in rows_of(case):
            right = right and is_right
            rows.append(row)
            print(" | ".join(row), flush=True)
        text = f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n\n{table(rows)}"
        options.out.write_text(text)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
