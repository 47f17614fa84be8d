"""Where compiled kernels are kept, and whether they can be."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..base import settings
from ..base.errors import InputError
from ..runtime.entry import Doubt, require_private
from ..runtime.store import Store


@dataclass(frozen=True)
class Keeping:
    """The cache of machine code. `problem` says why it cannot be used; empty if it can."""

    directory: str
    exists: bool
    problem: str
    entries: int
    bytes: int
    damaged: int
    free_bytes: int


def this_keeping() -> Keeping:
    try:
        directory = settings.cache_dir()
    except InputError as error:
        return Keeping("", False, str(error), 0, 0, 0, 0)
    problem = why_not_usable(directory)
    entries = () if problem else Store(directory).entries()
    return Keeping(
        directory=str(directory),
        exists=directory.exists(),
        problem=problem,
        entries=len(entries),
        bytes=sum(entry.bytes for entry in entries),
        damaged=sum(not entry.valid for entry in entries),
        free_bytes=shutil.disk_usage(nearest(directory)).free,
    )


def why_not_usable(directory: Path) -> str:
    """What is wrong with the folder, or with the one that it would be made in; empty if nothing is."""
    place = nearest(directory)
    try:
        status = os.stat(place) if place != directory else os.lstat(directory)
        if not stat.S_ISDIR(status.st_mode):
            return f"{place} is not a directory"
        if place == directory:
            require_private(status)
        else:
            os.rmdir(tempfile.mkdtemp(dir=place))  # some places refuse even those who may write there
    except OSError as error:
        return f"{place}: {error.strerror}"
    except Doubt as doubt:
        return str(doubt)
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written to"


def nearest(directory: Path) -> Path:
    """The folder itself, or the nearest of those above it that exists."""
    return next(place for place in (directory, *directory.parents) if os.path.lexists(place))
