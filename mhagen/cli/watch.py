"""A campaign while it goes on, on stderr: a view that changes on a terminal, else a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from time import monotonic

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from ..tuning.campaign import Progress
from .output import notes
from .quantities import seconds

LINE_SECONDS = 10.0  # between two lines where no terminal shows them
REFRESHES = 4  # a second
BAR_WIDTH = 32

Observer = Callable[[Progress], None]


@contextmanager
def watching(name: str) -> Iterator[Observer]:
    """Show what the observer that this yields is told."""
    console = notes()
    shown: Lines | View = View(name) if console.is_terminal else Lines(console, name)
    try:
        with screen(shown, console):
            yield shown
    except KeyboardInterrupt:
        console.print(f"interrupted: {what_is_kept(shown.progress)}")
        raise


def screen(shown: Lines | View, console: Console) -> AbstractContextManager[object]:
    if isinstance(shown, Lines):
        return nullcontext()
    return Live(shown, console=console, refresh_per_second=REFRESHES, transient=True)


def what_is_kept(progress: Progress | None) -> str:
    """Of a campaign that has come so far."""
    if progress is None or not (progress.tried or progress.measured):
        return "no candidate was measured yet, so no record is kept, and the next run begins anew"
    return "what was measured is kept, and the next run goes on from there"


def counts(progress: Progress) -> str:
    """How far it is, in words."""
    gain = f"best {1 - progress.best:.1%} faster" if progress.best < 1 else "none faster yet"
    failed = f", {progress.failed} failed" if progress.failed else ""
    return (
        f"{progress.tried} of {progress.space} tried, {progress.compiled} compiled, "
        f"{progress.measured} measured{failed}; {gain}"
    )


class Lines:
    """A line at the start, and every few seconds."""

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name, self.last = console, name, -inf
        self.progress: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self.progress, now = progress, monotonic()
        if now - self.last < LINE_SECONDS:
            return
        self.last = now
        left = seconds(max(progress.left, 0.0))
        self.console.print(f"{self.name}: {progress.stage}; {counts(progress)}; {left} left")


class View:
    """Stage, bar and counts; the time goes on between two events."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.progress: Progress | None = None
        self.told = monotonic()

    def __call__(self, progress: Progress) -> None:
        self.progress, self.told = progress, monotonic()

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        if self.progress is None:
            grid.add_row(f"tuning {self.name}: starting")
            return grid
        progress = self.progress
        left = max(0.0, progress.left - (monotonic() - self.told))
        bar = ProgressBar(total=progress.budget, completed=progress.budget - left, width=BAR_WIDTH)
        grid.add_row(f"tuning {self.name}: {progress.stage}", bar, f"{left:.0f} s left")
        grid.add_row(counts(progress))
        return grid
