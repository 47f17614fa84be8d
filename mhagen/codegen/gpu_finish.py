"""The end of a row: the sink, the share of its sums, and statistics.

With m the greatest score and d the denominator, both in units of log2, -log2(weight) is log2(d) + m - score.
"""

from __future__ import annotations

from ..expr.tree import to_text
from .gpu_facts import GpuLowering
from .gpu_model import FinishModel, StoreModel
from .model import Lines, Names
from .words import grouped


def finish_model(facts: GpuLowering) -> FinishModel:
    """What becomes of a row of sums."""
    return FinishModel(
        parameters=finish_parameters(facts),
        lines=(
            *summed_lines("total", "sums"),
            *(summed_lines("gap", "gaps") if facts.keeps_gaps else ()),
            *lines_of_sums(facts, "maxima[row]"),
        ),
        stores=stores(facts),
    )


def lines_of_sums(facts: GpuLowering, maximum: str) -> Lines:
    """The share of a row's sums, and its statistics, from `total`, `gap` and the text of its maximum."""
    return (
        *sink_lines(facts, maximum),
        *(line for name in facts.statistics for line in statistic_lines(facts, name, maximum)),
    )


def stores(facts: GpuLowering) -> tuple[StoreModel, ...]:
    """Where the statistics of a row go."""
    return tuple(StoreModel(f"uint64({name} + at)", f"{name}_of_row") for name in facts.statistics)


def finish_parameters(facts: GpuLowering) -> Names:
    """What finish_rows() reads."""
    sink = facts.work.op.sink
    reads = frozenset() if sink is None else facts.row_code(sink)[2]
    used = reads | (frozenset(("b", "h")) if facts.statistics else frozenset())
    place = tuple(name for name in facts.place(used) if name != "queries")
    offset = ("query_offset",) if "q" in reads else ()
    return (*facts.sums, "lane", "own_row", *offset, "queries", "out", "out_row", *facts.statistics, *place)


def summed_lines(name: str, array: str) -> Lines:
    """The sum over the four lanes that a row lies in."""
    return (
        f"{name} = {array}[row]",
        f"{name} += shfl_bfly({name}, uint32(1))",
        f"{name} += shfl_bfly({name}, uint32(2))",
    )


def sink_lines(facts: GpuLowering, maximum: str) -> Lines:
    """The denominator, and what it makes of the sums; a query that saw no key has a share of 0."""
    peak = f"peak = {maximum} * float32(WEIGHT_SCALE)"
    sink = facts.work.op.sink
    if sink is None:
        share = "share = float32(0.0) if total == float32(0.0) else rcp(total)"
        needs_peak = not {"lse", "max", "entropy"}.isdisjoint(facts.work.op.statistics)
        return (peak, share) if needs_peak else (share,)
    lines, text, reads = facts.row_code(sink)
    kind = "int32"
    position = (f"q = {kind}(own + query_offset)",) if "q" in reads else ()
    return (
        peak,
        f"# sink: {to_text(sink)}",
        *position,
        *lines,
        f"sink = {grouped(text)} * float32(LOG2_E)",
        "top = maximum(peak, sink)",
        "shrink = ex2(peak - top)",
        "denominator = shrink * total + ex2(sink - top)",
        "share = float32(0.0) if total == float32(0.0) else divide(shrink, denominator)",
    )


def statistic_lines(facts: GpuLowering, name: str, maximum: str) -> Lines:
    """The lines that end with the statistic of a row."""
    has_sink = facts.work.op.sink is not None
    total, top = ("denominator", "top") if has_sink else ("total", "peak")
    nothing = f"float32(MINUS_INFINITY) if {total} == float32(0.0) else"
    match name:
        case "lse":
            return (
                f"logarithm = {top} + lg2({total})",
                f"lse_of_row = {nothing} logarithm * float32(LN_2)",
            )
        case "greatest":
            return (
                # A NaN among the scores shows in the total alone, and an infinity makes the total NaN too.
                f"is_known = total == total or {maximum} == float32(-MINUS_INFINITY)",
                "most = peak * float32(LN_2) if is_known else total",
                "greatest_of_row = float32(MINUS_INFINITY) if total == float32(0.0) else most",
            )
        case "entropy":
            raised = " + (top - peak)" if has_sink else ""
            return (
                f"spread = (total * (lg2({total}){raised}) - gap) * share * float32(LN_2)",
                "entropy_of_row = float32(0.0) if total == float32(0.0) or spread < float32(0.0) else spread",
            )
        case "origin":
            return (f"origin_of_row = {maximum}",)
        case "portion":
            return ("portion_of_row = share",)
        case _:
            return ("confidence_of_row = float32(1.0) if share > float32(1.0) else share",)
