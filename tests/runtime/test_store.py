"""Whatever happens to the cache, kernels are right, one warning says so, and the next process is well."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mhagen.base.digest import digest
from mhagen.base.errors import InternalError
from mhagen.runtime import entry
from mhagen.runtime.obtain import obtain_function
from mhagen.runtime.store import STALE_SECONDS, CacheWarning, Store, default_store

Run = Callable[..., subprocess.CompletedProcess[str]]
KEY, OTHER_KEY = digest("key"), digest("other key")
NOTE = "add avx512 znver4"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are those of POSIX")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A place that also a user without privileges can reach."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place / "cache"
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def plain_user(directory: Path) -> Iterator[None]:
    """Without privileges, for which modes mean nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(directory.parent, 65534, -1)
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("this system has no user 65534")
    yield
    os.seteuid(0)


class Visit:
    """What one process sees that wants the kernel: its own store, and whether it had to build."""

    def __init__(self, directory: Path, code: bytes) -> None:
        self.builds = 0
        self.result = np.zeros(1, np.int64)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function = obtain_function(Store(directory), KEY, NOTE, "add", 3, lambda: self.build(code))
        self.warnings = [str(warning.message) for warning in caught]
        assert all(warning.category is CacheWarning for warning in caught)
        function(self.result.ctypes.data, 2, 40)
        assert self.result[0] == 42

    def build(self, code: bytes) -> bytes:
        self.builds += 1
        return code


def path_of(directory: Path) -> Path:
    return directory / f"{KEY}.code"


def assert_rebuilt_with_one_warning_and_healed(directory: Path, code: bytes) -> None:
    first, second = Visit(directory, code), Visit(directory, code)
    assert (first.builds, len(first.warnings)) == (1, 1), first.warnings
    assert (second.builds, second.warnings) == (0, [])


def test_a_kernel_is_built_once(directory: Path, add_code: bytes) -> None:
    visits = [Visit(directory, add_code) for _ in range(3)]
    assert [visit.builds for visit in visits] == [1, 0, 0]
    assert [visit.warnings for visit in visits] == [[], [], []]


def test_what_is_kept_is_private_under_any_umask(directory: Path, add_code: bytes) -> None:
    before = os.umask(0)
    try:
        Visit(directory / "deep" / "cache", add_code)
    finally:
        os.umask(before)
    kept = [
        directory,
        directory / "deep",
        directory / "deep" / "cache",
        path_of(directory / "deep" / "cache"),
    ]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o700, 0o700, 0o700, 0o600]


def test_every_flipped_bit_is_noticed(directory: Path, add_code: bytes) -> None:
    Visit(directory, add_code)
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
    assert_rebuilt_with_one_warning_and_healed(directory, add_code)


def test_every_truncation_is_noticed(directory: Path, add_code: bytes) -> None:
    Visit(directory, add_code)
    path = path_of(directory)
    whole = path.read_bytes()
    for length in (*range(120), *range(120, len(whole), 50), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.warns(CacheWarning) as caught:
            assert Store(directory).load(KEY) is None
        assert len(caught) == 1
    assert_rebuilt_with_one_warning_and_healed(directory, add_code)


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
    directory: Path, add_code: bytes, damage: Callable[[Path], None]
) -> None:
    Visit(directory, add_code)
    damage(path_of(directory))
    assert_rebuilt_with_one_warning_and_healed(directory, add_code)


def test_an_entry_that_cannot_be_read_is_rebuilt_and_heals(
    directory: Path, plain_user: None, add_code: bytes
) -> None:
    Visit(directory, add_code)
    path_of(directory).chmod(0)
    assert_rebuilt_with_one_warning_and_healed(directory, add_code)


def test_the_entry_of_another_user_is_rebuilt_and_heals(directory: Path, add_code: bytes) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to give files away")
    Visit(directory, add_code)
    os.chown(path_of(directory), 65534, -1)
    assert_rebuilt_with_one_warning_and_healed(directory, add_code)


def test_a_directory_in_the_place_of_an_entry_is_one_warning(directory: Path, add_code: bytes) -> None:
    path = path_of(directory)
    (path / "inside").mkdir(parents=True)
    directory.chmod(0o700)
    for _ in range(2):
        visit = Visit(directory, add_code)
        assert (visit.builds, len(visit.warnings)) == (1, 1)


def test_whole_entries_that_the_loader_refuses_are_rebuilt_and_heal(directory: Path, add_code: bytes) -> None:
    Store(directory).save(KEY, b"whole, but no object code", NOTE)
    assert_rebuilt_with_one_warning_and_healed(directory, add_code)


def test_fresh_code_that_the_loader_refuses_is_our_bug_and_is_not_kept(directory: Path) -> None:
    with pytest.raises(InternalError, match="add avx512 znver4: not a 64-bit little-endian ELF object file"):
        Visit(directory, b"no object code")
    assert Store(directory).entries() == ()


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
    directory: Path, plain_user: None, add_code: bytes, make: Callable[[Path], None]
) -> None:
    make(directory)
    for _ in range(2):
        visit = Visit(directory, add_code)
        assert (visit.builds, len(visit.warnings)) == (1, 1), visit.warnings
    directory.parent.chmod(0o755)


