"""Records in the T4 results format, which Kernel Tuner and other tuners read and write.

The format has no field for the call that was measured, nor for the machine: both are in the measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from statistics import median
from typing import Any

from .record import Record
from .verdict import Verdict

SCHEMA_VERSION = "1.0.0"
INVALIDITY = {
    Verdict.OK: "correct",
    Verdict.WRONG: "correctness",
    Verdict.CRASHED: "runtime",
    Verdict.HUNG: "timeout",
    Verdict.MEMORY: "runtime",
    Verdict.REFUSED: "compile",
}


def t4_document(records: Iterable[Record]) -> dict[str, Any]:
    """The results as one JSON document, of what was timed in a search, and of what went wrong.

    Units    of `times`: milliseconds; of each measurement: its own, as it says
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "results": [result(record) for record in records if tells(record)],
    }


def tells(record: Record) -> bool:
    return record.stage == "search" and (bool(record.seconds) or record.verdict is not Verdict.OK)


def result(record: Record) -> dict[str, Any]:
    return {
        "timestamp": record.date,
        "configuration": asdict(record.schedule),
        "objectives": ["time"] if record.seconds else [],
        "times": {
            "compilation_time": 1e3 * record.compile_seconds,
            "runtimes": [1e3 * seconds for seconds in record.seconds],
            "validation": 1e3 * record.check_seconds,
        },
        "invalidity": INVALIDITY[record.verdict],
        "correctness": 1 if record.verdict is Verdict.OK else 0,
        "measurements": [
            {"name": name, "value": value, "unit": unit} for name, value, unit in measurements(record)
        ],
    }


def measurements(record: Record) -> Iterator[tuple[str, float | str, str]]:
    shape = record.call.shape
    if record.seconds:
        yield "time", 1e3 * median(record.seconds), "ms"
        yield "time_of_default", 1e3 * median(record.default_seconds), "ms"
    yield "modelled_time", 1e3 * record.modelled, "ms"
    for name in ("batch", "queries", "keys"):
        yield name, getattr(shape, name), ""
    yield "threads", record.call.threads, ""
    yield "stage", record.stage, ""
    yield "verdict", record.verdict.value, ""
    for name, value in asdict(record.circumstances).items():
        yield name, value, ""
