"""The functions that are compiled together for each kernel, callees first."""

from __future__ import annotations

from .cells import RUNS, Code
from .direct import has_direct
from .facts import Lowering
from .model import DecodeModel, Names, TaskModel, TileModel
from .part_model import PartModel
from .tiles import EXTENTS

DIRECT_FUNCTIONS = (
    "has_header",
    "headers_fit",
    "lengths_of",
    "lengths_fit",
    "span",
    "is_apart",
    "arrays_fit",
)


def function_names(facts: Lowering, tile: TileModel, task: TaskModel, parts: tuple[PartModel, ...]) -> Names:
    """The functions of the attention kernel."""
    numbers = facts.numbers
    masked = any(part.view.masked for part in parts)
    codes = [code for each in facts.parts for code in (each.partial_code, each.full_code, each.sink_code)]
    return (
        *(("widen_keys", "widen_values") if numbers.staged else ()),
        *(("zip_values",) if numbers.pairs else ()),
        *(("copy_values",) if numbers.realigns else ()),
        *each_of(parts, "pack_queries", "start_group"),
        "rows_ahead",
        "keys_ahead",
        "block_ahead",
        "prefetch_ahead",
        *each_of(parts, "raise_maxima"),
        *runs_of(*codes),
        *(extent.name for extent in tile.extents),
        *(("extent_of_run",) if tile.bounds_runs else ()),
        *(("widened",) if tile.bounds_reals else ()),
        *(variant.name for part in parts for variant in part.score_variants),
        "write_rows",
        *(value_tile.name for value_tile in tile.value_tiles),
        *(("values_are_finite", "add_to", "add_values_one_by_one") if masked else ()),
        *(part.sink.name for part in parts if part.sink.is_there),
        *each_of(parts, "finish_sums"),
        *(f"visibility{part.suffix}" for part in parts if part.view.masked),
        *(("hide_lines",) if masked else ()),
        *(name for part in parts for name in names_of_blocks(part, tile)),
        *(switch.name for switch in task.switches),
        *(() if facts.work.is_plain else ("head_at", "turn_of")),
        *(("clear_head", "clear_heads") if facts.prunes else ()),
        *((*DIRECT_FUNCTIONS, "is_small", "place_offsets") if has_direct(facts) else ()),
        "task_queries",
        "attention_tasks",
    )


def second_function_names(
    facts: Lowering, tile: TileModel, parts: tuple[PartModel, ...], own: Names, *, reached: bool
) -> Names:
    """The functions of a second pass: those that it shares with the first, then its own."""
    codes = [code for each in facts.parts for code in (each.partial_code, each.full_code)]
    reaching = tuple(part for part in parts if reached and part.reach.is_there)
    return (
        *(("widen_keys",) if facts.numbers.staged else ()),
        *each_of(parts, "pack_queries"),
        *runs_of(*codes),
        *(extent.name for extent in tile.extents),
        *(("extent_of_run",) if tile.bounds_runs else ()),
        *(("widened",) if tile.bounds_reals else ()),
        *(f"visibility{part.suffix}" for part in parts if part.view.masked),
        *each_of(reaching, "reached_keys"),
        *(() if facts.work.is_plain else ("head_at", "turn_of")),
        *own,
    )


def names_of_blocks(part: PartModel, tile: TileModel) -> Names:
    narrow = ("only_vector_seen",) if tile.has_narrow else ()
    masked = (*narrow, "score_block", "seen_rows") if part.view.masked else ()
    reached = ("reached_keys", "reached_tiles") if part.reach.is_there else ()
    return each_of((part,), *masked, *reached, "attend_block", "finish_group")


def names_of_chunks(part: PartModel) -> Names:
    by_head = ("reached_keys_of_heads",) if part.decode.reaches_by_head else ()
    return each_of((part,), "reached_keys", *by_head, "reached_chunks", "most_chunks")


def each_of(parts: tuple[PartModel, ...], *names: str) -> Names:
    """These functions of each part."""
    return tuple(f"{name}{part.suffix}" for part in parts for name in names)


def runs_of(*codes: Code | None) -> Names:
    """The functions that read neighbours for these codes."""
    dtypes = {dtype for code in codes if code is not None for dtype in code.runs}
    return tuple(RUNS[dtype] for dtype in sorted(dtypes, key=lambda dtype: dtype.value))


def decode_function_names(facts: Lowering, decode: DecodeModel, parts: tuple[PartModel, ...]) -> Names:
    """The functions of the kernel for few queries."""
    masked = any(part.view.masked for part in parts)
    bounded = [model.decode.views or model.decode.reaches for model in parts]
    views = [part.view_code for part, is_bounded in zip(facts.parts, bounded, strict=True) if is_bounded]
    codes = [view for view in views if view is not None]
    extents = sorted({dtype for view in codes for dtype in view.extents}, key=lambda dtype: dtype.value)
    ordered = () if facts.work.is_plain else ("head_at", "bundle_at")
    reaching = tuple(part for part in parts if part.decode.reaches)
    return (
        *ordered,
        *each_of(parts, "pack_rows"),
        *runs_of(*(code for part in facts.parts for code in (part.decode_code, part.row_sink_code))),
        *(EXTENTS[dtype] for dtype in extents),
        *(("extent_of_run",) if any(view.bounds_runs for view in codes) else ()),
        *(("widened",) if any(view.bounds_reals for view in codes) else ()),
        *(f"visibility{part.suffix}" for part in parts if part.decode.views),
        *(name for part in reaching for name in names_of_chunks(part)),
        *(variant.name for variant in decode.dots),
        *each_of(parts, "score_keys", "weigh_row"),
        *(variant.name for variant in decode.sums),
        *(("raw_values_are_finite", "add_seen_values") if masked else ()),
        *each_of(parts, "score_rows", "add_chunk_values", "attend_chunk"),
        *(part.decode.sink.name for part in parts if part.decode.sink.is_there),
        *each_of(parts, "merge_row"),
        *(switch.name for switch in decode.switches),
        *(("clear_head", "clear_heads") if facts.prunes else ()),
        *((*DIRECT_FUNCTIONS, "is_short", "place_offsets") if has_direct(facts) else ()),
        "decode_tasks",
    )
