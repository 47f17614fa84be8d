"""The cache of machine code: one checked file per key, and any doubt is a miss.

A miss costs a compilation; wrong machine code costs a wrong number or the process. So an entry is used only
if its digest, owner and mode are right, and whatever is wrong with the disk is one warning, no exception.
"""

from __future__ import annotations

import os
import re
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..base import settings
from ..base.errors import InputError, InternalError
from .entry import TEMPORARY_PREFIX, Content, Doubt, publish_entry, read_entry, require_private
from .locking import hold

KEY = re.compile(r"[0-9a-f]{64}")
ENTRY_SUFFIX = ".code"
LOCK_SUFFIX = ".lock"
STALE_SECONDS = 24 * 3600  # a temporary file this old was left by a process that was killed
PATIENCE_SECONDS = 120.0  # the slowest kernel compiles in 10 s


class CacheWarning(RuntimeWarning):
    """The cache of machine code is damaged or unusable. Kernels are compiled instead; results are right."""


@dataclass(frozen=True)
class Entry:
    """One file of the cache, as `mhagen cache list` shows it; never used if it is not valid."""

    key: str
    note: str
    bytes: int
    age_seconds: float
    valid: bool


class Store:
    """A private directory of compiled kernels, shared by all processes of one user.

    Nothing here raises for a bad disk or a bad entry: each cause is one CacheWarning.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._warned: set[str] = set()
        self._swept = False

    def load(self, key: str) -> bytes | None:
        """The payload saved under the key, or None."""
        path = self._path(key)
        try:
            if not self._is_usable():
                return None
            return read_entry(path, key).payload
        except FileNotFoundError:
            return None
        except (OSError, Doubt) as error:
            self.reject(key, str(error))
            return None

    def save(self, key: str, payload: bytes, note: str) -> None:
        """Publish the payload, in place of an entry that is there already."""
        path = self._path(key)
        try:
            create_private(self.directory)
            if not self._is_usable():
                return
            self._sweep()
            publish_entry(path, key, Content(note, payload))
        except (OSError, Doubt) as error:
            if key not in self._warned:  # a damaged entry has been warned of by load
                self.warn("directory", f"compiled kernels are not kept in {self.directory}: {error}")

    def reject(self, key: str, reason: str) -> None:
        """Warn, once, that an entry is not used."""
        self.warn(key, f"cache entry {key[:12]} in {self.directory} is not used: {reason}")

    def warn(self, cause: str, message: str) -> None:
        """Warn of a cause for the first time; say nothing the next."""
        if cause not in self._warned:
            self._warned.add(cause)
            warnings.warn(f"mhagen: {message}", CacheWarning, stacklevel=3)

    @contextmanager
    def building(self, key: str, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[bool]:
        """Keep other processes and threads from building the same key; yields whether that could be done.

        Whoever was kept waiting should load again before it builds. Without the lock, where files cannot be
        locked or after patience has run out, two build the same: a waste of time and nothing worse.
        """
        path = self._path(key).with_suffix(LOCK_SUFFIX)
        with suppress(OSError):
            create_private(self.directory)
        if not self._is_usable():
            yield False
            return
        with hold(path, patience_seconds) as held:
            yield held

    def entries(self) -> tuple[Entry, ...]:
        """All entries, the newest first."""
        return tuple(sorted(map(_describe, self._files(_is_entry)), key=lambda entry: entry.age_seconds))

    def clear(self) -> int:
        """Delete every entry; returns how many there were."""
        for path in self._files(_is_passing):
            _delete(path)
        return sum(_delete(path) for path in self._files(_is_entry))

    def _path(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise InternalError(f"{key!r} is not a cache key: 64 hexadecimal digits")
        return self.directory / f"{key}{ENTRY_SUFFIX}"

    def _is_usable(self) -> bool:
        """Whether the directory is there and private."""
        try:
            status = os.lstat(self.directory)
            if not stat.S_ISDIR(status.st_mode):
                raise Doubt("it is not a directory")
            require_private(status)
        except FileNotFoundError:
            return False
        except (OSError, Doubt) as error:
            self.warn("directory", f"the cache directory {self.directory} is not used: {error}")
            return False
        return True

    def _files(self, wanted: Callable[[Path], bool]) -> list[Path]:
        if not self._is_usable():
            return []
        try:
            return [path for path in self.directory.iterdir() if wanted(path)]
        except OSError:
            return []

    def _sweep(self) -> None:
        if self._swept:
            return
        self._swept = True
        for path in self._files(_is_passing):
            if _age_seconds(path) > STALE_SECONDS:
                _delete(path)


def _is_entry(path: Path) -> bool:
    return path.suffix == ENTRY_SUFFIX and KEY.fullmatch(path.stem) is not None


def _is_passing(path: Path) -> bool:
    return path.name.startswith(TEMPORARY_PREFIX) or path.suffix == LOCK_SUFFIX


def _age_seconds(path: Path) -> float:
    try:
        return max(0.0, time.time() - os.lstat(path).st_mtime)
    except OSError:  # another process has deleted it just now
        return 0.0


def _describe(path: Path) -> Entry:
    try:
        content = read_entry(path, path.stem)
    except (OSError, Doubt):
        return Entry(path.stem, note="", bytes=0, age_seconds=_age_seconds(path), valid=False)
    return Entry(path.stem, content.note, len(content.payload), _age_seconds(path), valid=True)


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def create_private(directory: Path) -> None:
    """Make a folder and those above it that are missing, for this user alone.

    Raises   OSError
    """
    # Path.mkdir(parents=True) would leave the parents to the umask.
    missing = [directory, *directory.parents]
    while missing and missing[-1].exists():
        missing.pop()
    for path in reversed(missing):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)


@cache
def _store_in(directory: Path) -> Store:
    return Store(directory)


@cache
def _store_nowhere(reason: str) -> Store:
    store = Store(Path(os.devnull))
    store.warn("directory", f"compiled kernels are not kept: {reason}")
    return store


def default_store() -> Store:
    """The store of this user: one object per directory, so that a cause is warned of once per process."""
    try:
        return _store_in(settings.cache_dir())
    except InputError as error:  # no home directory is known
        return _store_nowhere(str(error))
