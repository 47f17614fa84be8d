"""`mhagen cache`: where compiled kernels are kept, which there are, and away with them."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table

from ..base import settings
from ..runtime.store import Entry, Store
from .exits import Exit
from .output import columns, document, notes, print_table, results
from .quantities import age, size


def print_directory(as_json: bool) -> int:
    """Print the cache's folder, which need not exist."""
    directory = str(settings.cache_dir())
    if as_json:
        document("cache dir", Exit.GOOD, {"directory": directory})
    else:
        results().print(directory)
    return Exit.GOOD


def list_entries(as_json: bool) -> int:
    """Print what is in the cache, the newest first."""
    store = Store(settings.cache_dir())
    entries = store.entries()
    if as_json:
        shown = [asdict(entry) for entry in entries]
        document("cache list", Exit.GOOD, {"directory": str(store.directory), "entries": shown})
        return Exit.GOOD
    if entries:
        print_table(entry_table(entries))
    total = size(sum(entry.bytes for entry in entries))
    notes().print(f"{len(entries)} kernels, {total}, in {store.directory}")
    return Exit.GOOD


def entry_table(entries: tuple[Entry, ...]) -> Table:
    table = columns("kernel", "size", "age", "key")
    for entry in entries:
        name = entry.note if entry.valid else "damaged; compiled again when it is needed"
        table.add_row(name, size(entry.bytes), age(entry.age_seconds), entry.key[:12])
    return table


def clear_entries(as_json: bool) -> int:
    """Delete what is in the cache; kernels are compiled again when they are needed."""
    store = Store(settings.cache_dir())
    removed = store.clear()
    if as_json:
        document("cache clear", Exit.GOOD, {"directory": str(store.directory), "removed": removed})
    else:
        results().print(f"removed {removed} kernels from {store.directory}")
    return Exit.GOOD
