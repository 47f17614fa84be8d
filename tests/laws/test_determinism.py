"""The same spec, target and version give the same bytes, whoever asks, where and when."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from laws.house import EXAMPLES, ROOT
from mhagen.base.target import TARGETS

SPECS = sorted(EXAMPLES.rglob("*.toml"))
# Prints the source of every example for every target, in the order in which sets are iterated for once.
SCRIPT = """
import json, sys
from mhagen.base.target import TARGETS
from mhagen.pipeline import compile_to_source
specs = json.loads(sys.argv[1])
sources = {f"{spec} {target.name}": compile_to_source(spec, target=target, tune="never")[2].text
    for spec in set(specs) for target in set(TARGETS)}
sys.stdout.buffer.write(json.dumps(sources, sort_keys=True).encode())
"""


def sources(folder: Path, **environment: str) -> dict[str, str]:
    """The sources that a process of its own generates."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([str(spec) for spec in SPECS])],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    return sources(ROOT, PYTHONHASHSEED="0", LC_ALL="C", TZ="UTC")


def test_another_process_generates_the_same_bytes(plain: dict[str, str], tmp_path: Path) -> None:
    place = {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "HOME": str(tmp_path)}
    person = {"USER": "someone", "LOGNAME": "someone"}
    assert sources(tmp_path, PYTHONHASHSEED="4711", **place, **person) == plain


def test_every_example_is_generated_for_every_target(plain: dict[str, str]) -> None:
    assert len(plain) == len(SPECS) * len(TARGETS) > 0
    assert len(set(plain.values())) == len(plain)


def test_no_date_and_no_path_is_in_generated_text(plain: dict[str, str]) -> None:
    places = {str(ROOT), str(Path.home()), tempfile.gettempdir(), sys.prefix}
    for place, text in plain.items():
        found = [each for each in places if len(each) > 1 and each in text]
        found += re.findall(r"\b(?:19|20)\d\d-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b", text)  # a date, a time
        found += re.findall(r"(?<![\w.)/])(?:/[A-Za-z_][\w.-]*){2,}|\b[A-Z]:\\\w+", text)  # a path
        assert not found, f"{place} has {found}"
