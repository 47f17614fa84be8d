"""What a tuning campaign has found: the outcome for each call, every candidate, and what it all took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ..base.spelling import count
from ..base.target import Target
from ..schedule.plan import Schedule
from ..schedule.table import ScheduleTable
from ..schedule.tuned import Circumstances
from ..spec.model import Spec
from .gain import Interval
from .result_text import html_table, text_table
from .shortage import Shortage
from .trial import Call, Trial
from .verdict import Verdict


class End(Enum):
    """Why a search has ended."""

    SPACE = "everything that was worth trying was tried"
    BUDGET = "no time was left for another candidate"
    SHORT = "the budget was too short to compare anything"


@dataclass(frozen=True)
class Tried:
    """A candidate.

    Units    seconds: the median of its rounds; modelled: as the cost model has them; ratio: to the default
    Members  is_recalled: it was found in the records, and not measured again
    """

    trial: Trial
    verdict: Verdict
    modelled: float
    detail: str = ""
    seconds: float | None = None
    ratio: float | None = None
    is_recalled: bool = False


@dataclass(frozen=True)
class Outcome:
    """A call at the end: the schedule that was chosen and the default, timed side by side.

    Units    seconds: medians, default_seconds those of the search where nothing was compared at the end; None
             where nothing was measured
    Members  reason says why the default was kept, or what was gained
    """

    call: Call
    schedule: Schedule
    kept_default: bool
    reason: str
    default_seconds: float | None = None
    seconds: float | None = None
    ratio: Interval | None = None
    twin: Interval | None = None

    @property
    def gain(self) -> float:
        """The share of the default's time that is saved."""
        return 0.0 if self.ratio is None or self.kept_default else 1 - self.ratio.median


@dataclass(frozen=True, repr=False)
class Tuning:
    """The result of tuning a spec for some calls.

    Units    budget and seconds are of wall time
    Members  table_path: the file that has the table; not_saved: why there is none beside the spec, where
             one was wanted; shortage: why no candidate could be tried, if so
    """

    spec: Spec
    target: Target
    circumstances: Circumstances
    strategy: str
    budget: float
    seconds: float
    end: End
    default: Schedule
    table: ScheduleTable
    outcomes: tuple[Outcome, ...]
    tried: tuple[Tried, ...]
    space: int
    compiled: int
    measured: int
    table_path: str = ""
    records_path: str = ""
    not_saved: str = ""
    shortage: Shortage | None = None

    @property
    def is_tuned(self) -> bool:
        return any(not outcome.kept_default for outcome in self.outcomes)

    def count(self, verdict: Verdict) -> int:
        return sum(each.verdict is verdict for each in self.tried)

    @property
    def headline(self) -> str:
        heads = f"{self.spec.name}, {self.spec.dtype.value}, {self.target.name} ({self.circumstances.cpu})"
        tried = f"{len(self.tried)} of {count(self.space, 'candidate')} tried"
        counts = f"{tried} in {self.seconds:.1f} s of {self.budget:g} s"
        return f"{heads}: {counts}; {self.end.value if self.shortage is None else self.shortage}"

    @property
    def remarks(self) -> Iterator[str]:
        """What no cell of the table holds, a line each."""
        for outcome in self.outcomes:
            yield f"{outcome.call}: {outcome.reason}"
        bad = {verdict: self.count(verdict) for verdict in Verdict if verdict is not Verdict.OK}
        if any(bad.values()):
            yield "of the candidates " + ", ".join(f"{n} {v.value}" for v, n in bad.items() if n)
        if self.not_saved:
            yield f"not saved: {self.not_saved}"

    def __str__(self) -> str:
        return "\n".join((self.headline, "", text_table(HEADS, self.rows()), "", *self.remarks))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.headline, HEADS, self.rows(), self.remarks)

    def rows(self) -> tuple[tuple[str, ...], ...]:
        return tuple(cells(outcome) for outcome in self.outcomes)


HEADS = ("call", "untuned", "tuned", "ratio", "95 % of it", "schedule")


def cells(outcome: Outcome) -> tuple[str, ...]:
    ratio = outcome.ratio
    return (
        str(outcome.call),
        milliseconds(outcome.default_seconds),
        milliseconds(outcome.default_seconds if outcome.kept_default else outcome.seconds),
        "-" if ratio is None else f"{ratio.median:.3f}",
        "-" if ratio is None else f"{ratio.low:.3f} to {ratio.high:.3f}",
        "default" if outcome.kept_default else in_short(outcome.schedule),
    )


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.3g} ms"


def in_short(schedule: Schedule) -> str:
    """The sizes that are tuned most, in one word each."""
    return (
        f"{schedule.tile_queries}/{schedule.block_keys} "
        f"{schedule.key_rows}x{schedule.query_vectors} {schedule.value_rows}x{schedule.value_vectors} "
        f"{schedule.chunk_keys}/{schedule.decode_rows}"
    )
