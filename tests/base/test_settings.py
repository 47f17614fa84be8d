"""The environment: a few variables, each with its default, read in one place."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from mhagen.base import settings
from mhagen.base.errors import InputError

PACKAGE = Path(settings.__file__).parent.parent


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in settings.SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)


def test_there_are_fewer_than_ten_and_each_says_what_it_is_for() -> None:
    assert len(settings.SETTINGS) < 10
    for setting in settings.SETTINGS:
        assert setting.meaning.endswith(".")
        assert setting.default


def test_only_settings_reads_the_environment() -> None:
    reading = re.compile(r"\bos\.(environ|getenv)")
    readers = {path.name for path in PACKAGE.rglob("*.py") if reading.search(path.read_text("utf-8"))}
    assert readers == {"settings.py"}


def test_the_cache_is_in_the_users_cache_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/ada")
    assert settings.cache_dir() == Path("/home/ada/.cache/mhagen")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/ada")
    assert settings.cache_dir() == Path("/var/tmp/ada/mhagen")


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_an_empty_or_relative_cache_home_counts_as_unset(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert settings.cache_dir() == Path("/home/ada/.cache/mhagen")


def test_the_cache_can_be_put_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/ada")
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path))
    assert settings.cache_dir() == tmp_path
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("MHAGEN_CACHE_DIR", "~/kernels")
    assert settings.cache_dir() == Path("/home/ada/kernels")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MHAGEN_CACHE_DIR", "here")
    assert settings.cache_dir() == tmp_path / "here"


def test_without_a_home_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", "~no-such-user/kernels")
    with pytest.raises(InputError, match="set MHAGEN_CACHE_DIR"):
        settings.cache_dir()


def test_threads_are_the_cpus_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5})
    assert settings.thread_count() == 3
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    assert settings.thread_count() == 7


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "\u0661", "9" * 5000, " 4"])
def test_a_number_of_threads_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", text)
    with pytest.raises(InputError, match="NUMBA_NUM_THREADS"):
        settings.thread_count()


def test_debugging_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not settings.debug()
    monkeypatch.setenv("MHAGEN_DEBUG", "0")
    assert not settings.debug()
    monkeypatch.setenv("MHAGEN_DEBUG", "1")
    assert settings.debug()


def test_the_cpu_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.cpu_name() is None
    assert settings.cpu_features() is None
    monkeypatch.setenv("NUMBA_CPU_NAME", "znver4")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    assert settings.cpu_name() == "znver4"
    assert settings.cpu_features() == ""
