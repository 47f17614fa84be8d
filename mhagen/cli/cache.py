"""`mhagen cache`: where kernels and what was tuned are kept, which there are, and away with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path

from rich.table import Table

from ..base import settings
from ..base.errors import InputError
from ..base.spelling import count
from ..runtime.entry import Doubt
from ..runtime.store import Entry, Store
from ..schedule.gpu_tuned import gpu_record_in, gpu_records
from ..schedule.tuned import SUFFIX, Circumstances, keep_table, kept_tables, tables_in
from ..tuning.record import Record, encode
from ..tuning.records import Records, default_records, read
from ..tuning.t4 import t4_document
from ..tuning.titles import Title, title_in
from .exits import Exit
from .output import Json, columns, document, notes, print_table, results, warn
from .quantities import age, size

TITLE = tuple(each.name for each in fields(Title))


def print_directory(as_json: bool) -> int:
    """Print the cache's folder, which need not exist."""
    directory = str(settings.cache_dir())
    if as_json:
        document("cache dir", Exit.GOOD, {"directory": directory})
    else:
        results().print(directory)
    return Exit.GOOD


def list_entries(as_json: bool) -> int:
    """Print the kernels in the cache, the newest first, then what was tuned."""
    store = Store(settings.cache_dir())
    entries, tuned = store.entries(), tuning_entries(default_records())
    if as_json:
        shown = [asdict(entry) for entry in entries]
        content: Json = {"directory": str(store.directory), "entries": shown, "tuning": list(tuned)}
        document("cache list", Exit.GOOD, content)
        return Exit.GOOD
    if entries:
        print_table(entry_table(entries))
    if tuned:
        print_table(tuning_table(tuned))
    total = size(sum(entry.bytes for entry in entries))
    counted = sum(int(str(each["records"])) for each in tuned)
    tuning = tuning_text(counted, len((*kept_tables(), *gpu_records())))
    notes().print(f"{count(len(entries), 'kernel')}, {total}{tuning}, in {store.directory}")
    return Exit.GOOD


def tuning_text(records: int, tables: int) -> str:
    """What there is, or was, besides kernels; a GPU's file is a table, as it holds no round."""
    if not (records or tables):
        return ""
    return f", {count(records, 'tuning record')} and {count(tables, 'table')}"


def entry_table(entries: tuple[Entry, ...]) -> Table:
    table = columns("kernel", "size", "age", "key")
    for entry in entries:
        name = entry.note if entry.valid else "damaged; compiled again when it is needed"
        table.add_row(name, size(entry.bytes), age(entry.age_seconds), entry.key[:12])
    return table


def tuning_entries(records: Records) -> tuple[Json, ...]:
    """What there is of each spec, machine and version: records, and whether a schedule was found."""
    counted = Counter(record.circumstances.of_table for record in records.all())
    tabled = [each for path in kept_tables() for each in circumstances_in(path)]
    everything = dict.fromkeys((*counted, *tabled))
    on_cpus = ({**asdict(each), "records": counted[each], "has_table": each in tabled} for each in everything)
    return tuple(with_title(records.folder, each) for each in (*on_cpus, *entries_for_gpus()))


def with_title(folder: Path, entry: Json) -> Json:
    """The entry, and what its spec is called; null where that is not known."""
    title = title_in(folder, str(entry["spec"]))
    return {**entry, **(dict.fromkeys(TITLE) if title is None else asdict(title))}


def entries_for_gpus() -> Iterator[Json]:
    """The same for GPUs, for which there is a table each; cpu: the GPU that has measured, if one has."""
    for path in gpu_records():
        with suppress(OSError, Doubt):
            here, found = gpu_record_in(path)
            has_schedule = found["schedule"] is not None
            yield {**asdict(here), "cpu": found["gpu"], "records": 0, "has_table": has_schedule}


def circumstances_in(path: Path) -> tuple[Circumstances, ...]:
    try:
        return tuple(here for here, _ in tables_in(path, is_kept=True))
    except (OSError, Doubt):
        return ()


def tuning_table(tuned: Iterable[Json]) -> Table:
    table = columns("tuned spec", *TITLE[1:], "digest", "target", "cpu", "mhagen", "records", "schedules")
    for each in tuned:
        title = (str(each[name] or "-") for name in TITLE)
        names = (str(each[name]) for name in ("target", "cpu", "mhagen", "records"))
        table.add_row(*title, str(each["spec"])[:12], *names, "kept" if each["has_table"] else "none")
    return table


def clear_entries(only: str | None, as_json: bool) -> int:
    """Delete what is in the cache; kernels are compiled again when they are needed."""
    store = Store(settings.cache_dir())
    removed = 0 if only == "tuning" else store.clear()
    records = 0 if only == "kernels" else default_records().clear()
    tables = 0 if only == "kernels" else clear_tables()
    if as_json:
        counts = {"removed": removed, "removed_records": records, "removed_tables": tables}
        document("cache clear", Exit.GOOD, {"directory": str(store.directory), **counts})
        return Exit.GOOD
    kernels, tuning = count(removed, "kernel"), tuning_text(records, tables)
    results().print(f"removed {kernels}{tuning} from {store.directory}")
    return Exit.GOOD


def clear_tables() -> int:
    """How many there were; what cannot be deleted is a warning."""
    removed = 0
    for path in (*kept_tables(), *gpu_records()):
        try:
            path.unlink()
            removed += 1
        except OSError as error:
            warn(f"{path} is still there: {error.strerror}")
    return removed


def merge_files(files: tuple[str, ...], as_json: bool) -> int:
    """Add the records and tables of files to those of this user."""
    records, tables = 0, 0
    for name in files:
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{name} is no file: give records (.jsonl) or tables ({SUFFIX})")
        if path.name.endswith(SUFFIX):
            tables += merge_tables(path)
        else:
            records += merge_records(path)
    if as_json:
        document("cache merge", Exit.GOOD, {"added_records": records, "added_tables": tables})
    else:
        results().print(f"added {count(records, 'record')} and {count(tables, 'table')}")
    return Exit.GOOD


def merge_records(path: Path) -> int:
    """Add the records of a file. Lines that cannot be believed are skipped, if there are others.

    Raises   InputError where there is no record in it
    """
    found = read(path)
    if not found:
        raise InputError(
            f"{path} has no record of mhagen's: give what `mhagen cache export` writes. "
            "What it writes in the T4 format is for other tuners, and cannot be merged"
        )
    return default_records().merge(found)


def merge_tables(path: Path) -> int:
    """Keep the tables of a file; one that is there already is replaced.

    Raises   InputError where it is damaged
    """
    try:
        found = tables_in(path)
    except Doubt as doubt:
        raise InputError(f"{path} is not used: {doubt}") from None
    for circumstances, table in found:
        keep_table(circumstances, table)
    return len(found)


def export_records(file: str, form: str, as_json: bool) -> int:
    """Write all records into one file, as lines or in the T4 format."""
    found = tuple(default_records().all())
    Path(file).write_bytes(as_t4(found) if form == "t4" else as_lines(found))
    if as_json:
        document("cache export", Exit.GOOD, {"file": file, "format": form, "records": len(found)})
    else:
        results().print(f"written: {count(len(found), 'record')}, to {file}")
    return Exit.GOOD


def as_lines(records: Iterable[Record]) -> bytes:
    return b"".join(encode(record) + b"\n" for record in records)


def as_t4(records: Iterable[Record]) -> bytes:
    return (json.dumps(t4_document(records), indent=1, allow_nan=False) + "\n").encode()
