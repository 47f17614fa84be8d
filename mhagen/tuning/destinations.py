"""Where a campaign's results go: looked at before it begins, and no reason to lose them when it has ended."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from ..base import settings
from ..base.errors import InputError
from ..runtime.entry import Doubt
from ..schedule.tuned import keep_table, table_file, tables_in, write_beside
from .keeping import why_not_usable
from .records import warn
from .result import Tuning


def require_destinations(spec_file: Path | None) -> None:
    """Before a campaign: a file beside the spec has to be usable; the cache should be.

    Raises   InputError
    """
    if problem := why_not_usable(settings.cache_dir()):
        warn(f"what is found is not kept for later builds: {problem}")
    if spec_file is None:
        return
    path = table_file(spec_file)
    require_writable(path)
    try:
        tables_in(path)
    except FileNotFoundError:
        return
    except (OSError, Doubt) as error:
        raise InputError(f"{path} is damaged ({error}): mend it or move it away") from None


def require_writable(path: Path) -> None:
    """Make the folder of a file, and see whether the file could be written there.

    Raises   InputError
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    if path.is_dir() or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"cannot write {path}: it is no file that may be written to")


def kept(found: Tuning, spec_file: Path | None) -> Tuning:
    """Keep the table for later builds, and beside the spec if that is wanted. What fails is a warning."""
    path = kept_in_cache(found)
    if spec_file is not None:
        beside = table_file(spec_file)
        problem = why_not_beside(found, beside)
        path, found = (path, replace(found, not_saved=problem)) if problem else (str(beside), found)
    return replace(found, table_path=path)


def not_kept(found: Tuning, spec_file: Path | None) -> Tuning:
    """The same where no schedule is known to be any good, the default included: nothing was measured."""
    if spec_file is None:
        return found
    file = table_file(spec_file)
    return replace(found, not_saved=f"nothing was measured, so {file} would say nothing")


def kept_in_cache(found: Tuning) -> str:
    try:
        return str(keep_table(found.circumstances, found.table))
    except (OSError, InputError) as error:
        warn(f"the schedules are not kept for later builds: {error}")
        return ""


def why_not_beside(found: Tuning, path: Path) -> str:
    """Write the file beside the spec; what has gone wrong, or nothing."""
    try:
        write_beside(path, found.circumstances, found.table)
    except (OSError, InputError) as error:
        warn(f"the schedules are not written into {path}: {error}")
        return f"{path} cannot be written: {error}"
    return ""
