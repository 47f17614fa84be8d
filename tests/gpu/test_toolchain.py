"""What becomes of tests whose tools are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpu.toolchain import DEMAND, require

TESTS = Path(__file__).parents[1]
NAME = "no-such-tool"


def test_without_its_tool_a_test_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEMAND, raising=False)
    with pytest.raises(pytest.skip.Exception, match=NAME):
        require(NAME)


def test_where_all_tools_are_demanded_it_fails(tmp_path: Path) -> None:
    """Its mark is all that says so: it would pass."""
    test = tmp_path / "test_of_a_tool.py"
    test.write_text(f"import pytest\n\n\n@pytest.mark.needs_tools({NAME!r})\ndef test() -> None:\n    pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-c", TESTS.parent / "pyproject.toml", test],
        env={**os.environ, DEMAND: "1", "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"Failed: needs {NAME}" in done.stdout, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
