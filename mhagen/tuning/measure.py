"""What a machine can do at most, measured; and how fast candidates are, timed side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep
from typing import TypeAlias

from ..base.dtypes import DType
from ..base.target import Target
from ..runtime.host import host_target
from .caches import last_level_cache_bytes
from .probes import Reads, peak_probe

Candidate: TypeAlias = Callable[[], object]

ROUNDS = 20
# A call shorter than this is timed several at a time: reading the clock takes 0.1 us.
SHORTEST_READING_SECONDS = 200e-6
CALLS_OF_AN_ESTIMATE = 20  # of how long a short call takes once its code and arrays are in the caches
# Times the last level cache: what one run leaves in it is then of little use to the next.
ARRAY_CACHES = 4
LEAST_ARRAY_BYTES = 64 << 20
MOST_ARRAY_BYTES = 512 << 20


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, a round each."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def best(self) -> float:
        return min(self.rounds)


def interleave(
    candidates: Mapping[str, Candidate],
    rounds: int,
    rest_seconds: float = 0.0,
    calls: Mapping[str, int] | None = None,
) -> dict[str, Timing]:
    """Time the candidates in turn, round after round, so that what disturbs one disturbs the others.

    Each is called twice before, unless `calls` says how many make a reading of each. Every other round goes
    backwards: no candidate always follows the same one.
    Before each reading there is a rest, for threads of the one before that look for more work. Behind a rest,
    and where calls are short, comes an untimed call: all is then as in a program that makes many.
    """
    if calls is None:
        calls = {name: calls_of_a_reading(candidate) for name, candidate in candidates.items()}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    forwards = tuple(candidates)
    for number in range(rounds):
        for name in forwards if number % 2 == 0 else reversed(forwards):
            if rest_seconds:
                sleep(rest_seconds)
            if rest_seconds or calls[name] > 1:
                candidates[name]()
            seconds[name].append(reading(candidates[name], calls[name]) / calls[name])
    return {name: Timing(tuple(each)) for name, each in seconds.items()}


def calls_of_a_reading(candidate: Candidate) -> int:
    candidate()  # the first call may compile, allocate and wake threads
    seconds = reading(candidate, 1)
    if seconds < SHORTEST_READING_SECONDS:
        seconds = reading(candidate, CALLS_OF_AN_ESTIMATE) / CALLS_OF_AN_ESTIMATE
    return 1 + int(SHORTEST_READING_SECONDS / max(seconds, 1e-9))


def rounds_within(seconds: float, candidates: Mapping[str, Candidate], fewest: int, most: int) -> int:
    """How many rounds fit into the time, going by one call of each candidate."""
    round_seconds = sum(reading(candidate, 1) for candidate in candidates.values())
    return max(fewest, min(most, int(seconds / max(round_seconds, 1e-9))))


def reading(candidate: Candidate, calls: int) -> float:
    start = perf_counter()
    for _ in range(calls):
        candidate()
    return perf_counter() - start


def fma_peak(*, all_threads: bool = False) -> float:
    """The float32 operations a second that one thread, or all that kernels use, can reach.

    Units    a fused multiply-add counts as two
    Numbers  the best of many runs: this is a limit, and what disturbs a run only makes it slower
    Raises   UnsupportedError on a CPU without a target
    """
    probe = peak_probe(DType.FLOAT32)
    return probe.operations / _best_seconds(lambda: probe.run(all_threads))


def read_bandwidth(*, all_threads: bool = False) -> float:
    """The bytes a second that one thread, or all that kernels use, can read from memory.

    Numbers  the best of many runs over an array that is larger than the last level cache
    Raises   UnsupportedError on a CPU without a target
    """
    probe = uncached_reads(host_target())
    return probe.bytes / _best_seconds(lambda: probe.run(all_threads))


def uncached_reads(target: Target) -> Reads:
    """The probe that reads an array of which the caches hold a part only."""
    wanted = ARRAY_CACHES * last_level_cache_bytes()
    return Reads(target, max(LEAST_ARRAY_BYTES, min(MOST_ARRAY_BYTES, wanted)))


def _best_seconds(candidate: Candidate) -> float:
    return interleave({"probe": candidate}, ROUNDS)["probe"].best
