"""Kernels for GPUs on a GPU: checked first, then timed against PyTorch; a table in under eight minutes.

    python benchmarks/gpu.py [--seconds 420] [--out gpu.md] [--only PART]

Needs a GPU of compute capability 8.0 or above, PyTorch with CUDA, and mhagen[cuda]. Times are medians, by
CUDA events; TFLOP/s count what the mask lets through. Nothing is timed that was not right: the reference is
float32 attention by PyTorch, written out, on the same GPU. On Hopper both families of kernels have a row.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

import mhagen

TOKENS = 16384  # batch times length
CALLS, WARM_UP = 15, 3
ERRORS = {"float16": 4e-3, "bfloat16": 3e-2}
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# What kernels have to reach, by what they are compared with: those of mma.sync, and those for Hopper, for
# which cuDNN is the bar with heads of 128 and long rows.
BARS = {"FlashAttention-2": 1.0, "FlexAttention": 1.2}
BARS_OF_HOPPER = {"cuDNN": 0.85, "FlexAttention": 1.2}
HOPPER = "sm_90a"
DECODE_BAR = 0.85  # of the bandwidth that copying reaches in the same run
DECODED = (8, 16, 32, 64)  # sequences


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
    def spec(self) -> dict[str, Any]:
        heads = {"query": self.heads, "key_value": self.key_value_heads, "dim": self.dim}
        return {"name": "measured", "dtype": self.dtype, "heads": heads, **self.changes}


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
    spec = {
        "name": "decoded",
        "dtype": "bfloat16",
        "heads": {"query": heads, "key_value": shared, "dim": dim},
    }
    kernel = mhagen.build(spec, backend="cuda")
    shapes = ((heads, 1), (shared, keys), (shared, keys))
    query, key, value = (
        torch.randn(batch, h, n, dim, device="cuda", dtype=torch.bfloat16) for h, n in shapes
    )
    found = kernel.attention(query, key, value)
    k, v = (each[0].float().repeat_interleave(heads // shared, 0) for each in (key, value))
    wanted = (query[0].float() @ k.transpose(1, 2) * dim**-0.5).softmax(-1) @ v
    error = float((found[0].float() - wanted).abs().max())
    out = torch.empty_like(found)
    own = milliseconds(lambda: kernel.attention(query, key, value, out=out))
    theirs = milliseconds(lambda: functional.scaled_dot_product_attention(query, key, value, enable_gqa=True))
    source, target = (torch.empty(1 << 30, device="cuda", dtype=torch.uint8) for _ in range(2))
    copied = 2 * source.numel() / milliseconds(lambda: target.copy_(source))
    share = (key.numel() + value.numel()) * key.element_size() / own / copied
    return {"error": error, "own": own, "theirs": theirs, "share": share, "copied": copied}


def row_of_decoding(batch: int) -> tuple[list[str], bool]:
    found = decoding(batch)
    name = f"decode b{batch} h32/8 k8192 d128 bfloat16"
    if not found["error"] < ERRORS["bfloat16"]:
        return [name, "decoding", f"WRONG: {found['error']:.1e}", "", "", ""], False
    verdict = "ok" if found["share"] >= DECODE_BAR else f"below {DECODE_BAR}"
    figures = f"{found['own']:.3f} ms, {found['share']:.2f} of {found['copied'] / 1e6:.0f} GB/s {verdict}"
    compared = f"{found['theirs'] / found['own']:.2f}x PyTorch"
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


def milliseconds(call: Callable[[], Any]) -> float:
    for _ in range(WARM_UP):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(CALLS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


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


def architectures() -> tuple[str | None, ...]:
    """The one that is chosen for this GPU, and on Hopper the one that has kernels of its own."""
    return (None, HOPPER) if torch.cuda.get_device_capability() == (9, 0) else (None,)


def rows_of(case: Case) -> Iterator[tuple[list[str], bool]]:
    """Rows of the table, one for each family of kernels, and whether its kernel was right."""
    arrays = operands(case)
    theirs = times_of_peers(case, arrays)
    for arch in architectures():
        yield row_of(case, arch, arrays, theirs)


def times_of_peers(case: Case, arrays: tuple[Any, Any, Any]) -> dict[str, float | str]:
    """Milliseconds, or what a peer says against the case."""
    found: dict[str, float | str] = {}
    for peer, call in peers(case, arrays):
        try:
            found[peer] = milliseconds(call)
        except RuntimeError as problem:  # a backend that PyTorch was built without, or that refuses the shape
            found[peer] = str(problem).splitlines()[0][:40]
    return found


def row_of(
    case: Case, arch: str | None, arrays: tuple[Any, Any, Any], theirs: dict[str, float | str]
) -> tuple[list[str], bool]:
    start = time.perf_counter()
    kernel = mhagen.build(case.spec, backend="cuda", arch=arch)
    found = kernel.attention(*arrays)
    torch.cuda.synchronize()
    built = time.perf_counter() - start
    error = largest_error(case, found, arrays)
    name = f"{case.name} b{case.batch} h{case.heads} s{case.length} d{case.dim} {case.dtype}"
    family = "wgmma" if arch == HOPPER else "mma.sync"
    if not error < ERRORS[case.dtype]:
        return [name, family, f"WRONG: {error:.1e}", "", "", f"{built:.1f}"], False
    out = torch.empty_like(found)
    own = milliseconds(lambda: kernel.attention(*arrays, out=out))
    work = 4.0 * case.batch * case.heads * case.length**2 * case.dim * seen_share(case)
    compared = "; ".join(ratio_to(case, arch, peer, each, own) for peer, each in theirs.items())
    figures = f"{own:.3f} ms, {work / own / 1e9:.0f} TFLOP/s"
    return [name, family, f"{error:.1e}", figures, compared, f"{built:.1f}"], True


def ratio_to(case: Case, arch: str | None, peer: str, theirs: float | str, own: float) -> str:
    """How many times as fast as a peer, and whether that is the bar."""
    if isinstance(theirs, str):
        return f"{peer}: {theirs}"
    bar = (BARS_OF_HOPPER if arch == HOPPER else BARS).get(peer)
    if peer == "cuDNN" and (case.dim != 128 or case.length < 4096):
        bar = None
    ratio = theirs / own
    verdict = "" if bar is None else " ok" if ratio >= bar else f" below {bar}"
    return f"{ratio:.2f}x {peer}{verdict}"


def odd_lengths(arch: str | None) -> bool:
    """Tails, offsets and rows that are not aligned, against the same reference."""
    kernel = mhagen.build(
        {
            "name": "odd",
            "dtype": "float16",
            "heads": {"query": 4, "key_value": 2, "dim": 64},
            "mask": {"keep": "k <= q"},
            "outputs": {"statistics": ["lse"]},
        },
        backend="cuda",
        arch=arch,
    )
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
