"""What a bench has found: the rounds of all candidates of a row, and the numbers that they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median, quantiles

from .peer import Absent


class Role(Enum):
    """Why a candidate takes part."""

    OURS = "ours"
    PEER = "peer"
    PEAK = "multiply-add peak"
    BANDWIDTH = "read bandwidth"
    BESIDE = "our kernel of another row"
    ONE_THREAD = "our kernel on one thread"


@dataclass(frozen=True)
class Timed:
    """One candidate and the seconds of one of its calls, a round each.

    Units    operations and bytes are those of one call
    Numbers  error: from our result for a peer, from the reference for ours; None where nothing was compared
    """

    role: Role
    name: str
    form: str
    operations: float
    bytes: float
    error: float | None
    rounds: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return median(self.rounds)


@dataclass(frozen=True)
class Spread:
    """A median, and the numbers between which half of all lie."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """What was found for one row, one format and one number of threads, or None for a GPU.

    `problem` says why nothing was measured, if so; `is_failure`, that this is our fault, or that a peer's
    absence is.
    """

    row: str
    title: str
    dtype: str
    threads: int | None
    is_decoding: bool
    timed: tuple[Timed, ...] = ()
    absent: tuple[Absent, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    is_failure: bool = False

    def of(self, role: Role) -> Timed | None:
        return next((timed for timed in self.timed if timed.role is role), None)

    @property
    def ours(self) -> Timed | None:
        return self.of(Role.OURS)

    @property
    def peers(self) -> tuple[Timed, ...]:
        return tuple(timed for timed in self.timed if timed.role is Role.PEER)

    @property
    def rate(self) -> float | None:
        """Operations a second, or bytes of keys and values where a row is bound by reading them."""
        ours = self.ours
        if ours is None:
            return None
        return (ours.bytes if self.is_decoding else ours.operations) / ours.seconds

    @property
    def share(self) -> Spread | None:
        """Of the limit that was measured in the same rounds: of the peak, or of the bandwidth."""
        ours, limit = self.ours, self.of(Role.BANDWIDTH if self.is_decoding else Role.PEAK)
        if ours is None or limit is None:
            return None
        work = ours.bytes / limit.bytes if self.is_decoding else ours.operations / limit.operations
        return spread(work * ratio for ratio in ratios(limit, ours))

    @property
    def beside(self) -> Spread | None:
        """The time of one operation here over that of one of the row beside."""
        ours, other = self.ours, self.of(Role.BESIDE)
        if ours is None or other is None:
            return None
        return spread(ratio * other.operations / ours.operations for ratio in ratios(ours, other))

    @property
    def speed_up(self) -> Spread | None:
        """The time on one thread over the time on all."""
        ours, one = self.ours, self.of(Role.ONE_THREAD)
        return None if ours is None or one is None else spread(ratios(one, ours))

    def against(self, peer: Timed) -> Spread:
        """The time of the peer over ours."""
        assert self.ours is not None
        return spread(ratios(peer, self.ours))


def ratios(over: Timed, under: Timed) -> tuple[float, ...]:
    """Round by round: what disturbs a round disturbs both."""
    return tuple(a / b for a, b in zip(over.rounds, under.rounds, strict=True))


def spread(numbers: Iterable[float]) -> Spread:
    """Raises   StatisticsError for no number at all."""
    given: Sequence[float] = tuple(numbers)
    if len(given) == 1:
        return Spread(given[0], given[0], given[0])
    low, middle, high = quantiles(given, n=4, method="inclusive")
    return Spread(middle, low, high)
