"""How commands end: the exit code says whose fault it is, and nobody is shown a traceback unasked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest

from mhagen.base.errors import InternalError
from mhagen.cli import check
from mhagen.codegen import render

from .conftest import Run, command, environment, written

Process = Callable[..., subprocess.CompletedProcess[str]]


def raising(error: BaseException) -> Callable[[object], object]:
    def load_spec(_: object) -> object:
        raise error

    return load_spec


def test_an_unknown_command_is_wrong_usage_and_the_right_one_is_offered(mhagen: Run) -> None:
    said = mhagen("chek", "tiny.toml")
    assert said.code == 2
    assert "check" in said.err
    assert said.out == ""


def test_no_command_at_all_prints_the_help(mhagen: Run) -> None:
    said = mhagen()
    assert said.code == 2
    assert "doctor" in said.err


@pytest.mark.parametrize("error", [KeyError("left"), InternalError("a law is broken")], ids=repr)
def test_a_bug_is_reported_in_short_and_ends_with_3(
    mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(check, "load_spec", raising(error))
    said = mhagen("check", tiny)
    assert said.code == 3
    assert "a bug in mhagen" in said.err
    assert re.search(r"at +mhagen/cli/\w+\.py:\d+", said.err)
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) < 8


def test_an_install_without_its_templates_is_no_mistake_of_the_user(
    mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = jinja2.Environment(loader=jinja2.DictLoader({}))
    monkeypatch.setattr(render, "environment", lambda: nothing)
    said = mhagen("build", tiny, "--print")
    assert said.code == 3
    assert "not installed whole: its template cpu/body.py.j2 is missing" in said.err


def test_a_bug_in_one_spec_does_not_stop_the_next(
    mhagen: Run, tiny: Path, wrong: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "load_spec", raising(ZeroDivisionError()))
    said = mhagen("check", tiny, wrong)
    assert said.code == 3
    assert said.err.count("a bug in mhagen") == 2


@pytest.mark.parametrize("fault", ["the user's", "ours"])
def test_debugging_adds_the_traceback(
    mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("MHAGEN_DEBUG", "1")
    error = KeyError("left") if fault == "ours" else FileNotFoundError(2, "No such file", "there.toml")
    monkeypatch.setattr(check, "load_spec", raising(error))
    assert "Traceback" in mhagen("check", tiny).err


def test_an_interrupt_ends_with_130(mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "load_spec", raising(KeyboardInterrupt()))
    said = mhagen("check", tiny)
    assert said.code == 130
    assert said.err.strip() == ""


@pytest.mark.parametrize("place", ["run.run", "check.load_spec"])  # as imports begin, and in a command
def test_ctrl_c_in_text_that_is_executed_ends_with_130(tiny: Path, place: str) -> None:
    written(
        tiny.with_name("interrupted.py"),
        f"""\
import sys
from mhagen.cli import check, main, run

{place} = lambda *_: exec("raise KeyboardInterrupt")
sys.exit(main(["check", "tiny.toml"]))
""",
    )
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], env=environment(), cwd=tiny.parent, timeout=60
    )
    assert done.returncode == 130


def test_ctrl_c_in_a_compilation_leaves_nothing_half_done(tiny: Path) -> None:
    cache, out = tiny.with_name("cache"), tiny.with_name("out")
    building = subprocess.Popen(
        command("build", tiny, "--out", out),
        env=environment(MHAGEN_CACHE_DIR=str(cache)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    patience = time.monotonic() + 30
    while not list(cache.glob("*.lock")) and time.monotonic() < patience:  # held while a kernel is compiled
        time.sleep(0.02)
    building.send_signal(signal.SIGINT)
    _, err = building.communicate(timeout=30)
    assert building.returncode == 130, err
    assert "Traceback" not in err
    assert not out.exists()
    assert all(path.suffix == ".lock" for path in cache.iterdir())


def test_a_warning_is_one_line(mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_spec(_: object) -> object:
        warnings.warn("mhagen: the cache is not used", RuntimeWarning, stacklevel=1)
        raise FileNotFoundError(2, "No such file or directory", "there.toml")

    monkeypatch.setattr(check, "load_spec", load_spec)
    said = mhagen("check", tiny)
    first, second = said.err.splitlines()
    assert first == "warning: the cache is not used"
    assert second == "error: there.toml: No such file or directory"
    assert said.code == 2


def test_a_reader_that_goes_away_ends_the_command_in_silence(tiny: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command("check", tiny),
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments", [("check", "tiny.toml"), ("check", "--schema"), ("cache", "dir", "--json")]
)
def test_a_full_disk_is_told(tiny: Path, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(*arguments), env=environment(), cwd=tiny.parent, stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device\n"


def test_a_character_that_the_terminal_lacks_does_not_hide_the_error(process: Process, tiny: Path) -> None:
    tiny.write_text(tiny.read_text() + 'kepp = "→"\n', encoding="utf-8")
    done = process("check", tiny, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 2
    assert "did you mean `keep`?" in done.stderr
