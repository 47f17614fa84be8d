"""Numbers with their units, three digits of each: `1.34 ms`, `42.3 KB`, `2.1e-07`."""

from __future__ import annotations

from collections.abc import Sequence

Steps = Sequence[tuple[float, str]]

TIMES: Steps = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
SIZES: Steps = ((1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "B"))
AGES: Steps = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))


def seconds(value: float) -> str:
    return _scaled(value, TIMES)


def size(count: int) -> str:
    return _scaled(count, SIZES)


def age(value: float) -> str:
    return _scaled(value, AGES)


def _scaled(value: float, steps: Steps) -> str:
    factor, unit = next(((factor, unit) for factor, unit in steps if value >= factor), steps[-1])
    return f"{_three_digits(value / factor)} {unit}"


def _three_digits(value: float) -> str:
    decimals = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:.{decimals}f}"


def times(ratio: float) -> str:
    """How many times faster one is than another."""
    return f"{_three_digits(ratio)}x"


def giga(value: float, unit: str) -> str:
    """A rate in billions a second."""
    return f"{_three_digits(value / 1e9)} {unit}"
