"""The module that docs/cuda.md shows is what its spec gives today, and it is clean."""

from __future__ import annotations

import subprocess
import sys

import pytest
from laws.house import ROOT

from mhagen.pipeline import compile_to_gpu_source
from mhagen.schedule.hopper_plan import HopperSchedule

FOLDER = ROOT / "docs" / "cuda"


def test_the_example_is_what_its_spec_gives_today() -> None:
    source = compile_to_gpu_source(FOLDER / "causal_gqa.toml", "sm_90")[2]
    told = "read the difference, then write it to docs/cuda: mhagen build --backend cuda --arch sm_90 --print"
    assert (FOLDER / "causal_gqa.py").read_text() == source.text, told


OF_HOPPER = HopperSchedule(consumers=2, block_keys=64, stages=2, looks_up=True)


@pytest.mark.parametrize(
    ("arch", "dim", "value_dim", "schedule"), [("sm_90", 80, 96, None), ("sm_90a", 64, 128, OF_HOPPER)]
)
def test_generated_code_is_formatted(
    arch: str, dim: int, value_dim: int, schedule: HopperSchedule | None
) -> None:
    """Also where lines are broken: many inputs, statistics and a long mask; heads that differ."""
    spec = {
        "name": "long",
        "dtype": "bfloat16",
        "layout": "bshd",
        "heads": {"query": 8, "key_value": 2, "dim": dim, "value_dim": value_dim, "pruned": [7]},
        "scores": {"modify": "score + first_bias[b, h, q, k] * second_bias[h, q - k + 5]"},
        "mask": {"keep": "document_of[b, q] == document_of[b, k] and (k <= q or is_prefix[b, k])"},
        "softmax": {"sink": "sink_of_head[h] + q * 0.25"},
        "groups": [{"heads": [0, 2, 5], "mask": {"keep": "k <= q + h"}, "scores": {"scale": 0.5}}],
        "inputs": {
            "first_bias": {"shape": ["batch", "query_heads", "queries", "keys"]},
            "second_bias": {"shape": ["query_heads", 64], "dtype": "bfloat16"},
            "document_of": {"shape": ["batch", "keys"], "dtype": "int32"},
            "is_prefix": {"shape": ["batch", "keys"], "dtype": "bool"},
            "sink_of_head": {"shape": ["query_heads"]},
        },
        "outputs": {"statistics": ["lse", "max", "entropy", "confidence", "top_2", "received", "argmax"]},
    }
    text = compile_to_gpu_source(spec, arch, schedule)[2].text
    for command in (["check"], ["format", "--diff"]):
        options = ["--config", str(ROOT / "pyproject.toml"), "-"]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options], input=text, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
