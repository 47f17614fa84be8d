"""The sink to kernel code: one more logit in the denominator, met when the sums of a query are finished."""

from __future__ import annotations

from ..expr.tree import arrays, to_text
from .cells import Code
from .facts import Lowering
from .model import Names
from .part_model import SinkModel

NO_SINK = SinkModel(False, "", "", "", (), (), (), "", ())


def sink_of_queries(facts: Lowering) -> SinkModel:
    """Where lanes are queries: `lane` is the first of them, in bytes from the first of the group."""
    first = f"q_first + lane // {facts.numbers.bytes}"
    doc = "Logits of the sink for LANES queries"
    return sink_model(facts, facts.sink_code, "sink_of_queries", doc, first, "load(state + MAXIMA + lane)")


def sink_of_row(facts: Lowering) -> SinkModel:
    """Where a row is one query."""
    doc = "The logit of the sink for one query, in all lanes"
    return sink_model(facts, facts.row_sink_code, "sink_of_row", doc, "q_first", "top")


def sink_model(facts: Lowering, code: Code | None, name: str, doc: str, first: str, maxima: str) -> SinkModel:
    if code is None or facts.work.op.sink is None:
        return NO_SINK
    parameters = sink_place(facts, code)
    return SinkModel(
        is_there=True,
        name=f"{name}{facts.suffix}",
        doc=doc,
        text=to_text(facts.work.op.sink),
        parameters=parameters,
        arguments=tuple(first if each == "q_first" else each for each in parameters),
        lines=sink_lines(facts, code),
        result="logits * LOG2_E" if facts.is_base_two else "logits",
        joins=(
            f"maxima = {maxima}",
            "top = maximum(maxima, sink)",
            f"shrink = {facts.power('maxima - top')}",
            f"share_of_sink = where(sink == MINUS_INFINITY, 0.0, {facts.power('sink - top')})",
            "denominator = shrink * total + share_of_sink",
        ),
    )


def sink_place(facts: Lowering, code: Code | None) -> Names:
    """What the sink's logit depends on."""
    if code is None:
        return ()
    return (*(("q_first",) if "q_first" in code.names else ()), *facts.place(code.names))


def lse_of(facts: Lowering, maxima: str) -> str:
    """The text of lse, from the running maxima, or what they are with the sink, and the denominator."""
    natural = " * LN_2" if facts.is_base_two else ""
    if facts.work.op.sink is None:
        return f"where(total == 0.0, MINUS_INFINITY, {maxima}{natural} + log(total))"
    return f"where(denominator == 0.0, MINUS_INFINITY, top{natural} + log(denominator))"


def denominator_of(facts: Lowering) -> str:
    return "total" if facts.work.op.sink is None else "denominator"


def share_of(facts: Lowering) -> str:
    """The text of what a weight is multiplied by; it is 0 where the query saw no key."""
    quotient = "1.0 / total" if facts.work.op.sink is None else "shrink / denominator"
    return f"where(total == 0.0, 0.0, {quotient})"


def share_of_rounded(facts: Lowering) -> str:
    """The text of what sums of values are multiplied by where their weights have been rounded."""
    quotient = "1.0 / rounded"
    if facts.work.op.sink is not None:
        quotient = "shrink / (shrink * rounded + share_of_sink)"
    return f"where(rounded == 0.0, 0.0, {quotient})"


def runs_without_keys(facts: Lowering) -> bool:
    """Does lse depend on the sink even where there is no key? Arrays along the keys are then empty."""
    op = facts.work.op
    if op.sink is None or "lse" not in op.statistics:
        return False
    return all("keys" not in facts.captured[name].shape for name in arrays(op.sink))


def sink_lines(facts: Lowering, code: Code) -> Names:
    lanes = "wide(lane_numbers())" if code.wide else "lane_numbers()"
    numbers = "q_first" if code is facts.row_sink_code else f"{lanes} + q_first"
    positions = (f"q0 = {numbers}",) if "q" in code.names else ()
    parts = (code.tile, code.rows, code.columns, code.cells)
    return (*positions, *(line.format(i=0, j=0) for part in parts for line in part))
