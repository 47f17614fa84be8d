"""The command line called from here and as a process of its own, and the small specs it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mhagen.cli import main, progress

ROOT = Path(__file__).resolve().parents[2]
# The smallest kernel that has a mask: compiled once for all tests.
TINY = """\
name = "tiny"

[heads]
query = 2
dim = 16

[mask]
keep = "k <= q"
"""
WRONG = """\
name = "wrong"

[heads]
query = 12
key_value = 5
dim = 64

[mask]
keep = "k <= qq"
"""


@dataclass(frozen=True)
class Said:
    """What a command has said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture
def mhagen(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 600.0)  # that work takes long says nothing of it

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command as a process, with these settings changed."""

    def run(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), env=environment(**settings), cwd=tmp_path, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip

    return run


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mhagen", *map(str, arguments)]


def environment(**settings: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **settings}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return written(tmp_path / "tiny.toml", TINY)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    return written(tmp_path / "wrong.toml", WRONG)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