def test_a_path_through_a_file_is_one_warning(directory: Path, add_code: bytes) -> None:
    directory.write_bytes(b"")
    visit = Visit(directory / "cache", add_code)
    assert (visit.builds, len(visit.warnings)) == (1, 1)


def test_the_directory_of_another_user_is_not_used(directory: Path, add_code: bytes) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to give files away")
    directory.mkdir(mode=0o700)
    os.chown(directory, 65534, -1)
    visit = Visit(directory, add_code)
    assert visit.builds == 1
    assert [text.split(": ", 2)[2] for text in visit.warnings] == ["it belongs to user 65534, not to user 0"]
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


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from mhagen.runtime.store import Store
step = sys.argv[3]
real = getattr(os, step)
def killed(*arguments, **options):
    if sys.argv[4] == "after":
        real(*arguments, **options)
    if step != "open" or ".new-" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(os, step, killed)
Store(Path(sys.argv[1])).save(sys.argv[2], b"new code" * 1000, "new")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old code"])
def test_a_process_killed_at_any_step_leaves_the_old_or_the_new(
    directory: Path, run_python: Run, step: str, moment: str, old: bytes | None
) -> None:
    if old is not None:
        Store(directory).save(KEY, old, "old")
    killed = run_python(KILLED_AT, str(directory), KEY, step, moment)
    assert killed.returncode == -signal.SIGKILL
    expected = b"new code" * 1000 if (step, moment) == ("replace", "after") else old
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Store(directory).load(KEY) == expected


def test_files_left_by_the_killed_are_swept_after_a_day(directory: Path) -> None:
    Store(directory).save(KEY, b"code", NOTE)
    yesterday = time.time() - STALE_SECONDS - 60
    old, fresh, lock = directory / ".new-1-old", directory / ".new-2-fresh", directory / f"{OTHER_KEY}.lock"
    foreign = directory / "README"
    for path in (old, fresh, lock, foreign):
        path.write_bytes(b"")
    for path in (old, lock, foreign, path_of(directory)):
        os.utime(path, (yesterday, yesterday))
    Store(directory).save(OTHER_KEY, b"code", NOTE)
    assert sorted(directory.iterdir()) == sorted(
        (fresh, foreign, path_of(directory), directory / f"{OTHER_KEY}.code")
    )


WRITER = """
import sys, warnings
from pathlib import Path
from mhagen.runtime.store import Store
warnings.simplefilter("error")
store, mine = Store(Path(sys.argv[1])), bytes([int(sys.argv[2])]) * 50_000
keys = sys.argv[3:]
for _ in range(40):
    for key in keys:
        store.save(key, mine, "writer " + sys.argv[2])
        found = store.load(key)
        assert found is not None and len(set(found)) == 1 and len(found) == 50_000
"""


def test_eight_writers_of_the_same_keys_never_mix(directory: Path, run_python: Run) -> None:
    command = [sys.executable, "-c", WRITER, str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    writers = [
        subprocess.Popen([*command, str(number), KEY, OTHER_KEY], env=environment, stderr=subprocess.PIPE)
        for number in range(8)
    ]
    complaints = [writer.communicate(timeout=60)[1] for writer in writers]
    assert complaints == [b""] * 8
    assert sorted(path.stem for path in directory.iterdir()) == sorted((KEY, OTHER_KEY))


BUILDER = """
import sys, time
from pathlib import Path
from mhagen.runtime.obtain import obtain_function
from mhagen.runtime.store import Store
code = Path(sys.argv[2]).read_bytes()
def build():
    time.sleep(0.3)
    print("built")
    return code
for key in sys.argv[3:]:
    obtain_function(Store(Path(sys.argv[1])), key, "add", "add", 3, build)
"""


def test_of_eight_processes_that_want_a_kernel_one_builds_it(
    directory: Path, tmp_path: Path, add_code: bytes
) -> None:
    path = tmp_path / "add.o"
    path.write_bytes(add_code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", BUILDER, str(directory), str(path), KEY, OTHER_KEY]
    builders = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(8)]
    output = b"".join(builder.communicate(timeout=60)[0] for builder in builders)
    assert output == b"built\nbuilt\n"
    assert {builder.returncode for builder in builders} == {0}


def test_a_lock_held_for_too_long_is_not_waited_for(directory: Path) -> None:
    store = Store(directory)
    with store.building(KEY) as first, store.building(KEY, patience_seconds=0.1) as second:
        assert (first, second) == (True, False)
    with store.building(KEY, patience_seconds=0) as third:
        assert third


def test_a_lock_dies_with_its_process(directory: Path, run_python: Run) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from mhagen.runtime.store import Store
with Store(Path(sys.argv[1])).building(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_python(script, str(directory), KEY).returncode == -signal.SIGKILL
    with Store(directory).building(KEY, patience_seconds=0) as held:
        assert held


def test_a_lock_released_is_free_though_a_forked_child_lives(directory: Path) -> None:
    store = Store(directory)
    with store.building(KEY):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        with store.building(KEY, patience_seconds=0) as held:
            assert held
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


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
