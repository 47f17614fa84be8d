"""One line of the tuning records: what became of a candidate, and a digest that tells whether it is whole.

A line is JSON in one fixed form. It is believed only if writing what was read gives the same bytes again, its
digest included: so no damaged line passes, whichever of its bits has changed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

from ..base.digest import digest
from ..runtime.entry import Doubt
from ..schedule.plan import Schedule
from ..schedule.sight import Shape
from ..schedule.tuned import Circumstances
from .trial import Call, Trial
from .verdict import Verdict

FORMAT = "mhagen record 2"
LARGEST_LINE_BYTES = 1 << 16
DIGEST = re.compile(r"[0-9a-f]{64}")
Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """What became of a schedule in a call, under circumstances.

    Units    seconds: of single calls, a round each; default_seconds: of the default in the same rounds;
             modelled: as the cost model has them; date: UTC
    Members  stage is "search", or "final" for what was measured at the end; kept says of a final one
             whether the schedule is used, and detail why (or what went wrong)
    """

    circumstances: Circumstances
    call: Call
    schedule: Schedule
    verdict: Verdict
    stage: str
    date: str
    detail: str = ""
    kept: bool | None = None
    seconds: tuple[float, ...] = ()
    default_seconds: tuple[float, ...] = ()
    modelled: float = 0.0
    compile_seconds: float = 0.0
    check_seconds: float = 0.0

    @property
    def trial(self) -> Trial:
        return Trial(self.call, self.schedule)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Its time over the default's, round by round."""
        return tuple(a / b for a, b in zip(self.seconds, self.default_seconds, strict=True))


def encode(record: Record) -> bytes:
    """The line, without its end."""
    text = dumped(document_of(record))
    return dumped({"digest": digest(text), "format": FORMAT, "record": document_of(record)}).encode()


def decode(line: bytes) -> Record:
    """The record in a line.

    Raises   Doubt where anything about the line is not as `encode` writes it
    """
    try:
        whole = json.loads(line)
        record = record_of(whole["record"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Doubt(f"it is no record: {error}") from None
    if encode(record) != line:
        raise Doubt("it is not as it was written")
    return record


def dumped(value: Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def document_of(record: Record) -> dict[str, Any]:
    """The record as JSON."""
    return {**asdict(record), "verdict": record.verdict.value}


def record_of(document: Json) -> Record:
    """Raises   ValueError, KeyError, TypeError"""
    circumstances = Circumstances(**texts(Circumstances, document["circumstances"]))
    if DIGEST.fullmatch(circumstances.spec) is None:  # the name of a file is made of it
        raise ValueError("its spec is no digest")
    call, kept = document["call"], document["kept"]
    if kept is not None and type(kept) is not bool:
        raise TypeError("kept is no answer")
    record = Record(
        circumstances=circumstances,
        call=Call(Shape(**whole_numbers(Shape, call["shape"])), integer(call["threads"])),
        schedule=Schedule(**whole_numbers(Schedule, document["schedule"])),
        verdict=Verdict(document["verdict"]),
        stage=text(document["stage"]),
        date=text(document["date"]),
        detail=text(document["detail"]),
        kept=kept,
        seconds=tuple(map(positive, document["seconds"])),
        default_seconds=tuple(map(positive, document["default_seconds"])),
        modelled=real(document["modelled"]),
        compile_seconds=real(document["compile_seconds"]),
        check_seconds=real(document["check_seconds"]),
    )
    if len(record.seconds) != len(record.default_seconds):
        raise ValueError("rounds have no partner")
    return record


def whole_numbers(kind: type, document: Json) -> dict[str, int]:
    names = [each.name for each in fields(kind)]
    if set(document) != set(names):
        raise ValueError(f"its {kind.__name__.lower()} has other fields")
    return {name: integer(document[name]) for name in names}


def texts(kind: type, document: Json) -> dict[str, str]:
    return {each.name: text(document[each.name]) for each in fields(kind)}


def text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no integer")
    return value


def real(value: object) -> float:
    if type(value) is not float or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return value


def positive(value: object) -> float:
    number = real(value)
    if number <= 0:
        raise ValueError(f"{number} is no time")
    return number
