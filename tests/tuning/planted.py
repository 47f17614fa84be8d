"""Work that goes wrong on purpose, as a process that evaluates candidates imports it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mhagen.base.errors import UnsupportedError, VerificationError
from mhagen.schedule.sight import Shape
from mhagen.schedule.written import table_from_json


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Whatever the request asks for."""
    DEEDS[request["do"]]()
    return {"process": os.getpid(), "echo": request.get("echo")}


def fail(error: BaseException) -> None:
    raise error


def spin() -> None:
    while True:
        pass


def kill_the_host() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


DEEDS: dict[str, Callable[[], object]] = {
    "answer": lambda: None,
    "differ": lambda: fail(VerificationError("it differs\nby much")),
    "refuse": lambda: fail(UnsupportedError("no such instruction")),
    "raise": lambda: fail(ZeroDivisionError("division by zero")),
    "exit": lambda: fail(SystemExit(7)),
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: time.sleep(600),
    "spin": spin,
    "allocate": lambda: b"x" * (8 << 30),
    "print": lambda: os.write(1, b"not a reply\n"),
    "kill the host": kill_the_host,
}


# A candidate by one of its sizes, and what it does instead of being checked.
BY_BLOCK_KEYS = {128: "differ", 512: "crash", 1024: "hang"}
BY_TILE_QUERIES = {64: "allocate", 256: "refuse"}


def check(request: dict[str, Any]) -> dict[str, Any]:
    """As tuning.checking.check, for candidates of which most go wrong."""
    if request["tables"]:
        return is_fine(request)
    (schedule,) = request["schedules"]
    deed = BY_BLOCK_KEYS.get(schedule["block_keys"]) or BY_TILE_QUERIES.get(schedule["tile_queries"])
    if deed is not None:
        return work({"do": deed})
    return {"compile_seconds": 0.01, "check_seconds": 0.01, "error": 0.0}


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """As tuning.timing.measure, without a clock: how long a schedule takes follows from its sizes."""
    times = [seconds(schedule) for schedule in timed_schedules(request)]
    rounds = {str(i): [[time_, times[0]]] * 12 for i, time_ in enumerate(times)}
    return {"wrong": {}, "seconds": rounds, "placements": placements(request, 12)}


def timed_schedules(request: dict[str, Any]) -> list[dict[str, int]]:
    """Those that are given, and those with which tables serve the call."""
    shape = Shape(**request["call"]["shape"])
    tables = map(table_from_json, request["tables"])
    return [
        *request["schedules"],
        *(asdict(table.pick(shape, request["call"]["threads"])) for table in tables),
    ]


def placements(request: dict[str, Any], rounds: int) -> list[int]:
    """The rounds of each placement, as evenly as can be."""
    count = request["placements"] or 3
    return [len(range(first, rounds, count)) for first in range(count)]


def seconds(sizes: dict[str, int]) -> float:
    """The fastest has a block of 384 keys and score tiles of 4 by 4."""
    away = (
        abs(sizes["block_keys"] - 384) / 384
        + (sizes["key_rows"] != 4)
        + abs(sizes["chunk_keys"] - 2048) / 2048
    )
    return 1e-3 * (1 + 0.1 * away)


def crash_when_timed(request: dict[str, Any]) -> dict[str, Any]:
    """As measure, but score tiles of 4 by 4 crash the process, whoever is timed beside them."""
    if any(schedule["key_rows"] == 4 for schedule in timed_schedules(request)):
        return work({"do": "crash"})
    return measure(request)


def is_fine(request: dict[str, Any]) -> dict[str, Any]:
    """As check, for candidates that are all right."""
    return {"compile_seconds": 0.01, "check_seconds": 0.01, "error": 0.0}


def check_slowly(request: dict[str, Any]) -> dict[str, Any]:
    """The default is right; all others hang."""
    if request["tables"]:
        return is_fine(request)
    (schedule,) = request["schedules"]
    if (schedule["tile_queries"], schedule["block_keys"], schedule["key_rows"], schedule["value_rows"]) != (
        128,
        256,
        8,
        8,
    ):
        work({"do": "hang"})
    return is_fine(request)


def measure_alike(request: dict[str, Any]) -> dict[str, Any]:
    """All take the same time, but for noise."""
    schedules = timed_schedules(request)
    rounds = [[1e-3 * (1 + 0.01 * (7 * i % 5)), 1e-3 * (1 + 0.01 * (3 * i % 5))] for i in range(20)]
    seconds_ = {str(i): rounds for i in range(len(schedules))}
    return {"wrong": {}, "seconds": seconds_, "placements": placements(request, 20)}


def measure_slower(request: dict[str, Any]) -> dict[str, Any]:
    """The default, which comes first, is faster than all others."""
    times = [1.1e-3 if i else 1e-3 for i, _ in enumerate(timed_schedules(request))]
    rounds = {str(i): [[time_, times[0]]] * 12 for i, time_ in enumerate(times)}
    return {"wrong": {}, "seconds": rounds, "placements": placements(request, 12)}


def measure_luckily(request: dict[str, Any]) -> dict[str, Any]:
    """What seems to be fast in the search is not at the end."""
    return measure(request) if not request["tables"] else measure_alike(request)


def crash_at_the_end(request: dict[str, Any]) -> dict[str, Any]:
    """As measure, but a whole module crashes the process."""
    return work({"do": "crash"}) if request["tables"] else measure(request)


def differ_as_a_module(request: dict[str, Any]) -> dict[str, Any]:
    """Candidates are right, and what is made of them is not."""
    return work({"do": "differ"}) if request["tables"] else is_fine(request)


def measure_one_length(request: dict[str, Any]) -> dict[str, Any]:
    """Blocks of 512 keys are faster in calls of 300 queries, and slower in others."""
    ratio = 0.9 if request["call"]["shape"]["queries"] == 300 else 1.1
    times = [1e-3 * (ratio if each["block_keys"] == 512 else 1.0) for each in timed_schedules(request)]
    rounds = {str(i): [[time_, times[0]]] * 12 for i, time_ in enumerate(times)}
    return {"wrong": {}, "seconds": rounds, "placements": placements(request, 12)}


def check_some_slowly(request: dict[str, Any]) -> dict[str, Any]:
    """Candidates with the longest blocks hang."""
    if any(schedule["block_keys"] == 1024 for schedule in request["schedules"]):
        work({"do": "hang"})
    return is_fine(request)
