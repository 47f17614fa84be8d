"""Where and with what a bench was run: what numbers mean nothing without."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime

from .machine import installed, versions
from .processor import Processor, this_processor
from .workers import Workers, these_workers

PEERS = ("torch", "onnxruntime", "onnx", "openvino", "ml-dtypes")


@dataclass(frozen=True)
class Surroundings:
    """One machine at one time.  Units: the date is that of the day, UTC."""

    date: str
    processor: Processor
    workers: Workers
    system: str
    versions: tuple[tuple[str, str], ...]


def these_surroundings() -> Surroundings:
    """Look; nothing is measured."""
    return Surroundings(
        date=datetime.now(UTC).date().isoformat(),
        processor=this_processor(),
        workers=these_workers(),
        system=platform.platform(),
        versions=(*versions(), *((package, installed(package)) for package in PEERS)),
    )
