"""Tables that were found by measurement: where they are kept, and when one is used.

A table is used for the spec, CPU and versions that it was measured with; anything else is a miss. The CPU is
its name for the compiler: models that differ in cores or caches share a table, and no record. A file of
the cache holds one table. A file beside a spec, NAME.tuned.json, holds one for each kind of machine, and
travels with the spec.

Format
    {"format": FORMAT, "tables": [{"for": circumstances, "table": as schedule/written.py has it}, ...]}
"""

from __future__ import annotations

import json
import os
import re
import stat
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from ..base import settings
from ..base.digest import digest
from ..base.dtypes import DType
from ..base.errors import InputError
from ..base.target import Target
from ..base.version import __version__
from ..runtime.entry import Doubt, require_private
from ..runtime.host import host_cpu, host_machine
from ..runtime.locking import hold
from ..runtime.store import create_private
from ..spec.model import Spec
from .table import ScheduleTable, faults
from .written import Json, table_from_json, table_to_json, text, with_keys

FORMAT = "mhagen tuned 1"
SUFFIX = ".tuned.json"
PATIENCE_SECONDS = 10.0  # a file is written in milliseconds
LARGEST_FILE_BYTES = 1 << 22  # a table has 5 KB
# NONBLOCK: opening a FIFO returns at once.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
Item: TypeAlias = Json  # circumstances and a table


class TunedWarning(RuntimeWarning):
    """A file of tuned schedules is damaged. Kernels are built as if untuned instead; results are right."""


@dataclass(frozen=True)
class Circumstances:
    """What schedules were measured with. Another of any of these may have another best schedule.

    Members   machine: model, cores and caches. A table does without: it is for all CPUs of one name
    """

    spec: str  # digest of all but its name
    target: str
    cpu: str
    generator: str  # digest of what writes kernels
    mhagen: str
    numba: str
    llvmlite: str
    machine: str = ""

    @property
    def of_table(self) -> Circumstances:
        """What a table is kept for."""
        return replace(self, machine="")


NAMES = tuple(each.name for each in fields(Circumstances) if each.name != "machine")


def circumstances_here(spec: Spec, target: Target, generator: str) -> Circumstances:
    """Those of a kernel that is built, or measured, in this process."""
    return Circumstances(
        spec=digest_of_spec(spec),
        target=target.name,
        cpu=host_cpu().name,
        generator=generator,
        mhagen=__version__,
        numba=version("numba"),
        llvmlite=version("llvmlite"),
        machine=host_machine(),
    )


def digest_of_spec(spec: Spec) -> str:
    """Of all of it but its name."""
    return digest(json.dumps(spec.model_dump(mode="json", exclude={"name"}), sort_keys=True))


def tuned_table(
    circumstances: Circumstances, target: Target, dtype: DType, beside: Path | None
) -> ScheduleTable | None:
    """The legal table that was tuned in these circumstances, this user's before the one beside the spec.

    A file that is damaged, or that says what no tuner does, is one warning and a miss.
    """
    for path, is_kept in ((kept_path(circumstances), True), (beside, False)):
        if path is None:
            continue
        try:
            table = table_of(path, circumstances, is_kept)
            broken = () if table is None else faults(table, target, dtype)
            if broken:
                raise Doubt(broken[0])
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, Doubt) as error:
            warn(f"mhagen: {path} is not used, and the kernel is built without tuning: {error}")
            continue
        if table is not None:
            return table
    return None


@cache
def warn(message: str) -> None:
    """Once a process for each cause."""
    warnings.warn(message, TunedWarning, stacklevel=4)


def table_of(path: Path, circumstances: Circumstances, is_kept: bool) -> ScheduleTable | None:
    """The first table of the file for these circumstances.  is_kept: as for `bytes_of`.

    Raises   OSError, Doubt
    """
    wanted = written(circumstances)
    found = next((item for item in items_of(path, is_kept) if item["for"] == wanted), None)
    return None if found is None else table_from_json(found["table"])


def tables_in(path: Path, is_kept: bool = False) -> tuple[tuple[Circumstances, ScheduleTable], ...]:
    """All tables of a file that this version understands, whatever the machine.  is_kept: as for `bytes_of`.

    Raises   OSError, Doubt
    """
    return tuple(understood(items_of(path, is_kept)))


def understood(items: list[Item]) -> Iterator[tuple[Circumstances, ScheduleTable]]:
    for item in items:
        try:
            given = with_keys(item["for"], NAMES, "circumstances")
            here = Circumstances(**{name: text(given[name], name) for name in NAMES})
            yield here, table_from_json(item["table"])
        except Doubt:
            continue


