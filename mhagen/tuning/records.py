"""The tuning records of this user: a file for each spec, to which lines are only added.

A line goes out in one write to the end of the file, and begins with a line break of its own: so writers need
no lock, and what a killed one has left unfinished spoils no line but its own.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..base import settings
from ..base.spelling import count
from ..runtime.entry import Doubt, require_private
from ..runtime.store import create_private
from ..schedule.tuned import Circumstances
from .record import DIGEST, LARGEST_LINE_BYTES, Record, decode, encode
from .titles import title_files

FOLDER = "records"
SUFFIX = ".jsonl"
LARGEST_FILE_BYTES = 256 << 20  # some hundred thousand records
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


class RecordWarning(RuntimeWarning):
    """Tuning records are damaged or cannot be kept. What is left of them is right."""


@dataclass(frozen=True)
class Records:
    """The files of records in a folder."""

    folder: Path

    def path(self, circumstances: Circumstances) -> Path:
        return self.folder / f"{circumstances.spec}{SUFFIX}"

    def add(self, record: Record) -> bool:
        """Keep a record; whether that could be done. What is wrong with the disk is a warning."""
        try:
            make_private(self.folder)
            append(self.path(record.circumstances), encode(record))
        except (OSError, Doubt) as error:
            warn(f"tuning records are not kept in {self.folder}: {error}")
            return False
        return True

    def of_spec(self, circumstances: Circumstances) -> tuple[Record, ...]:
        """All records of a spec, whatever else they were made under, in the order of their lines."""
        return read(self.path(circumstances), is_kept=True)

    def files(self) -> tuple[Path, ...]:
        with suppress(OSError):
            return tuple(sorted(path for path in self.folder.iterdir() if is_record_file(path)))
        return ()

    def all(self) -> Iterator[Record]:
        for path in self.files():
            yield from read(path, is_kept=True)

    def clear(self) -> int:
        """Delete all; returns how many records are gone. What cannot be deleted is a warning."""
        removed = 0
        for path in self.files():
            lines = sum(1 for _ in lines_of(path, is_kept=False))
            try:
                path.unlink()
                removed += lines
            except OSError as error:
                warn(f"{path} is still there: {error.strerror}")
        for path in title_files(self.folder):
            with suppress(OSError):  # nobody misses it, and the next run for the spec replaces it
                path.unlink()
        return removed

    def merge(self, records: Iterable[Record]) -> int:
        """Add those that are not there yet; returns how many."""
        known: dict[Path, set[bytes]] = {}
        added = 0
        for record in records:
            path, line = self.path(record.circumstances), encode(record)
            if path not in known:
                known[path] = {encode(each) for each in read(path, is_kept=True)}
            if line not in known[path]:
                known[path].add(line)
                added += self.add(record)
        return added


def default_records() -> Records:
    """Those of this user.

    Raises   InputError if no folder for them is known
    """
    return Records(settings.cache_dir() / FOLDER)


def read(path: Path, is_kept: bool = False) -> tuple[Record, ...]:
    """The records of a file. Damaged lines are skipped, with one warning for all.

    is_kept   it is one of this user's, and not believed where others may write to it
    """
    found, damaged = [], 0
    for line in lines_of(path, is_kept):
        try:
            found.append(decode(line))
        except Doubt:
            damaged += 1
    if damaged:
        are = "is" if damaged == 1 else "are"
        lines = f"{count(damaged, 'line')} of {path} of {damaged + len(found)}"
        warn(f"{lines} cannot be believed, and {are} skipped")
    return tuple(found)


def lines_of(path: Path, is_kept: bool) -> Iterator[bytes]:
    """The lines that hold something; none where there is no file, or none that can be read."""
    try:
        with open(os.open(path, _READ), "rb") as file:
            status = os.fstat(file.fileno())
            if is_kept:
                require_private(status)
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE_BYTES:
                warn(f"{path} is not used: it is no file of records")
                return
            yield from (line for line in file.read().split(b"\n") if line)
    except FileNotFoundError:
        return
    except Doubt as doubt:
        warn(f"{path} is not used: {doubt}")
    except OSError as error:
        warn(f"{path} cannot be read: {error.strerror}")


def append(path: Path, line: bytes) -> None:
    """Add a line in one write.

    Raises   OSError, Doubt
    """
    if len(line) > LARGEST_LINE_BYTES:
        raise Doubt(f"a line of {len(line)} bytes is no record")
    whole = b"\n" + line + b"\n"
    descriptor = os.open(path, _APPEND, 0o600)
    try:
        require_private(os.fstat(descriptor))
        if os.write(descriptor, whole) != len(whole):
            raise OSError("the disk is full")
    finally:
        os.close(descriptor)


def make_private(folder: Path) -> None:
    """Make a folder that only this user may write to, or find one.

    Raises   OSError, Doubt
    """
    create_private(folder)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise Doubt("it is not a directory")
    require_private(status)


def is_record_file(path: Path) -> bool:
    return path.suffix == SUFFIX and DIGEST.fullmatch(path.stem) is not None


def warn(text: str) -> None:
    warnings.warn(f"mhagen: {text}", RecordWarning, stacklevel=3)
