"""What README.md and docs/ show is run, in the order in which it stands, or they would lie within months.

Blocks marked `bash`, `python` and `toml` are found by that; `<!-- not run: why -->` before one leaves it out.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from mhagen.base.source import Source
from mhagen.spec.load import load_spec

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = (README, *sorted((ROOT / "docs").rglob("*.md")))
EVERY_DOCUMENT = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
BLOCK = re.compile(
    r"(?:^<!-- *not run: *(?P<reason>[^\n]*?) *-->\n\s*)?"
    r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
CI = "bash .ci/run"
# Runs blocks that share a folder and, if Python, their names; the place printed last is the one that failed.
DRIVER = """
import json, subprocess, sys
names = {"__name__": "__main__"}
for place, language, text in json.load(sys.stdin):
    print(place, flush=True)
    if language == "bash":
        subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True, stdin=subprocess.DEVNULL)
    else:
        exec(compile(text, place, "exec"), names)
"""


@dataclass(frozen=True)
class Block:
    """A block of code of a document."""

    place: str
    language: str
    text: str
    reason: str | None  # why it is not run


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(
            f"{path.name}:{text.count(chr(10), 0, found.start('text'))}",
            found["language"],
            found["text"],
            found["reason"],
        )
        for found in BLOCK.finditer(text)
    ]


def run(shown: list[Block], folder: Path) -> None:
    """Run blocks in a folder that holds the examples, where `mhagen` is this checkout's."""
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    command = folder / "bin" / "mhagen"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mhagen "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps([(block.place, block.language, block.text) for block in shown]),
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": os.pathsep.join((str(command.parent), os.environ["PATH"])),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def setups() -> dict[str, Block]:
    """The two commands for a fresh machine: one does the main job, one passes the tests."""
    left_out = [block for block in blocks(README) if block.language == "bash" and block.reason is not None]
    tests = [block for block in left_out if block.text.strip() == CI]
    main = [block for block in left_out if block not in tests]
    assert len(tests) == len(main) == 1, "README shows two commands for a fresh machine, and no third"
    return {"main": main[0], "tests": tests[0]}


def steps(block: Block) -> list[list[str]]:
    """The single commands of a block, as words."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [shlex.split(step, comments=True) for line in lines for step in line.split("&&") if step.strip()]


@EVERY_DOCUMENT
def test_what_a_document_shows_works(path: Path, tmp_path: Path) -> None:
    shown = [block for block in blocks(path) if block.language in ("bash", "python") and block.reason is None]
    assert shown or path != README
    if shown:
        run(shown, tmp_path)


@EVERY_DOCUMENT
def test_a_spec_that_a_document_shows_is_right(path: Path) -> None:
    """One that begins with the name of an example's file is that example."""
    for block in blocks(path):
        if block.language != "toml" or block.reason is not None or "name" not in tomllib.loads(block.text):
            continue
        spec = load_spec(Source(block.place, block.text))
        title = block.text.partition("\n")[0].removeprefix("# ")
        for example in (ROOT / "examples").rglob(title if title.endswith(".toml") else "no file"):
            assert load_spec(example) == spec


@EVERY_DOCUMENT
def test_a_block_is_left_out_for_a_reason(path: Path) -> None:
    assert all(block.reason != "" for block in blocks(path))


@EVERY_DOCUMENT
def test_links_lead_somewhere(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    lost = [link for link in links if not (path.parent / link).exists()]
    assert not lost


def test_every_document_can_be_reached_from_the_readme() -> None:
    links = {(README.parent / link).resolve() for link in LINK.findall(README.read_text(encoding="utf-8"))}
    assert set(DOCUMENTS[1:]) <= links


def test_the_main_job_of_the_first_command_works(tmp_path: Path) -> None:
    """But for setting up: the environment exists, and this checkout is in it."""
    commands = [words for words in steps(setups()["main"]) if words[0] == "mhagen"]
    builds = [words for words in commands if words[1] == "build" and "--verify" in words]
    assert builds, "the first command builds an example and verifies it"
    text = "\n".join(map(shlex.join, commands))
    run([Block("the first command", "bash", text, None)], tmp_path)


def test_the_first_command_sets_up_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installs = [words for words in steps(setups()["main"]) if "install" in words]
    assert installs, "the first command installs the project"
    for words in installs:
        assert "-e" in words, "from a checkout"
        extras = re.findall(r"\w+", words[-1].partition("[")[2])
        assert set(extras) <= set(project["optional-dependencies"])
    least = project["requires-python"].removeprefix(">=")
    assert f"Python {least} or newer" in README.read_text(encoding="utf-8")


def test_the_second_command_is_what_ci_runs() -> None:
    script = ROOT / CI.split()[1]
    assert os.access(script, os.X_OK)
    text = script.read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"-e '\.\[(\w+)\]'", text):
        assert extra in project["optional-dependencies"]
    for pinned in re.findall(r"install.* '(\w+==[\w.]+)'", text):
        assert any(pinned in packages for packages in project["optional-dependencies"].values())
    commands = ("ruff check", "ruff format --check", "mypy", "python -m pytest -n 2")
    assert re.findall(r"^check (.*)$", text, re.MULTILINE) == list(commands)
    assert "set -euo pipefail" in text
