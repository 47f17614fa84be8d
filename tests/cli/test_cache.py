"""`mhagen cache`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mhagen.runtime.store import Store

from .conftest import Run

KEYS = ("a" * 64, "b" * 64)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "cache"
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(directory))
    return directory


@pytest.fixture
def filled(cache: Path) -> Path:
    for key in KEYS:
        Store(cache).save(key, b"code" * 300, f"kernel of {key[:4]}")
    return cache


def test_the_folder_is_printed_and_not_made(mhagen: Run, cache: Path) -> None:
    said = mhagen("cache", "dir")
    assert (said.code, said.out, said.err) == (0, f"{cache}\n", "")
    assert not cache.exists()


def test_an_empty_cache_has_no_kernels(mhagen: Run, cache: Path) -> None:
    said = mhagen("cache", "list")
    assert (said.code, said.out) == (0, "")
    assert said.err == f"0 kernels, 0 B, in {cache}\n"


def test_kernels_are_listed_with_what_they_are(mhagen: Run, filled: Path) -> None:
    said = mhagen("cache", "list")
    heads, *rows = said.out.splitlines()
    assert heads.split() == ["kernel", "size", "age", "key"]
    assert sorted(row[:14] for row in rows) == ["kernel of aaaa", "kernel of bbbb"]
    assert all("1.20 KB" in row for row in rows)
    assert said.err.startswith("2 kernels, 2.40 KB")


def test_a_damaged_entry_is_listed_as_such(mhagen: Run, filled: Path) -> None:
    (filled / f"{KEYS[0]}.code").write_bytes(b"nonsense")
    assert "damaged; compiled again when it is needed" in mhagen("cache", "list").out
    entries = mhagen("cache", "list", "--json").document["entries"]
    assert {entry["key"]: entry["valid"] for entry in entries} == {KEYS[0]: False, KEYS[1]: True}


def test_clearing_leaves_nothing(mhagen: Run, filled: Path) -> None:
    said = mhagen("cache", "clear")
    assert (said.code, said.out) == (0, f"removed 2 kernels from {filled}\n")
    assert list(filled.iterdir()) == []
    assert mhagen("cache", "clear", "--json").document["removed"] == 0
    Store(filled).save(KEYS[0], b"code", "kernel")
    assert mhagen("cache", "clear").out == f"removed 1 kernel from {filled}\n"


def test_only_tables_that_are_gone_are_counted(
    mhagen: Run, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (cache / "tuned").mkdir(parents=True, exist_ok=True)
        (cache / "tuned" / f"{name}.json").write_text("{}")
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.name == "a.json":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    said = mhagen("cache", "clear", "--json")
    assert said.document["removed_tables"] == 1
    assert "a.json is still there: Operation not permitted" in said.err


def test_a_folder_that_others_may_write_to_is_warned_of(mhagen: Run, filled: Path) -> None:
    filled.chmod(0o777)
    said = mhagen("cache", "list")
    assert said.code == 0
    assert "warning: the cache directory" in said.err
