"""A damaged entry is never used: one warning, a kernel that is right, and the next process is well."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mhagen.base.digest import digest
from mhagen.runtime import entry
from mhagen.runtime.store import CacheWarning, Store

KEY, OTHER_KEY = digest("key"), digest("other key")
NOTE = "add avx512 znver4"

Visits = Callable[[str, Path], Any]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are those of POSIX")


def path_of(directory: Path) -> Path:
    return directory / f"{KEY}.code"


def assert_rebuilt_with_one_warning_and_healed(directory: Path, visit: Visits) -> None:
    first, second = visit(KEY, directory), visit(KEY, directory)
    assert (first.builds, len(first.warnings)) == (1, 1), first.warnings
    assert (second.builds, second.warnings) == (0, [])


def test_every_flipped_bit_is_noticed(directory: Path, visit: Visits, add_code: bytes) -> None:
    visit(KEY, directory)
    path, chance = path_of(directory), random.Random(1)
    whole = path.read_bytes()
    start = len(whole) - len(add_code) - len(NOTE)
    header = [(byte, bit) for byte in range(start) for bit in (0, 3, 7)]
    body = [(chance.randrange(start, len(whole)), chance.randrange(8)) for _ in range(150)]
    for byte, bit in header + body:
        damaged = bytearray(whole)
        damaged[byte] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.warns(CacheWarning) as caught:
            assert Store(directory).load(KEY) is None
        assert len(caught) == 1
    assert_rebuilt_with_one_warning_and_healed(directory, visit)


def test_every_truncation_is_noticed(directory: Path, visit: Visits) -> None:
    visit(KEY, directory)
    path = path_of(directory)
    whole = path.read_bytes()
    for length in (*range(120), *range(120, len(whole), 50), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.warns(CacheWarning) as caught:
            assert Store(directory).load(KEY) is None
        assert len(caught) == 1
    assert_rebuilt_with_one_warning_and_healed(directory, visit)


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def replace_by_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_another_key(path: Path) -> None:
    Store(path.parent).save(OTHER_KEY, b"not add", "other")
    (path.parent / f"{OTHER_KEY}.code").rename(path)


def replace_by_older_format(path: Path) -> None:
    path.write_bytes(b"MHAGEN00" + path.read_bytes()[8:])


def replace_by_empty_file(path: Path) -> None:
    path.write_bytes(b"")


def make_enormous(path: Path) -> None:
    os.truncate(path, entry.LARGEST_FILE_BYTES + 1)


def let_all_write(path: Path) -> None:
    path.chmod(0o666)


def let_group_write(path: Path) -> None:
    path.chmod(0o620)


DAMAGES = (
    append,
    replace_by_link,
    replace_by_dangling_link,
    replace_by_pipe,
    replace_by_another_key,
    replace_by_older_format,
    replace_by_empty_file,
    make_enormous,
    let_all_write,
    let_group_write,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_doubtful_entry_is_rebuilt_and_heals(
    directory: Path, visit: Visits, damage: Callable[[Path], None]
) -> None:
    visit(KEY, directory)
    damage(path_of(directory))
    assert_rebuilt_with_one_warning_and_healed(directory, visit)


def test_an_entry_that_cannot_be_read_is_rebuilt_and_heals(
    directory: Path, plain_user: None, visit: Visits
) -> None:
    visit(KEY, directory)
    path_of(directory).chmod(0)
    assert_rebuilt_with_one_warning_and_healed(directory, visit)


def test_the_entry_of_another_user_is_rebuilt_and_heals(directory: Path, visit: Visits) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to give files away")
    visit(KEY, directory)
    os.chown(path_of(directory), 65534, -1)
    assert_rebuilt_with_one_warning_and_healed(directory, visit)


def test_a_directory_in_the_place_of_an_entry_is_one_warning(directory: Path, visit: Visits) -> None:
    path = path_of(directory)
    (path / "inside").mkdir(parents=True)
    directory.chmod(0o700)
    for _ in range(2):
        seen = visit(KEY, directory)
        assert (seen.builds, len(seen.warnings)) == (1, 1)


def test_whole_entries_that_the_loader_refuses_are_rebuilt_and_heal(directory: Path, visit: Visits) -> None:
    Store(directory).save(KEY, b"whole, but no object code", NOTE)
    assert_rebuilt_with_one_warning_and_healed(directory, visit)
