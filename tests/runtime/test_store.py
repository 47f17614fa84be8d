"""The store keeps what it is given, tells what it keeps, and deletes nothing else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mhagen.base.digest import digest
from mhagen.base.errors import InternalError
from mhagen.runtime import entry
from mhagen.runtime.obtain import obtain_function
from mhagen.runtime.store import CacheWarning, Store, default_store

KEY, OTHER_KEY = digest("key"), digest("other key")
NOTE = "add avx512 znver4"

Visits = Callable[[str, Path], Any]

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are those of POSIX")


def test_a_kernel_is_built_once(directory: Path, visit: Visits) -> None:
    visits = [visit(KEY, directory) for _ in range(3)]
    assert [seen.builds for seen in visits] == [1, 0, 0]
    assert [seen.warnings for seen in visits] == [[], [], []]


def test_what_is_kept_is_private_under_any_umask(directory: Path, visit: Visits) -> None:
    deep = directory / "deep" / "cache"
    before = os.umask(0)
    try:
        visit(KEY, deep)
    finally:
        os.umask(before)
    kept = [directory, deep.parent, deep, deep / f"{KEY}.code"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o700, 0o700, 0o700, 0o600]


def test_fresh_code_that_the_loader_refuses_is_our_bug_and_is_not_kept(directory: Path) -> None:
    with pytest.raises(InternalError, match="add avx512 znver4: not a 64-bit little-endian ELF object file"):
        obtain_function(Store(directory), KEY, NOTE, "add", 3, lambda: b"no object code")
    assert Store(directory).entries() == ()


def test_entries_tell_what_is_kept_and_whether_it_is_whole(directory: Path) -> None:
    store = Store(directory)
    store.save(KEY, b"12345", NOTE)
    store.save(OTHER_KEY, b"1234567", "other neon cortex-a76")
    (directory / f"{OTHER_KEY}.code").write_bytes(b"damaged")
    (directory / "README").write_text("not an entry")
    found = {kept.key: kept for kept in store.entries()}
    assert sorted(found) == sorted((KEY, OTHER_KEY))
    assert (found[KEY].note, found[KEY].bytes, found[KEY].valid) == (NOTE, 5, True)
    assert found[KEY].age_seconds < 60
    assert not found[OTHER_KEY].valid


def test_clearing_deletes_entries_and_nothing_else(directory: Path) -> None:
    store = Store(directory)
    store.save(KEY, b"12345", NOTE)
    with store.building(OTHER_KEY):
        pass
    (directory / "README").write_text("not an entry")
    assert store.clear() == 1
    assert [path.name for path in directory.iterdir()] == ["README"]
    assert store.entries() == ()


def test_an_empty_cache_has_no_entries_and_makes_no_directory(directory: Path) -> None:
    store = Store(directory)
    assert (store.load(KEY), store.entries(), store.clear()) == (None, (), 0)
    assert not directory.exists()


def test_a_payload_beyond_any_kernel_is_not_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "LARGEST_FILE_BYTES", 1000)
    with pytest.warns(CacheWarning, match="more than any kernel"):
        Store(directory).save(KEY, bytes(1000), NOTE)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "x" * 64, KEY.upper(), KEY + "0", KEY + "\n"])
def test_a_key_that_is_no_digest_is_our_bug(directory: Path, key: str) -> None:
    with pytest.raises(InternalError, match="is not a cache key"):
        Store(directory).load(key)


def test_the_default_store_is_where_settings_say(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(directory))
    assert default_store().directory == directory
    assert default_store() is default_store()


def test_without_a_home_nothing_is_kept_and_one_warning_says_so(run_python: Run) -> None:
    script = """
import os
from pathlib import Path
def no_home(): raise RuntimeError("Could not determine home directory.")
Path.home = no_home
from mhagen.runtime.store import default_store
for _ in range(3):
    store = default_store()
    store.save("0" * 64, b"code", "note")
    assert store.load("0" * 64) is None
"""
    done = run_python(script, MHAGEN_CACHE_DIR="", XDG_CACHE_HOME="")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("CacheWarning") == 1
    assert "set MHAGEN_CACHE_DIR" in done.stderr
