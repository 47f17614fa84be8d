"""Graph and schedule to the kernel for few queries: rows of queries against chunks of keys."""

from __future__ import annotations

from .blocks import task_parameters
from .cells import Code
from .decode_chunks import (
    any_reaches,
    chunk_switch,
    end_lines,
    has_turns,
    head_of_member,
    place_of_reach,
    reach_parameters,
    reaches,
    reaches_by_head,
    set_lines,
    sets_of_span,
    span_parameters,
    spans,
    tasks,
    turn_lines,
)
from .decode_products import (
    dot_variants,
    key_vector,
    pack,
    seen_lines,
    sum_counts,
    sum_variant,
    value_load,
)
from .facts import Lowering
from .model import DecodeModel, Names
from .order import bundles, head_of_row, members, most_members
from .part_model import RowsModel
from .sinks import sink_of_row, sink_place
from .statistics import chunk_gap_lines, lines_of_row, merge_gap_lines
from .switches import switch_of

ROWS = ("scratch", "key", "key_stride", "first", "count", "first_row", "rows")
CHUNK = ("scratch", "key", "key_stride", "chunk_keys", "value", "value_stride", "first_row", "rows")


def rows_model(facts: Lowering) -> RowsModel:
    """How rows of queries of one part are scored, weighed and merged."""
    views = facts.view_code
    masked, has_views = views is not None, has_views_of_all(facts)
    return RowsModel(
        pack=pack(facts, tail=False),
        pack_tail=pack(facts, tail=True) if facts.depth % facts.lanes else "",
        score_parameters=("products", "scores", "peaks", "count", *score_place(facts)),
        score_lines=score_lines(facts),
        score_arguments=("sums + TURN + i * VECTOR", "scores", "peaks", "count", *score_arguments(facts)),
        row_lines=row_lines(facts),
        weight=facts.power("score - maximum0"),
        views=has_views,
        always_partial=masked and not has_views,
        rows_parameters=(*ROWS, *rows_place(facts)),
        rows_arguments=rows_arguments(facts),
        values_parameters=", ".join(values_parameters(masked)),
        values_arguments=values_arguments(masked, has_views),
        span=spans(facts)[facts.number],
        reaches=reaches(facts),
        reach_parameters=reach_parameters(facts),
        reaches_by_head=reaches_by_head(facts),
        reach_of_head=("position", "position + queries - 1", "keys", *place_of_reach(facts)),
        head_of_member=head_of_member(facts),
        span_parameters=span_parameters(facts),
        sets_of_span=sets_of_span(facts),
        set_lines=set_lines(facts),
        view_of_chunk=view(facts, "first_key", "first_key + chunk_keys - 1"),
        view_of_keys=view(facts, "first_key + first", "first_key + first + count - 1"),
        chunk_parameters=chunk_parameters(facts),
        factor=facts.power("load_each(place) - top"),
        finish_lines=lines_of_row(facts),
        sink=sink_of_row(facts),
        merge_parameters=merge_parameters(facts),
    )


def has_views_of_all(facts: Lowering) -> bool:
    """Are tiles classified for all rows at once? Not where the mask differs between heads."""
    return facts.view_code is not None and "h" not in facts.view_code.names


def decode_model(facts: Lowering) -> DecodeModel:
    numbers, parts = facts.numbers, facts.parts
    packs = switch_of(
        "pack_rows",
        "Pack rows as their heads' part does.",
        [(pack_parameters(each), pack_arguments(each)) for each in parts],
        facts,
    )
    chunks = switch_of(
        "attend_chunk",
        "Attend to a chunk as the heads' part does.",
        [(chunk_parameters(each), chunk_arguments(each)) for each in parts],
        facts,
    )
    merges = switch_of(
        "merge_row",
        "Merge a row as its head's part does.",
        [(merge_parameters(each), merge_arguments(each)) for each in parts],
        facts,
    )
    reach = chunk_switch(facts, [reach_parameters(each) for each in parts if reaches(each)])
    return DecodeModel(
        key_vector=key_vector(facts),
        dots=dot_variants(facts),
        store_weight=store_weight(facts),
        weight_bytes=numbers.stored.bytes if numbers.pairs else numbers.bytes,
        sums=tuple(sum_variant(facts, rows) for rows in sum_counts(facts)),
        finite_totals=tuple((f"total{j}", value_load(facts, j, "place")) for j in range(facts.value_vectors)),
        seen_lines=seen_lines(facts),
        reaches=any_reaches(facts),
        end_lines=end_lines(facts),
        tasks=tasks(facts),
        turn_lines=turn_lines(facts),
        turn="turn" if has_turns(facts) else "task",
        first_set="base + " if has_turns(facts) else "",
        span="span" if any_reaches(facts) else "chunks",
        reach_arguments=reach.arguments,
        gap_lines=chunk_gap_lines(facts),
        merge_gap_lines=merge_gap_lines(facts),
        parameters=task_parameters(facts, ("partials", "arrivals", "counter", "scratch", "worker")),
        reads_positions=any(reads_positions(each) for each in parts),
        bundles=bundles(facts),
        members=members(facts),
        most_members=most_members(facts),
        head_of_row=head_of_row(facts, "row"),
        pack_parameters=pack_parameters(facts),
        pack_arguments=packs.arguments,
        chunk_arguments=chunks.arguments,
        merge_arguments=merges.arguments,
        switches=(*packs.switches, *chunks.switches, *merges.switches, *reach.switches),
    )


def reads_positions(facts: Lowering) -> bool:
    in_chunks = reaches(facts) or "position" in chunk_place(facts)
    return in_chunks or "q_first" in sink_place(facts, facts.row_sink_code)