def items_of(path: Path, is_kept: bool = False) -> list[Item]:
    """What a file holds, none of it checked but that each has circumstances and a table.

    Raises   OSError, Doubt
    """
    try:
        document = json.loads(bytes_of(path, is_kept))
        content = with_keys(document, ("format", "tables"), "a file of tuned schedules")
    except (ValueError, RecursionError):
        raise Doubt("it is no JSON") from None
    if content["format"] != FORMAT:
        raise Doubt(f"its format is not {FORMAT!r}")
    tables = content["tables"]
    if not isinstance(tables, list):
        raise Doubt("its tables are no list")
    return [with_keys(item, ("for", "table"), "an item") for item in tables]


def bytes_of(path: Path, is_kept: bool) -> bytes:
    """What a file holds.  is_kept: it is one of the cache, and not believed where others may write to it."""
    with open(os.open(path, _READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Doubt("it is not a file")
        if is_kept:
            require_private(status)
        content = file.read(LARGEST_FILE_BYTES + 1)
    if len(content) > LARGEST_FILE_BYTES:
        raise Doubt("it is larger than any file of tuned schedules")
    return content


def kept_folder() -> Path | None:
    """Where this user's tables are kept; None if the user has no home."""
    try:
        return settings.cache_dir() / "tuned"
    except InputError:
        return None


def kept_path(circumstances: Circumstances) -> Path | None:
    folder = kept_folder()
    return None if folder is None else folder / f"{digest(circumstances.of_table)}.json"


def kept_tables() -> tuple[Path, ...]:
    """The files of this user's tables."""
    folder = kept_folder()
    try:
        return () if folder is None else tuple(sorted(folder.glob("*.json")))
    except OSError:
        return ()


def table_file(spec: str | os.PathLike[str]) -> Path:
    """The file beside a spec file that holds its tables."""
    path = Path(spec)
    return path.with_name(f"{path.stem}{SUFFIX}")


def keep_table(circumstances: Circumstances, table: ScheduleTable) -> Path:
    """Keep a table for later builds by this user.

    Raises   OSError, and InputError if the user has no home
    """
    folder = settings.cache_dir() / "tuned"
    create_private(folder)
    path = folder / f"{digest(circumstances.of_table)}.json"
    replace_file(path, [item_of(circumstances, table)], mode=0o600)
    return path


def write_beside(path: Path, circumstances: Circumstances, table: ScheduleTable) -> None:
    """Put a table into the file that travels with a spec, in place of the one of these circumstances.

    One writer of a user at a time: each writes what it has read once more, and would lose what came between.

    Raises   OSError, and InputError if the file is damaged: it may have tables of other machines
    """
    with writing(path) as is_alone:
        if not is_alone:
            warn(f"mhagen: {path} cannot be locked: what another process writes there now may be lost")
        put_into(path, circumstances, table)


@contextmanager
def writing(path: Path) -> Iterator[bool]:
    """Keep others from writing; yields whether that could be done. The lock lies in the cache."""
    folder = kept_folder()
    if folder is None:
        yield False
        return
    with suppress(OSError):
        create_private(folder)
    with hold(folder / f"{digest(str(path.resolve()))}.lock", PATIENCE_SECONDS) as is_alone:
        yield is_alone


def put_into(path: Path, circumstances: Circumstances, table: ScheduleTable) -> None:
    try:
        others = [item for item in items_of(path) if item["for"] != written(circumstances)]
    except FileNotFoundError:
        others = []
    except Doubt as doubt:
        raise InputError(f"{path} is damaged ({doubt}): mend it or move it away") from None
    items = [*others, item_of(circumstances, table)]
    replace_file(path, sorted(items, key=lambda item: json.dumps(item["for"], sort_keys=True)))


def item_of(circumstances: Circumstances, table: ScheduleTable) -> Item:
    return {"for": written(circumstances), "table": table_to_json(table)}


def written(circumstances: Circumstances) -> Json:
    return {name: getattr(circumstances, name) for name in NAMES}


def text_of(items: list[Item]) -> str:
    """Readable, and a changed size is a changed line; but bounds stay on one."""
    spread = json.dumps({"format": FORMAT, "tables": items}, indent=2)
    return re.sub(r"\[\s+(\d+),\s+(\d+|null)\s+\]", r"[\1, \2]", spread) + "\n"


def replace_file(path: Path, items: list[Item], mode: int = 0o666) -> None:
    replace_text(path, text_of(items), mode)


def replace_text(path: Path, content: str, mode: int) -> None:
    """Write a file so that a reader sees the old one or the new, nothing between.  mode: before the umask."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{uuid.uuid4().hex}")
    try:
        with open(os.open(temporary, _WRITE, mode), "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
