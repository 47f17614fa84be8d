"""Results go to stdout; notes, warnings and errors to stderr. Both know terminals, pipes and NO_COLOR."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..base.version import __version__

Json: TypeAlias = dict[str, object]  # an object of JSON

SCHEMA_VERSION = 1
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
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table; where no terminal shows it, without the blanks that fill its last column."""
    console = results()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    print_exactly("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def is_utf8() -> bool:
    """Whether stdout can show more than ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "") == "utf8"
