"""Which CPUs measure, and that nobody else measures on them meanwhile.

Two threads of one core share its multipliers: what is compiled on the one slows what is timed on the other.
So the siblings of CPUs that measure stay idle, if there are other cores. Which CPUs measure is chosen by who
is idle; and a lock for each keeps campaigns of the same user apart.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

from ..base import settings
from ..base.errors import InputError
from ..runtime.locking import hold

TOPOLOGY = Path("/sys/devices/system/cpu")
TIMES = Path("/proc/stat")
SAMPLE_SECONDS = 0.1
IDLE, WAITING = 3, 4  # columns of /proc/stat: the time that a CPU had nothing to do


def shared_out(threads: int) -> tuple[frozenset[int], frozenset[int]]:
    """The idlest CPUs, which measure, and those that check; none where they cannot be told apart."""
    if sys.platform != "linux":
        return frozenset(), frozenset()
    cpus = os.sched_getaffinity(0)
    cores = cores_of(cpus)
    if len(cores) <= threads:  # better disturbed than in turn: candidates and the default are, alike
        cores = [frozenset({cpu}) for cpu in sorted(cpus)]
    if len(cores) <= threads:
        return frozenset(), frozenset()
    idleness = sampled_idleness()

    def rank(core: frozenset[int]) -> tuple[float, int]:
        return -round(min(idleness.get(cpu, 1.0) for cpu in core), 1), min(core)

    ranked = sorted(cores, key=rank)
    measuring = ranked[:threads]
    return (
        frozenset(min(core) for core in measuring),
        frozenset(cpu for core in ranked[threads:] for cpu in core),
    )


def cores_of(cpus: set[int]) -> list[frozenset[int]]:
    """The CPUs, those of one core together."""
    return list(dict.fromkeys(frozenset(siblings(cpu) & cpus) for cpu in sorted(cpus)))


def siblings(cpu: int, folder: Path = TOPOLOGY) -> set[int]:
    """The CPUs that share a core, this one among them; alone where the system does not tell."""
    try:
        text = (folder / f"cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
        return {cpu, *(number for part in text.strip().split(",") for number in numbers_in(part))}
    except (OSError, ValueError):
        return {cpu}


def numbers_in(part: str) -> range:
    """As the system writes it: 3, or 3-5."""
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def sampled_idleness() -> dict[int, float]:
    """For each CPU the share of a moment in which it had nothing to do; empty where nobody tells."""
    before = cpu_times()
    sleep(SAMPLE_SECONDS)
    after = cpu_times()
    found = {}
    for cpu, (idle, total) in after.items():
        passed = total - before.get(cpu, (0, 0))[1]
        if passed > 0:
            found[cpu] = (idle - before.get(cpu, (0, 0))[0]) / passed
    return found


def cpu_times(path: Path = TIMES) -> Mapping[int, tuple[int, int]]:
    """For each CPU the time that it was idle, and all of it."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        rows = [line.split() for line in lines if line.startswith("cpu") and line[3:4].isdigit()]
        times = {int(row[0][3:]): [int(each) for each in row[1:]] for row in rows}
        return {cpu: (each[IDLE] + each[WAITING], sum(each)) for cpu, each in times.items()}
    except (OSError, ValueError, IndexError):
        return {}


@contextmanager
def alone(patience_seconds: float) -> Iterator[None]:
    """While no other campaign measures on the CPUs of this process; after some patience, all the same."""
    deadline = monotonic() + patience_seconds
    with ExitStack() as held:
        for path in locks():
            held.enter_context(hold(path, max(0.0, deadline - monotonic())))
        yield


def locks() -> list[Path]:
    """A file for each CPU, in one order, so that nobody waits for who waits for him."""
    if sys.platform != "linux":
        return []
    try:
        folder = settings.cache_dir() / "measuring"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, InputError):
        return []
    return [folder / f"cpu{cpu}.lock" for cpu in sorted(os.sched_getaffinity(0))]
