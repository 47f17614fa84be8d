"""Statistics to kernel code: what is kept beside the sums, and what is made of it when they are finished.

The running maximum of a kernel is lazy, so the true one is kept for itself: tops. For the entropy the sum of
weight * (score - running maximum) is kept: gaps. With m the maximum and d the denominator, -ln(weight) is
ln(d) + m - score, and the entropy is the mean of that under the weights. Where weights are rounded to pairs,
statistics are of what they were before; outputs are divided by the sum of what they are then: rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..ir.softmax_ops import UNSEEN
from .facts import Lowering
from .model import Lines
from .sinks import denominator_of, lse_of, share_of, share_of_rounded


@dataclass(frozen=True)
class Kept:
    """The texts of what a kernel has when the sums of a query are finished."""

    maxima: str
    tops: str
    confidence: str
    origin: str  # what has been taken off scores in the sums


def lines_of_queries(facts: Lowering) -> Lines:
    """Statistics of the queries in the lanes, and their shares, which are stored in place of the sums."""
    maxima = "load(state + MAXIMA + lane)"
    confidence = f"{facts.power('tops - maxima')} * share"
    lines = [f"count = min(max(rows - lane // {facts.numbers.bytes}, 0), LANES)"] if facts.statistics else []
    if facts.work.op.sink is None and "confidence" in facts.statistics:
        lines.append(f"maxima = {maxima}")
    lines += [f"{row.lower()} = load(state + {row} + lane)" for row, _ in kept_rows(facts)]
    if needs_share(facts):
        lines.append(f"share = {share_of(facts)}")
    for name in facts.statistics:
        lines += statistic_lines(facts, name, Kept(maxima, "tops", confidence, maxima))
        lines.append(f"store_first({name} + lane, {name}_lanes, count)")
    own = "share" if needs_share(facts) else share_of(facts)
    return (*lines, f"store(state + SUMS + lane, {share_of_rounded(facts) if facts.keeps_rounded else own})")


def lines_of_row(facts: Lowering) -> Lines:
    """Statistics of one query, and the share of its sums. Its maximum over all chunks is the true one."""
    tops = "top" if facts.work.op.sink is None else "maxima"
    share, lines = f"share = {share_of(facts)}", []
    for name in facts.statistics:
        *before, last = statistic_lines(facts, name, Kept("top", tops, "share", tops))
        lines += [*before, f"store_first({name}, {last.removeprefix(f'{name}_lanes = ')}, 1)"]
    return (share, *lines) if needs_share(facts) else (*lines, share)


def needs_share(facts: Lowering) -> bool:
    return not {"entropy", "confidence", "portion"}.isdisjoint(facts.statistics)


def statistic_lines(facts: Lowering, name: str, kept: Kept) -> Lines:
    """The lines that end with the statistic in lanes."""
    natural = " * LN_2" if facts.is_base_two else ""
    match name:
        case "lse":
            return (f"lse_lanes = {lse_of(facts, kept.maxima)}",)
        case "greatest":
            # A NaN among the scores shows in the total alone, and an infinity makes the total NaN too.
            known = f"known = (total == total) | ({kept.tops} == -MINUS_INFINITY)"
            greatest = f"where(known, {kept.tops}{natural}, total)"
            return known, f"greatest_lanes = where(total == 0.0, MINUS_INFINITY, {greatest})"
        case "entropy":
            raised = "" if facts.work.op.sink is None else f" + (top - maxima){natural}"
            logarithm = f"log({denominator_of(facts)}){raised}"
            factor = f"({logarithm})" if raised else logarithm
            spread = f"spread = total * {factor} - gaps{natural}"
            return spread, "entropy_lanes = where(total == 0.0, 0.0, maximum(0.0, spread * share))"
        case "origin":
            return (f"origin_lanes = {kept.origin}",)
        case "portion":
            return ("portion_lanes = share",)
        case _:
            return (f"confidence_lanes = minimum(1.0, {kept.confidence})",)


def blind_statistics(facts: Lowering, minus_infinity: str) -> tuple[tuple[str, str], ...]:
    """What the first pass makes for a query that sees no key: each variable, and the text of what it is."""
    return tuple(
        (variable, minus_infinity if UNSEEN.get(name) == -math.inf else "0.0")
        for name, variable in zip(facts.first_statistics, facts.statistics, strict=True)
    )


def kept_rows(facts: Lowering) -> tuple[tuple[str, str], ...]:
    """The rows of numbers that a group of queries has beside its sums, and what they start from."""
    every = (
        ("TOPS", "LOWEST", facts.keeps_tops),
        ("GAPS", "0.0", facts.keeps_gaps),
        ("ROUNDED", "0.0", facts.keeps_rounded),
    )
    return tuple((row, start) for row, start, is_kept in every if is_kept)


def kept_lines(facts: Lowering, places: Lines) -> Lines:
    """What a tile adds to what is kept, from its peaks, and from the sums of its gaps and of its pairs."""
    lines: list[str] = []
    for j, place in enumerate(places):
        tops, gaps, rounded = (f"state + {row} + {place}" for row in ("TOPS", "GAPS", "ROUNDED"))
        lines += [f"store({tops}, maximum(load({tops}), peak{j}))"] if facts.keeps_tops else []
        lines += [f"store({gaps}, load({gaps}) + gaps{j})"] if facts.keeps_gaps else []
        lines += [f"store({rounded}, load({rounded}) + rounded{j})"] if facts.keeps_rounded else []
    return tuple(lines)


def rescale_lines(facts: Lowering) -> Lines:
    """What is kept for a group when its maxima are raised: every gap grows by what they rise."""
    lines: Lines = ()
    if facts.keeps_gaps:
        lines += (
            "fall = maximum(maxima - raised, LOWEST)",
            "gaps = fma(fall, load(state + SUMS + lane), load(state + GAPS + lane))",
            "store(state + GAPS + lane, where(shrink == 0.0, 0.0, shrink * gaps))",
        )
    if facts.keeps_rounded:
        lines += ("store(state + ROUNDED + lane, shrink * load(state + ROUNDED + lane))",)
    return lines


def chunk_gap_lines(facts: Lowering) -> Lines:
    """The gaps of some keys in decoding."""
    if not facts.keeps_gaps:
        return ()
    return ("gaps0 = fma(weight, maximum(score - maximum0, LOWEST), gaps0)",)


def merge_gap_lines(facts: Lowering) -> Lines:
    """The gaps of a chunk, as they are below the maximum of all chunks."""
    if not facts.keeps_gaps:
        return ()
    return (
        "fall = maximum(load_each(place) - top, LOWEST)",
        f"below = fma(fall, load_each(place + {facts.numbers.bytes}), load_each(place + PARTIAL_GAPS))",
        "gaps += where(factor == 0.0, 0.0, factor * below)",
    )
