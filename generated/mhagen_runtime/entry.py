"""One file of the cache of machine code: its format, how it is published and when it is believed.

Format
    header      magic, length of note, length of payload, digest of key, note and payload
    note        what the entry is, for people: "causal_gqa avx512 znver4"
    payload     object code
"""

from __future__ import annotations

import os
import stat
import struct
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .digest import digest

MAGIC = b"MHAGEN01"
TEMPORARY_PREFIX = ".new-"
LARGEST_FILE_BYTES = 64 << 20  # kernels have 10 KB to 1 MB
LARGEST_NOTE_BYTES = 1 << 10
_HEADER = struct.Struct("<8sIQ32s")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
# NOFOLLOW: a symbolic link is not ours. NONBLOCK: opening a FIFO returns at once.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Doubt(Exception):
    """A reason not to believe what is on the disk."""


@dataclass(frozen=True)
class Content:
    """What an entry holds."""

    note: str
    payload: bytes


def require_private(status: os.stat_result) -> None:
    """Refuse what another user owns or may write.

    Raises   Doubt
    """
    if not hasattr(os, "geteuid"):
        return  # Windows: the profile folder's access list does this
    if status.st_uid != os.geteuid():
        raise Doubt(f"it belongs to user {status.st_uid}, not to user {os.geteuid()}")
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise Doubt(f"other users may write to it (mode {stat.S_IMODE(status.st_mode):o})")


def read_entry(path: Path, key: str) -> Content:
    """The content of an entry that is whole, private and filed under its own key.

    Raises   FileNotFoundError, OSError, Doubt
    """
    with open(os.open(path, _READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Doubt("it is not a file")
        require_private(status)
        if status.st_size > LARGEST_FILE_BYTES:
            raise Doubt(f"it has {status.st_size} bytes, more than any kernel")
        return decode(key, file.read())


def publish_entry(path: Path, key: str, content: Content) -> None:
    """Write the entry whole or not at all: at any moment of a crash the old file is there, or the new one.

    Raises   OSError, Doubt
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{uuid.uuid4().hex}")
    try:
        with open(os.open(temporary, _WRITE, 0o600), "wb") as file:
            file.write(encode(key, content))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def encode(key: str, content: Content) -> bytes:
    note = content.note.encode()[:LARGEST_NOTE_BYTES]
    header = _HEADER.pack(MAGIC, len(note), len(content.payload), _checksum(key, note, content.payload))
    code = header + note + content.payload
    if len(code) > LARGEST_FILE_BYTES:
        raise Doubt(f"it has {len(code)} bytes, more than any kernel")
    return code


def decode(key: str, code: bytes) -> Content:
    if len(code) < _HEADER.size:
        raise Doubt("it is cut short")
    magic, note_bytes, payload_bytes, checksum = _HEADER.unpack_from(code)
    if magic != MAGIC:
        raise Doubt("it is not an entry of this version of the cache")
    start = _HEADER.size + note_bytes
    if len(code) != start + payload_bytes:
        raise Doubt("its length is wrong")
    note, payload = code[_HEADER.size : start], code[start:]
    if _checksum(key, note, payload) != checksum:
        raise Doubt("its checksum is wrong")
    return Content(note.decode(errors="replace"), payload)


def _checksum(key: str, note: bytes, payload: bytes) -> bytes:
    return bytes.fromhex(digest((key, note, payload)))


def _sync_directory(directory: Path) -> None:
    # Without this a power failure can forget the new name; not every file system and system offers it.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
