"""Results on stdout, all else on stderr; colours for people only; JSON for programs."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from mhagen.cli import progress
from mhagen.cli.output import columns, finite, fitted
from mhagen.cli.quantities import age, giga, seconds, size, times

from .conftest import Run

Process = Callable[..., subprocess.CompletedProcess[str]]
RED = "\x1b[1;31m"


def test_a_pipe_gets_no_colours(process: Process, wrong: Path) -> None:
    assert "\x1b" not in process("check", wrong).stderr


def test_a_terminal_gets_colours_unless_they_are_unwanted(process: Process, wrong: Path) -> None:
    assert RED in process("check", wrong, FORCE_COLOR="1").stderr
    assert RED not in process("check", wrong, FORCE_COLOR="1", NO_COLOR="1").stderr


JSON_COMMANDS = (
    ("check", "tiny.toml"),
    ("check", "missing.toml"),
    ("build", "tiny.toml", "--print"),
    ("build", "missing.toml"),
    ("cache", "dir"),
    ("cache", "list"),
    ("cache", "clear"),
)


@pytest.mark.parametrize("arguments", JSON_COMMANDS, ids=" ".join)
def test_json_is_one_document_that_holds_the_exit_code(
    mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tiny.with_name("cache")))
    said = mhagen(*arguments, "--json")
    assert said.document["schema_version"] == 1
    assert said.document["exit_code"] == said.code
    assert arguments[0] in said.document["command"]


def test_json_has_no_infinities(mhagen: Run) -> None:
    value = finite({"error": math.inf, "cases": [math.nan, 1.5, "inf"], "count": 3})
    assert json.loads(json.dumps(value, allow_nan=False)) == {
        "error": None,
        "cases": [None, 1.5, "inf"],
        "count": 3,
    }


def test_work_of_over_a_second_is_told_of_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.01)
    out, err = "", ""
    with progress.doing("counting"):
        end = time.monotonic() + 30  # a busy machine may be late with the line, and ends no work before it
        while not err and time.monotonic() < end:
            time.sleep(0.01)
            out, err = capsys.readouterr()
    later = capsys.readouterr()
    assert (out + later.out, err + later.err) == ("", "counting ...\n")


def test_short_work_is_not_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.doing("counting"):
        pass
    assert capsys.readouterr() == ("", "")


def test_help_names_every_command_and_exit_code(mhagen: Run) -> None:
    said = mhagen("--help")
    assert said.code == 0
    for told in ("check", "build", "show", "cache", "doctor", "Exit codes:", "130  interrupted", "NO_COLOR"):
        assert told in said.out


@pytest.mark.parametrize("command", ["check", "build", "show", "cache", "doctor"])
def test_help_of_a_command_has_examples_and_exit_codes(mhagen: Run, command: str) -> None:
    said = mhagen(command, "--help")
    assert said.code == 0
    assert f"  mhagen {command}" in said.out
    assert "Examples:" in said.out
    assert "Exit codes:" in said.out


def test_quantities_have_three_digits_and_a_unit() -> None:
    assert [seconds(value) for value in (2.5, 0.0123, 4.5e-6, 1e-9)] == [
        "2.50 s",
        "12.3 ms",
        "4.50 us",
        "0.00 us",
    ]
    assert [size(count) for count in (0, 512, 1536, 3 << 20)] == ["0 B", "512 B", "1.54 KB", "3.15 MB"]
    assert [age(value) for value in (5.0, 90.0, 7200.0, 5 * 86400.0)] == ["5 s", "1.50 min", "2 h", "5 days"]
    assert [times(0.5), times(12.34), giga(117.2e9, "GFLOP/s")] == ["0.50x", "12.3x", "117 GFLOP/s"]


@pytest.mark.parametrize("width", [24, 40, 60, 80, 200])
def test_a_table_breaks_between_words_alone_however_narrow_the_terminal(width: int) -> None:
    table = columns("operations", "modelled", "reason")
    for row in (("0.94 GFLOP", "9.91 ms", "Keys are read as they lie."), ("1 MFLOP", "26 us", "It decodes.")):
        table.add_row(*row)
    console = Console(width=width)
    with console.capture() as captured:
        console.print(fitted(table, console))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    given = (
        "operations modelled reason 0.94 GFLOP 9.91 ms 26 us Keys are read as they lie. It decodes. 1 MFLOP"
    )
    assert words == set(given.split())
    assert any("0.94 GFLOP" in line for line in lines), "a short cell stays whole"
