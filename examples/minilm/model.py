"""The sentence-embedding model all-MiniLM-L6-v2: a kernel of mhagen for its attention, NumPy for the rest.

Shapes
    batch       sentences, padded to the longest of them
    length      tokens of a padded sentence
    WIDTH       numbers that stand for a token: 384; four times as many inside a feed-forward
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

LAYERS = 6
NORM_EPSILON = 1e-12

# gelu(x) = x * Phi(x), Phi(x) = (1 + tanh(x * p(x**2))) / 2: the coefficients of p, from the constant on.
# p is fitted for |x| < 5.5, so that gelu is within 2e-7 * max(1, |x|) in float32. Beyond, tanh rounds to 1.
GELU = tuple(
    np.array(coefficient / 2, np.float32)
    for coefficient in (
        1.5957684516906738,
        0.07266856729984283,
        -6.625989772146568e-05,
        -0.00011048033775296062,
        7.938221642689314e-06,
        -2.668930108029599e-07,
        3.6112370871421717e-09,
    )
)
GELU_ROWS = 16  # rows that gelu takes at a time: its 19 passes over them stay in the L2 cache (300 KB)


class AttentionKernel(Protocol):
    """What mhagen.build("minilm.toml") returns, and what the module generated.minilm is."""

    def prepare(self, weights: Mapping[str, np.ndarray]) -> Any: ...

    def layer(self, x: np.ndarray, weights: Any, *, length: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Tokens:
    """Sentences as numbers: ids (batch, length) int64, of which the first lengths (batch,) int32 count."""

    ids: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Affine:
    """The weight and bias of a product, (outputs, inputs) and (outputs,), or of a norm, both (WIDTH,)."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Layer:
    """The weights of one of the six layers; attention is what the kernel has prepared."""

    attention: Any
    attention_norm: Affine
    widen: Affine
    narrow: Affine
    norm: Affine


class MiniLM:
    """The model, read from a folder with model.safetensors, tokenizer.json and sentence_bert_config.json."""

    def __init__(self, folder: Path, kernel: AttentionKernel) -> None:
        weights = load_file(folder / "model.safetensors")
        self.kernel = kernel
        self.tokenizer = read_tokenizer(folder)
        self.words = weights["embeddings.word_embeddings.weight"]
        # Every token is of type 0: the second sentence of a pair would be of type 1.
        token_type = weights["embeddings.token_type_embeddings.weight"][0]
        self.places = weights["embeddings.position_embeddings.weight"] + token_type
        self.norm = affine(weights, "embeddings.LayerNorm")
        self.layers = tuple(read_layer(weights, f"encoder.layer.{index}", kernel) for index in range(LAYERS))

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """One vector of length 1 a sentence, (batch, WIDTH): their products are the cosine similarities."""
        return self.embed(self.tokenize(sentences))

    def tokenize(self, sentences: Sequence[str]) -> Tokens:
        encodings = self.tokenizer.encode_batch(list(sentences))
        ids = np.array([encoding.ids for encoding in encodings])
        lengths = np.array([sum(encoding.attention_mask) for encoding in encodings], np.int32)
        return Tokens(ids, lengths)

    def embed(self, tokens: Tokens) -> np.ndarray:
        x = self.words[tokens.ids]
        x += self.places[: x.shape[1]]
        normalize_layer(x, self.norm)
        hidden = np.empty((x.shape[0] * x.shape[1], 4 * x.shape[2]), np.float32)
        for layer in self.layers:
            attended = self.attend(layer, x, tokens)
            attended += x
            normalize_layer(attended, layer.attention_norm)
            x = feed_forward(attended, layer, hidden)
            x += attended
            normalize_layer(x, layer.norm)
        return pool(x, tokens.lengths)

    def attend(self, layer: Layer, x: np.ndarray, tokens: Tokens) -> np.ndarray:
        return self.kernel.layer(x, layer.attention, length=tokens.lengths)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer as the original uses it; tokenizer.json alone would pad everything to 128 tokens."""
    settings = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(settings["max_seq_length"])
    tokenizer.enable_padding()
    return tokenizer


def read_layer(weights: Mapping[str, np.ndarray], name: str, kernel: AttentionKernel) -> Layer:
    return Layer(
        attention=kernel.prepare(attention_weights(weights, name)),
        attention_norm=affine(weights, f"{name}.attention.output.LayerNorm"),
        widen=affine(weights, f"{name}.intermediate.dense"),
        narrow=affine(weights, f"{name}.output.dense"),
        norm=affine(weights, f"{name}.output.LayerNorm"),
    )


def attention_weights(weights: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The weights of an attention layer, called as the kernel calls them."""
    attention = {
        "q": affine(weights, f"{name}.attention.self.query"),
        "k": affine(weights, f"{name}.attention.self.key"),
        "v": affine(weights, f"{name}.attention.self.value"),
        "o": affine(weights, f"{name}.attention.output.dense"),
    }
    return {f"w{letter}": linear.weight for letter, linear in attention.items()} | {
        f"b{letter}": linear.bias for letter, linear in attention.items()
    }


def affine(weights: Mapping[str, np.ndarray], name: str) -> Affine:
    return Affine(weights[f"{name}.weight"], weights[f"{name}.bias"])


def feed_forward(x: np.ndarray, layer: Layer, hidden: np.ndarray) -> np.ndarray:
    """narrow(gelu(widen(x))) as a new array; hidden (batch * length, 4 * WIDTH) is overwritten."""
    rows = x.reshape(len(hidden), -1)
    np.matmul(rows, layer.widen.weight.T, out=hidden)
    add_bias_and_gelu(hidden, layer.widen.bias)
    result = np.matmul(hidden, layer.narrow.weight.T)
    result += layer.narrow.bias
    return result.reshape(x.shape)


def add_bias_and_gelu(rows: np.ndarray, bias: np.ndarray) -> None:
    """rows = gelu(rows + bias), the exact GELU and not its usual tanh approximation, in place."""
    square, inner = np.empty((2, GELU_ROWS, rows.shape[1]), np.float32)
    for start in range(0, len(rows), GELU_ROWS):
        x = rows[start : start + GELU_ROWS]
        x += bias
        gelu(x, square[: len(x)], inner[: len(x)])


def gelu(x: np.ndarray, square: np.ndarray, inner: np.ndarray) -> None:
    """x = gelu(x) in place; square and inner are scratch memory of the same shape."""
    np.square(x, out=square)
    np.multiply(square, GELU[-1], out=inner)
    for coefficient in GELU[-2:0:-1]:
        inner += coefficient
        inner *= square
    inner += GELU[0]
    inner *= x
    np.tanh(inner, out=inner)
    inner += 1
    x *= np.float32(0.5)
    x *= inner


def normalize_layer(x: np.ndarray, norm: Affine) -> None:
    """Every token to mean 0 and variance 1, then times weight plus bias, in place."""
    x -= x.mean(axis=-1, keepdims=True)
    deviation = np.einsum("bse,bse->bs", x, x)
    deviation /= x.shape[-1]
    deviation += NORM_EPSILON
    np.sqrt(deviation, out=deviation)
    x /= deviation[..., np.newaxis]
    x *= norm.weight
    x += norm.bias


def pool(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The mean over the tokens of each sentence, (batch, WIDTH), scaled to length 1."""
    counts = (np.arange(x.shape[1]) < lengths[:, np.newaxis]).astype(np.float32)
    # The scaling divides by any common factor, so that the sum serves as the mean.
    total = np.matmul(counts[:, np.newaxis], x)[:, 0]
    total /= np.linalg.norm(total, axis=-1, keepdims=True)
    return total
