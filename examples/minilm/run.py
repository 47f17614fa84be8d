"""Compare the model in NumPy and mhagen with its original in PyTorch: the same embeddings, and in what time.

python examples/minilm/run.py                   compiles minilm.toml
python examples/minilm/run.py --generated       takes the checked-in module generated.minilm
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from model import AttentionKernel, MiniLM, Tokens
from original import Original, features, folder

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-5
ROUNDS = 9
THREAD_SETTINGS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Race:
    """The same work done by both, and the seconds of every round."""

    title: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    def __str__(self) -> str:
        # Rounds are interleaved, so that the ratio within a round is free of what else the machine did.
        ratio = median(their / our for our, their in zip(self.ours, self.theirs, strict=True))
        ours, theirs = median(self.ours) * 1e3, median(self.theirs) * 1e3
        return f"{self.title:<24}{ours:>14.1f}{theirs:>14.1f}{ratio:>10.2f}"


def main() -> int:
    arguments = parse_arguments()
    kernel = load_kernel(arguments.generated)
    model, original = MiniLM(folder(), kernel), Original()
    sentences = read_sentences()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
        report_times(model, original, model.tokenize(sentences))
        return 0
    agree = report_agreement(sentences, model.encode(sentences), original.encode(sentences))
    for threads in sorted({1, allowed_cpus()}):
        time_with(threads, arguments.generated)
    return 0 if agree else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--generated", action="store_true", help="take the module generated.minilm")
    parser.add_argument("--threads", type=int, help="only measure, with as many threads as already set up")
    return parser.parse_args()


def load_kernel(generated: bool) -> AttentionKernel:
    if generated:
        sys.path.append(str(HERE.parent.parent))
        from generated import minilm

        return minilm
    import mhagen

    return mhagen.build(HERE / "minilm.toml")


def read_sentences() -> list[str]:
    return (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()


def report_agreement(sentences: list[str], ours: np.ndarray, theirs: np.ndarray) -> bool:
    difference = np.abs(ours - theirs).max()
    nearest = neighbours(ours)
    same = np.count_nonzero(nearest == neighbours(theirs))
    print(f"{len(sentences)} sentences, {ours.shape[1]} numbers each")
    print(f"greatest difference from the original: {difference:.1e} (allowed: {TOLERANCE:.0e})")
    print(f"same nearest neighbour: {same} of {len(sentences)} sentences")
    for index in (0, len(sentences) // 3, 2 * len(sentences) // 3):
        print(f"  {sentences[index]}\n    -> {sentences[nearest[index]]}")
    return bool(difference <= TOLERANCE and same == len(sentences))


def neighbours(embeddings: np.ndarray) -> np.ndarray:
    """For each sentence the index of the most similar other one."""
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    return similarity.argmax(axis=1)


def time_with(threads: int, generated: bool) -> None:
    """Measure in a process of its own: BLAS and OpenMP read their number of threads once, when loaded."""
    command = [sys.executable, str(HERE / "run.py"), "--threads", str(threads)]
    environment = os.environ | dict.fromkeys(THREAD_SETTINGS, str(threads))
    print(f"\n{threads} thread{'s' * (threads > 1)}", flush=True)
    subprocess.run(command + ["--generated"] * generated, env=environment, check=True)


def report_times(model: MiniLM, original: Original, tokens: Tokens) -> None:
    given = features(tokens.ids, tokens.lengths)
    layers = original.attention_layers(given)

    def our_attention() -> None:
        for ours, theirs in zip(model.layers, layers, strict=True):
            model.attend(ours, theirs.x, tokens)

    def their_attention() -> None:
        for layer in layers:
            layer.run()

    batch, length = tokens.ids.shape
    print(f"{f'{batch} x {length} tokens, ms':<24}{'with mhagen':>14}{'PyTorch':>14}{'faster':>10}")
    print(race("the whole model", lambda: model.embed(tokens), lambda: original.embed(given)))
    print(race("its attention layers", our_attention, their_attention))


def race(title: str, ours: Callable[[], object], theirs: Callable[[], object]) -> Race:
    ours(), theirs()
    rounds = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    return Race(title, *zip(*rounds, strict=True))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def allowed_cpus() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


if __name__ == "__main__":
    raise SystemExit(main())
