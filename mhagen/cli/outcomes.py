"""What a bench has found: as a table, and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from ..interop.peers import REMEDY
from ..tuning.outcome import Outcome, Role, Spread, Timed
from .output import Json, columns, heading, print_table, results
from .quantities import giga, seconds, times

LEGEND = """\
of limit: share of the multiply-add peak, or of the read bandwidth where one query decodes, measured in the
same rounds. A peer's number is its time over ours: the median of the rounds, and the middle half of them."""


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print a table of outcomes in one format and on one number of threads, and what it leaves out."""
    names = tuple(dict.fromkeys(peer.name for outcome in outcomes for peer in outcome.peers))
    table = columns("row", "call", "time", "rate", "of limit", *names)
    for outcome in outcomes:
        table.add_row(*cells(outcome, names))
    first = outcomes[0]
    assert first.threads is not None
    heading(f"{first.dtype}, {first.threads} thread{'s' if first.threads > 1 else ''}")
    print_table(table)
    for line in (*LEGEND.splitlines(), *remarks(outcomes), ""):
        results().print(line)


def cells(outcome: Outcome, peers: Iterable[str]) -> Iterator[str]:
    yield outcome.row
    yield outcome.title
    ours = outcome.ours
    if ours is None:
        yield "-"
        return
    yield seconds(ours.seconds)
    yield rate(outcome)
    yield "-" if outcome.share is None else f"{outcome.share.median:.0%}"
    found = {peer.name: peer for peer in outcome.peers}
    for name in peers:
        yield ratio(outcome.against(found[name])) if name in found else "-"


def rate(outcome: Outcome) -> str:
    assert outcome.rate is not None
    return giga(outcome.rate, "GB/s" if outcome.is_decoding else "GFLOP/s")


def ratio(spread: Spread) -> str:
    return f"{times(spread.median)} ({spread.low:.2f}-{spread.high:.2f})"


def remarks(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What no cell of the table holds, a line each; what is said of several rows is said once."""
    said: dict[str, dict[str, None]] = {}  # a row may have several outcomes, one for each family of kernels
    for outcome in outcomes:
        for remark in remarks_of(outcome):
            said.setdefault(remark, {})[outcome.row] = None
    for remark, rows in said.items():
        yield f"{', '.join(rows)}: {remark}"


def remarks_of(outcome: Outcome) -> Iterator[str]:
    if outcome.problem:
        yield f"not measured: {outcome.problem.splitlines()[0]}"
    if (other := outcome.of(Role.BESIDE)) is not None and outcome.beside is not None:
        yield f"an operation takes {ratio(outcome.beside)} the time of one in {other.form}"
    if outcome.speed_up is not None:
        yield f"{ratio(outcome.speed_up)} as fast as on one thread"
    yield from (f"{peer.name} as {peer.form}" for peer in outcome.peers if peer.form)
    yield from absences(outcome)
    yield from (f"a form is left out, {note}" for note in outcome.notes)


def absences(outcome: Outcome) -> Iterator[str]:
    """Who is left out and why, and what installs them, once."""
    end = f"; {REMEDY}"
    for absent in outcome.absent:
        yield f"{absent.name} is left out: {absent.reason.removesuffix(end)}"
    if any(absent.reason.endswith(end) for absent in outcome.absent):
        yield REMEDY


def outcome_document(outcome: Outcome) -> Json:
    """All rounds of all candidates, and what they amount to.

    Units    seconds, and operations or bytes a second
    """
    return {
        "row": outcome.row,
        "title": outcome.title,
        "dtype": outcome.dtype,
        "threads": outcome.threads,
        "problem": outcome.problem or None,
        "seconds": None if outcome.ours is None else outcome.ours.seconds,
        "rate": outcome.rate,
        "rate_unit": "byte/s" if outcome.is_decoding else "operation/s",
        "share_of_limit": spread_document(outcome.share),
        "beside": spread_document(outcome.beside),
        "speed_up": spread_document(outcome.speed_up),
        "against": {peer.name: against_document(outcome, peer) for peer in outcome.peers},
        "absent": [asdict(absent) for absent in outcome.absent],
        "notes": list(outcome.notes),
        "candidates": [candidate_document(timed) for timed in outcome.timed],
    }


def spread_document(spread: Spread | None) -> Json | None:
    return None if spread is None else asdict(spread)


def against_document(outcome: Outcome, peer: Timed) -> Json:
    return {"form": peer.form, "seconds": peer.seconds, "ratio": asdict(outcome.against(peer))}


def candidate_document(timed: Timed) -> Json:
    return {**asdict(timed), "role": timed.role.value, "seconds": timed.seconds}
