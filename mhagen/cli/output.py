"""Results go to stdout; notes, warnings and errors to stderr. Both know terminals, pipes and NO_COLOR."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import TypeAlias

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from ..base.version import __version__

Json: TypeAlias = dict[str, object]  # an object of JSON

SCHEMA_VERSION = 1
GAP = 2  # blanks between columns
SHORT_CELL = 16  # columns of a cell that is rather not broken
PIPE_WIDTH = 200  # columns of a table that no terminal shows


def results() -> Console:
    """The console of results: stdout."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def notes() -> Console:
    """The console of everything that is said about the work: stderr."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def document(command: str, exit_code: int, content: Json) -> None:
    """Print the one JSON document of a command."""
    head = {"schema_version": SCHEMA_VERSION, "mhagen": __version__, "command": command}
    whole = {**head, "exit_code": int(exit_code), **content}
    print(json.dumps(finite(whole), indent=2, allow_nan=False))


def finite(value: object) -> object:
    """The value without infinities and NaNs, which JSON does not have: null stands for them."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {key: finite(item) for key, item in value.items()}
        case list() | tuple():
            return [finite(item) for item in value]
        case _:
            return value


def print_exactly(text: str) -> None:
    """Print text as it is: it may be redirected into a file."""
    sys.stdout.write(text)


def complain(text: str) -> None:
    """Print an error: its headline stands out, and so do its carets."""
    shown = Text(text if text.startswith("error") else f"error: {text}")
    shown.highlight_regex(r"(?m)^error(\[[a-z0-9-]+\])?:", "bold red")
    shown.highlight_regex(r"(?m)^ +\| +\^+.*$", "red")
    notes().print(shown)


def warn(text: str) -> None:
    """Print a warning: something that the user should know, and that stops nothing."""
    shown = Text(f"warning: {text}")
    shown.stylize("bold yellow", 0, len("warning:"))
    notes().print(shown)


def heading(text: str) -> None:
    """Start a part of a long result."""
    results().print(Text(f"== {text} ==", "bold"))


def columns(*names: str) -> Table:
    """A table with these headings, without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table, fitted to the terminal; where none shows it, without blanks behind its last column."""
    console = results()
    table = fitted(table, console)
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    print_exactly("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def fitted(table: Table, console: Console) -> Table:
    """The table with columns that break between words alone; one cell a line where they do not fit so."""
    measured = [widths(column, console) for column in table.columns]
    gaps = GAP * (len(measured) - 1)
    most = sum(line for _, line in measured) + gaps
    if most <= console.width:
        return table
    for longest_unbroken in (SHORT_CELL, 0):
        least = [line if line <= longest_unbroken else word for word, line in measured]
        if (needed := sum(least) + gaps) <= console.width:
            share = (console.width - needed) / (most - needed)
            for column, narrow, (_, line) in zip(table.columns, least, measured, strict=True):
                column.width = narrow + int((line - narrow) * share)
            return table
    return stacked(table)


def widths(column: Column, console: Console) -> tuple[int, int]:
    """The longest word and the longest line of a column."""
    cells = [Measurement.get(console, console.options, cell) for cell in (column.header, *column.cells)]
    return max(cell.minimum for cell in cells), max(cell.maximum for cell in cells)


def stacked(table: Table) -> Table:
    """The table with a line for each cell, and an empty one between its rows."""
    lines = Table(box=None, pad_edge=False, show_header=False, padding=(0, GAP, 0, 0))
    lines.add_column(style="bold", no_wrap=True)
    lines.add_column(overflow="fold")
    cells = zip(*(column.cells for column in table.columns), strict=True)
    for number, (row, style) in enumerate(zip(cells, (row.style for row in table.rows), strict=True)):
        if number > 0:
            lines.add_row()
        for column, cell in zip(table.columns, row, strict=True):
            lines.add_row(column.header, cell, style=style)
    return lines


def is_utf8() -> bool:
    """Whether stdout can show more than ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "") == "utf8"