def pack_parameters(facts: Lowering) -> Names:
    bundle = () if facts.work.is_plain else ("first_place", "members")
    return ("query", "query_head", "query_stride", "first_row", "rows", *bundle, "target")


def pack_arguments(facts: Lowering) -> Names:
    here = {"query": "query_at", "target": "scratch"}
    return tuple(here.get(name, name) for name in pack_parameters(facts))


def chunk_parameters(facts: Lowering) -> Names:
    return (*CHUNK, "partial", *chunk_place(facts))


def merge_parameters(facts: Lowering) -> Names:
    sink = sink_place(facts, facts.row_sink_code)
    return ("partial", "chunks", "chunk_bytes", "out", *facts.statistics, *sink)


def merge_arguments(facts: Lowering) -> Names:
    sink = sink_place(facts, facts.row_sink_code)
    chunks = "end_chunk - first_chunk" if any_reaches(facts) else "chunks"
    return (
        *("row_at", chunks, "chunk_bytes", "out_at"),
        *(f"{name}_at" for name in facts.statistics),
        *("position + query_number" if name == "q_first" else name for name in sink),
    )


def store_weight(facts: Lowering) -> str:
    if facts.numbers.pairs:
        return f"store_{facts.numbers.stored.value}_lanes(scores + 2 * first, weight)"
    return f"store(scores + {facts.numbers.bytes} * first, weight)"


def score_lines(facts: Lowering) -> Names:
    """A row's products to scores: added up, scaled, modified, masked."""
    code = facts.decode_code
    lines = ["s0_0 = load(products)"]
    if facts.numbers.pairs:
        lines.append(f"s0_0 = s0_0 * {facts.own('QUERY_SCALE')}")
    lines += numbers_of_axes(code)
    lines += [
        line.format(i=0, j=0) for part in (code.tile, code.rows, code.columns, code.cells) for line in part
    ]
    seen = "(lane_numbers() < count)"
    if facts.work.op.keep is not None:
        seen = f"seen0_0 & {seen}"
    return (*lines, f"s0_0 = where({seen}, s0_0, MINUS_INFINITY)")


def numbers_of_axes(code: Code) -> Names:
    lanes = "wide(lane_numbers())" if code.wide else "lane_numbers()"
    return (
        *(("q0 = q_first",) if "q" in code.names else ()),
        *((f"k0 = {lanes} + k_first",) if "k" in code.names else ()),
    )


def score_place(facts: Lowering) -> Names:
    code = facts.decode_code
    return tuple(name for name in ("q_first", "k_first") if name in code.names) + facts.place(code.names)


def score_arguments(facts: Lowering) -> Names:
    here = {"q_first": "q_row", "k_first": "first_key + first"}
    return tuple(here.get(name, name) for name in score_place(facts))


def row_lines(facts: Lowering) -> Names:
    """What differs between rows: the position of the query and its head."""
    place, row = score_place(facts), "(first_row + row + i)"
    head = head_of_row(facts, row)
    counted = f"first_head + {head}" if facts.work.is_plain else head
    return (
        *((f"q_row = position + {row} // {members(facts)}",) if "q_first" in place else ()),
        *((f"h = {counted}",) if "h" in place else ()),
    )


def rows_place(facts: Lowering) -> Names:
    """What score_rows is told of where it is."""
    names = facts.decode_code.names
    return place_of_rows(
        facts,
        position="q_first" in names,
        first_key="k_first" in names,
        heads="h" in names,
        members="q_first" in names,
        names=names,
    )


def place_of_rows(
    facts: Lowering, *, position: bool, first_key: bool, heads: bool, members: bool, names: frozenset[str]
) -> Names:
    """Positions, the heads of rows, and what expressions read; a plain kernel has its heads in a row."""
    places = {"position": position, "first_key": first_key}
    if facts.work.is_plain:
        places |= {"first_head": heads}
    else:
        places |= {"first_place": heads, "members": heads or members}
    return tuple(name for name, used in places.items() if used) + facts.place(names - {"h"})


def rows_arguments(facts: Lowering) -> Names:
    here = {"key": "key + first * key_stride"}
    return (*(here.get(name, name) for name in ROWS), *rows_place(facts))


def chunk_arguments(facts: Lowering) -> Names:
    here = {"key": "key_at", "value": "value_at"}
    names = (here.get(name, name) for name in CHUNK)
    return (*names, "partial + chunk * chunk_bytes", *chunk_place(facts))


def values_parameters(masked: bool) -> Names:
    finite = ("finite",) if masked else ()
    return ("scratch", "value", "value_stride", "low", "high", "rows", "partial", *finite)


def values_arguments(masked: bool, has_views: bool) -> Names:
    low, high = ("low", "high") if has_views else ("0", "chunk_keys")
    here = {"low": low, "high": high}
    return tuple(here.get(name, name) for name in values_parameters(masked))


def chunk_place(facts: Lowering) -> Names:
    """What attend_chunk is told of where it is."""
    views = facts.view_code.names if facts.view_code is not None else frozenset()
    names = facts.decode_code.names | (views - {"h"})
    has_views = has_views_of_all(facts)
    return place_of_rows(
        facts,
        position=has_views or "q_first" in names,
        first_key=has_views or "k_first" in names,
        heads="h" in names,
        members=has_views or "q_first" in names,
        names=names,
    )


def view(facts: Lowering, low: str, high: str) -> Names:
    """The arguments of visibility for all rows and a range of keys."""
    place = facts.place(facts.view_code.names) if facts.view_code is not None else ()
    count = members(facts)
    first, last = f"position + first_row // {count}", f"position + (first_row + rows - 1) // {count}"
    return (first, last, low, high, *place)
