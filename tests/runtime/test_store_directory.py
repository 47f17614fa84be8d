"""Where nothing can be kept, kernels are right and one warning says so."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mhagen.base.digest import digest
from mhagen.runtime.store import CacheWarning, Store

KEY, OTHER_KEY = digest("key"), digest("other key")
NOTE = "add avx512 znver4"

Visits = Callable[[str, Path], Any]

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are those of POSIX")


def make_link(directory: Path) -> None:
    (directory.parent / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(directory.parent / "elsewhere")


def make_file(directory: Path) -> None:
    directory.write_bytes(b"")


def make_open_to_all(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)


def make_open_to_group(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o770)


def make_parent_read_only(directory: Path) -> None:
    directory.parent.chmod(0o555)


def make_read_only(directory: Path) -> None:
    directory.mkdir(mode=0o500)


def make_closed(directory: Path) -> None:
    directory.mkdir(mode=0o000)


UNUSABLE = (
    make_link,
    make_file,
    make_open_to_all,
    make_open_to_group,
    make_parent_read_only,
    make_read_only,
    make_closed,
)


@pytest.mark.parametrize("make", UNUSABLE, ids=lambda make: make.__name__)
def test_without_a_usable_directory_all_works_with_one_warning(
    directory: Path, plain_user: None, visit: Visits, make: Callable[[Path], None]
) -> None:
    make(directory)
    for _ in range(2):
        seen = visit(KEY, directory)
        assert (seen.builds, len(seen.warnings)) == (1, 1), seen.warnings
    directory.parent.chmod(0o755)


def test_a_path_through_a_file_is_one_warning(directory: Path, visit: Visits) -> None:
    directory.write_bytes(b"")
    seen = visit(KEY, directory / "cache")
    assert (seen.builds, len(seen.warnings)) == (1, 1)


def test_the_directory_of_another_user_is_not_used(directory: Path, visit: Visits) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to give files away")
    directory.mkdir(mode=0o700)
    os.chown(directory, 65534, -1)
    seen = visit(KEY, directory)
    assert seen.builds == 1
    assert [text.split(": ", 2)[2] for text in seen.warnings] == ["it belongs to user 65534, not to user 0"]
    assert list(directory.iterdir()) == []


def test_an_unusable_directory_is_warned_of_once_for_all_kernels(directory: Path) -> None:
    make_open_to_all(directory)
    store = Store(directory)
    with pytest.warns(CacheWarning) as caught:
        for number in range(5):
            assert store.load(digest(number)) is None
            store.save(digest(number), b"code", "note")
        assert store.entries() == ()
        assert store.clear() == 0
    assert len(caught) == 1


@pytest.mark.parametrize("step", ["fsync", "replace", "open"])
@pytest.mark.parametrize("problem", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_full_or_failing_disk_is_one_warning_and_leaves_no_trace(
    directory: Path, monkeypatch: pytest.MonkeyPatch, step: str, problem: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(problem, os.strerror(problem))

    store = Store(directory)
    store.save(OTHER_KEY, b"kept before", "other")
    monkeypatch.setattr(os, step, fail)
    with pytest.warns(CacheWarning, match="compiled kernels are not kept") as caught:
        store.save(KEY, b"code", NOTE)
        store.save(digest("a third key"), b"code", NOTE)
    monkeypatch.undo()
    assert len(caught) == 1
    assert [path.stem for path in directory.iterdir()] == [OTHER_KEY]
    assert store.load(KEY) is None
    assert store.load(OTHER_KEY) == b"kept before"


def test_a_file_that_the_system_cuts_short_is_not_published(directory: Path, run_python: Run) -> None:
    script = """
import resource, sys
from pathlib import Path
from mhagen.runtime.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
store = Store(Path(sys.argv[1]))
store.save(sys.argv[2], bytes(100_000), "too much")
print(store.load(sys.argv[2]), [path.name for path in Path(sys.argv[1]).iterdir()])
"""
    done = run_python(script, str(directory), KEY)
    assert done.stdout == "None []\n", done.stderr
    assert done.stderr.count("CacheWarning") == 1
