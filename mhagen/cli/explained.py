"""An explanation in words: for people, as text and as a page, and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from ..base.spelling import memory
from ..schedule.sight import Shape
from ..tuning.explanation import Call, Choice, Explanation
from . import quantities
from .output import Json


def cells(found: Explanation, call: Call) -> Iterator[tuple[str, str]]:
    """The columns of the table of calls: headings and values."""
    cost = call.cost
    yield "call", shape_text(call.shape)
    yield "seen", f"{cost.visible_share:.1%}"
    yield "operations", operations_text(cost.operations)
    yield "bytes", quantities.size(cost.bytes)
    yield "per byte", f"{cost.intensity:.3g}"
    yield "bound by", bound(found, call)
    yield "limit", quantities.seconds(call.limit)
    yield "modelled", quantities.seconds(cost.seconds)
    yield "measured", measured_text(call)
    yield "of the limit", f"{call.share_of_limit:.0%}{' (modelled)' if call.measured is None else ''}"


def operations_text(operations: float) -> str:
    return f"{operations / 1e9:.3g} GFLOP" if operations >= 1e8 else f"{operations / 1e6:.3g} MFLOP"


def bound(found: Explanation, call: Call) -> str:
    reads = call.cost.reading > 0 and call.cost.intensity < found.ridge
    return "reading" if reads else "arithmetic"


def measured_text(call: Call) -> str:
    return "no" if call.measured is None else quantities.seconds(call.measured)


def shape_text(shape: Shape) -> str:
    return f"b={shape.batch},q={shape.queries},k={shape.keys}"


def limits_in_words(found: Explanation) -> str:
    machine = found.machine
    whose = "measured now" if found.is_measured else f"as usual for {machine.target.name}, not measured"
    on = "one thread" if machine.threads == 1 else f"{machine.threads} threads"
    peak, bandwidth = (
        quantities.giga(rate, unit)
        for rate, unit in ((found.peak, "GFLOP/s"), (machine.read_bandwidth, "GB/s"))
    )
    dtype = found.spec.dtype.value
    return (
        f"{found.spec.name}, {dtype}, {machine.target.name}, {on}. Limits, {whose}: {peak} of multiply-adds, "
        f"{bandwidth} of reading. Below {found.ridge:.3g} operations a byte reading is the limit, but "
        f"where arrays stay in the second level cache: up to {memory(machine.target.l2_bytes)}."
    )


def choice_in_words(found: Explanation) -> str:
    gain = max(call.cost.seconds / call.best for call in found.calls) - 1
    return (
        f"Of {found.schedules} schedules that are worth trying, the best for one of these calls is modelled "
        f"{gain:.1%} faster than the one that serves it."
    )


def served_in_words(found: Explanation, choice: Choice) -> str:
    """Which calls a schedule is of, where others have another."""
    if len(found.choices) == 1:
        return ""
    return f" of {' and '.join(map(shape_text, choice.calls))}"


def explanation_document(found: Explanation) -> Json:
    machine = found.machine
    return {
        "spec": found.spec.name,
        "dtype": found.spec.dtype.value,
        "target": machine.target.name,
        "threads": machine.threads,
        "limits": {
            "measured": found.is_measured,
            "peak": found.peak,
            "read_bandwidth": machine.read_bandwidth,
            "ridge": found.ridge,
        },
        "schedules": found.schedules,
        "choices": [asdict(choice) for choice in found.choices],
        "calls": [call_document(found, call) for call in found.calls],
    }


def call_document(found: Explanation, call: Call) -> Json:
    """Seconds, operations a second, bytes."""
    cost = call.cost
    return {
        "shape": asdict(call.shape),
        "operations": cost.operations,
        "bytes": cost.bytes,
        "visible_share": cost.visible_share,
        "intensity": cost.intensity,
        "bound": bound(found, call),
        "threads": cost.threads,
        "decodes": cost.decodes,
        "limit_seconds": call.limit,
        "modelled_seconds": cost.seconds,
        "measured_seconds": call.measured,
        "best_modelled_seconds": call.best,
        "share_of_limit": call.share_of_limit,
        "parts": asdict(cost.parts),
    }
