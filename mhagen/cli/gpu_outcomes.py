"""What a bench has found on a GPU, or knows of kernels without one: as tables, and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from ..base.spelling import memory
from ..base.target import Gpu
from ..tuning.gpu_prepared import StaticFigures
from ..tuning.gpu_race import GpuTimed
from ..tuning.outcome import Timed
from .outcomes import outcome_document, ratio, remarks
from .output import Json, columns, heading, print_table, results
from .quantities import seconds

LEGEND = """\
A peer's number is its time over ours: the median of the rounds, and the middle half of them. What was asked
for is behind it where it was not reached. of copying: the share of a copy's bandwidth, in the same rounds."""
LEGEND_OF_KNOWN = """\
products: instructions of the tensor cores for a block of keys, of a warp (mma) or four (hopper); of float32,
multiply-adds of a thread. bytes: of shared memory, read for a multiply-add. of peak: what products, reads and
ex2 allow of the multiply-add peak if they take turns, and if they overlap: predicted, not measured."""


@dataclass(frozen=True)
class Untimed:
    """What is known of the kernel of a row that was not timed, or why nothing is."""

    row: str
    title: str
    dtype: str
    target: Gpu
    figures: StaticFigures | str


def print_timed(found: Sequence[GpuTimed]) -> None:
    """Print a table for each format, and what it leaves out."""
    for dtype, group in groupby(found, lambda each: each.outcome.dtype):
        rows = tuple(group)
        names = tuple(dict.fromkeys(peer.name for each in rows for peer in each.outcome.peers))
        table = columns("row", "call", "kernels", "error", "time", "rate", "of copying", *names)
        for each in rows:
            table.add_row(*cells(each, names))
        heading(dtype)
        print_table(table)
        for line in (*LEGEND.splitlines(), *remarks([each.outcome for each in rows]), ""):
            results().print(line)


def cells(found: GpuTimed, peers: Iterable[str]) -> Iterator[str]:
    outcome = found.outcome
    yield from (outcome.row, outcome.title, found.family)
    ours = outcome.ours
    if ours is None:
        yield "-"
        return
    yield "-" if ours.error is None else f"{ours.error:.1e}"
    yield seconds(ours.seconds)
    yield rate(found)
    yield share(found)
    beside = {peer.name: peer for peer in outcome.peers}
    for name in peers:
        yield against(found, beside[name]) if name in beside else "-"


def rate(found: GpuTimed) -> str:
    rate = found.outcome.rate
    assert rate is not None
    return f"{rate / 1e9:.0f} GB/s" if found.outcome.is_decoding else f"{rate / 1e12:.0f} TFLOP/s"


def share(found: GpuTimed) -> str:
    """Of the bandwidth of copying, where reading is all that counts."""
    part = found.outcome.share
    if part is None:
        return "-"
    return f"{part.median:.0%}{shortfall(part.median, found.bar)}"


def against(found: GpuTimed, peer: Timed) -> str:
    spread = found.outcome.against(peer)
    return f"{ratio(spread)}{shortfall(spread.median, found.bars.get(peer.name))}"


def shortfall(reached: float, bar: float | None) -> str:
    return "" if bar is None or reached >= bar else f", below {bar:g}"


def timed_document(found: GpuTimed) -> Json:
    """All rounds of all candidates, what they amount to, and what was asked for."""
    document = outcome_document(found.outcome)
    return {
        **document,
        "target": found.target.name,
        "kernels": found.family,
        "schedule": found.schedule,
        "bars": dict(found.bars),
        "bar_of_share": found.bar,
    }


def print_known(known: Sequence[Untimed]) -> None:
    """Print a table for each format, a line for each row and GPU."""
    heads = ("row", "for", "schedule", "registers", "spilled", "shared", "blocks/SM", "warps/SM")
    for dtype, group in groupby(known, lambda each: each.dtype):
        table = columns(*heads, "products", "bytes", "of peak")
        for each in group:
            table.add_row(each.row, each.target.name, *cells_of_figures(each.figures))
        heading(dtype)
        print_table(table)
    for line in LEGEND_OF_KNOWN.splitlines():
        results().print(line)


def cells_of_figures(figures: StaticFigures | str) -> Iterator[str]:
    if isinstance(figures, str):
        yield figures
        return
    yield figures.schedule
    yield from (str(figures.registers), str(figures.spilled_bytes), memory(figures.shared_bytes))
    yield from (str(figures.blocks), str(figures.warps))
    if figures.products is None or figures.prediction is None:
        yield from ("-", "-", "-")
        return
    yield str(figures.products.instructions)
    yield f"{figures.products.bytes_per_multiply_add:.3f}"
    yield f"{figures.prediction.low:.0%}-{figures.prediction.high:.0%}"


def known_document(known: Untimed) -> Json:
    figures = known.figures
    return {
        "row": known.row,
        "title": known.title,
        "dtype": known.dtype,
        "target": known.target.name,
        "problem": figures if isinstance(figures, str) else None,
        "figures": None if isinstance(figures, str) else asdict(figures),
    }
