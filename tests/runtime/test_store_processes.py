"""Processes that build, write, read and die at once see old entries, new ones, or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from mhagen.base.digest import digest
from mhagen.runtime.store import STALE_SECONDS, Store

KEY, OTHER_KEY = digest("key"), digest("other key")
NOTE = "add avx512 znver4"

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are those of POSIX")


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
    for path in (old, lock, foreign, directory / f"{KEY}.code"):
        os.utime(path, (yesterday, yesterday))
    Store(directory).save(OTHER_KEY, b"code", NOTE)
    assert sorted(directory.iterdir()) == sorted(
        (fresh, foreign, directory / f"{KEY}.code", directory / f"{OTHER_KEY}.code")
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
