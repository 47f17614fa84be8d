"""Graph and schedule to visibility, blocks of keys and tasks: who calls whom, and with what."""

from __future__ import annotations

from .cells import Code
from .facts import Lowering
from .kernel import finite_loads
from .mask_model import KeepModel, ReachModel, ViewModel
from .model import Names, TaskModel
from .part_model import BlockModel, PartModel, RowsModel
from .scores import score_variants, tile_parameters
from .sinks import runs_without_keys, sink_of_queries, sink_place
from .statistics import kept_rows, lines_of_queries, rescale_lines
from .switches import reach_switch, switch_of, view_parameters, view_switch
from .wrapped import expression_lines


def keep_model(facts: Lowering) -> KeepModel:
    """What is needed where any part has a mask."""
    if all(part.view_code is None for part in facts.parts):
        return KeepModel(False, (), "", "", False)
    return KeepModel(
        masked=True,
        finite_totals=tuple((f"total{j}", load) for j, load in enumerate(finite_loads(facts))),
        finite_total=" + ".join(f"total{j}" for j in range(facts.value_vectors)),
        whole_columns="OUT_ROW" if facts.numbers.narrow else "OUT_VECTORS * VECTOR",
        loads_tail=not facts.numbers.narrow and facts.work.value_dim % facts.lanes != 0,
    )


def part_model(facts: Lowering, rows: RowsModel) -> PartModel:
    """The functions of one part of the heads; `rows` are those of decoding."""
    statistics, sink_arguments = statistics_of(facts), sink_place(facts, facts.sink_code)
    return PartModel(
        suffix=facts.suffix,
        # Scaled queries would be rounded once more: scores are scaled instead.
        scale="" if facts.numbers.pairs else f", {facts.own('QUERY_SCALE')}",
        headroom=facts.own("HEADROOM"),
        lift=facts.own("LIFT"),
        shrink=facts.power("maxima - raised"),
        rescale_lines=rescale_lines(facts),
        score_variants=score_variants(facts),
        view=view_model(facts),
        reach=reach_model(facts),
        block=block_model(facts),
        sink=sink_of_queries(facts),
        sums_parameters=("state", "rows", *statistics, *sink_arguments),
        sums_of_block=("state", "query_count", *statistics, *sink_arguments),
        finish_lines=lines_of_queries(facts),
        finish_parameters=finish_parameters(facts),
        decode=rows,
    )


def view_model(facts: Lowering) -> ViewModel:
    code = facts.view_code
    if code is None or facts.work.op.keep is None:
        return ViewModel(False, (), (), (), "")
    return ViewModel(
        masked=True,
        parameters=view_parameters(facts),
        text_lines=expression_lines("keep: ", facts.work.op.keep),
        interval_lines=code.lines,
        interval_result=code.result,
    )


def reach_model(facts: Lowering) -> ReachModel:
    code = facts.reach_code
    if code is None:
        return ReachModel(False, (), (), "", "", (), "")
    parameters = ("q_low", "q_high", "keys", *facts.place(code.names))
    task = ("q_low", "q_high", "keys", "single", *place_of_reach(facts))
    # Indices of captured arrays are clamped to their lengths, and no key has an index.
    whole = "single or keys == 0" if any(map(runs_without_keys, facts.parts)) else "single"
    return ReachModel(True, parameters, code.lines, code.first, code.end, task, whole)


def block_model(facts: Lowering) -> BlockModel:
    place = facts.place(facts.view_code.names) if facts.view_code else ()
    positions, place_of_all = block_positions(facts), place_of_block(facts)
    full = tile_arguments(facts, facts.full_code)
    partial = tile_arguments(facts, facts.partial_code)
    tile = ("state", "weights", "row", "key + row * key_stride", "key_stride")
    score = (
        "state",
        "weights",
        "key",
        "key_stride",
        "block_keys",
        "block_view",
        "query_count",
        "ahead",
        *positions,
        *facts.block_place,
    )
    narrow = (*tile, "0", *full), (*tile, "tile_keys", "0", *partial)
    one_vector = f"q_first + lane // {facts.numbers.bytes}"
    seen = tuple(one_vector if name == "q_first" else name for name in partial)
    output = ("out", "out_stride", "single", *statistics_of(facts))
    first_query, last_query = "q_first + query", "q_first + query + VALUE_ROWS - 1"
    return BlockModel(
        score_parameters=score,
        score_arguments=score,
        rows_parameters=("low", "high", "q_low", "q_high", "k_first", *place),
        rows_arguments=("first", "end", first_query, last_query, "k_first", *place),
        parameters=(
            *("state", "weights", "key", "key_stride", "value", "value_stride", "block_keys", "query_count"),
            "ahead",
            *output,
            *positions,
            *place_of_all,
        ),
        view_of_block=("q_first", "q_first + query_count - 1", "k_first", "k_first + block_keys - 1", *place),
        view_of_tile=(
            "q_first",
            "q_first + query_count - 1",
            "k_first + row",
            "k_first + row + tile_keys - 1",
            *place,
        ),
        view_of_last_rows=("q_low", "q_high", "k_first + tile", "k_first + high - 1", *place),
        view_of_first_rows=("q_low", "q_high", "k_first + low", "k_first + low + KEY_ROWS - 1", *place),
        full_arguments=(*tile, *full),
        partial_arguments=(*tile, "tile_keys", *partial),
        narrow_full_arguments=narrow[0],
        narrow_partial_arguments=narrow[1],
        narrow_seen_arguments=(*tile, "tile_keys", "lane", *seen),
        vector_parameters=("query_count", "q_first", "k_low", "k_high", *place),
        vector_arguments=("query_count", "q_first", "k_first + row", "k_first + row + tile_keys - 1", *place),
        view_of_vector=(
            *("q_first + query", "q_first + min(query + LANES, query_count) - 1", "k_low", "k_high"),
            *place,
        ),
    )


def statistics_of(facts: Lowering) -> Names:
    """The addresses of statistics that the kernel writes."""
    return facts.statistics


def block_positions(facts: Lowering) -> Names:
    """The positions that attend_block takes: all of them under a mask, else those that scores read."""
    if facts.view_code is not None:
        return "q_first", "k_first"
    used = facts.full_code.names | facts.partial_code.names | names_of_sink(facts)
    return tuple(name for name in ("q_first", "k_first") if name in used)


def place_of_block(facts: Lowering) -> Names:
    """What attend_block is told of where it is, for scores and for the sink."""
    return facts.place(facts.block_names | names_of_sink(facts))


def tile_arguments(facts: Lowering, code: Code) -> Names:
    return tuple("k_first + row" if name == "k_first" else name for name in tile_parameters(facts, code))


def task_model(facts: Lowering) -> TaskModel:
    statistics, parts = statistics_of(facts), facts.parts
    start = switch_of(
        "start_group",
        "Start a group as its head's part does.",
        [(start_parameters(each), start_arguments(each)) for each in parts],
        facts,
    )
    view = view_switch(facts, [view_of_task(each) for each in parts])
    reach = reach_switch(facts, [reach_of_task(each) for each in parts])
    block = switch_of(
        "attend_block",
        "Attend to a block as its head's part does.",
        [(block_model(each).parameters, block_arguments(each)) for each in parts],
        facts,
    )
    finish = switch_of(
        "finish_group",
        "Finish a group as its head's part does.",
        [(finish_parameters(each), finish_arguments(each)) for each in parts],
        facts,
    )
    sinks = any(runs_without_keys(each) for each in parts)
    return TaskModel(
        parameters=task_parameters(facts, ("counter", "scratch", "worker")),
        statistics=statistics,
        kept_rows=kept_rows(facts),
        keeps_gaps=facts.keeps_gaps,
        # Without keys, no block is a single one: the sums are those of no key, and the sink's.
        single="0 < keys <= BLOCK_KEYS" if sinks else "keys <= BLOCK_KEYS",
        returns_without_keys=not sinks,
        or_no_keys=" or keys == 0" if sinks else "",
        reads_positions=any("q_first" in block_positions(each) for each in parts),
        view_of_task=view.arguments,
        reaches=any(each.reach_code is not None for each in parts),
        reach_of_task=reach.arguments,
        start_arguments=start.arguments,
        block_arguments=block.arguments,
        finish_arguments=finish.arguments,
        switches=(*start.switches, *view.switches, *reach.switches, *block.switches, *finish.switches),
    )


def task_parameters(facts: Lowering, last: Names) -> Names:
    """Those of an entry point: all arrays with their strides, and the lengths."""
    return (
        *("query", "query_batch", "query_head", "query_stride"),
        *("key", "key_batch", "key_head", "key_stride"),
        *("value", "value_batch", "value_head", "value_stride"),
        *("out", "out_batch", "out_head", "out_stride"),
        *statistics_of(facts),
        *("batch", "queries", "keys", "offsets"),
        *(("out_heads",) if facts.packs_heads else ()),
        *(array.parameter for array in facts.captured.values()),
        *last,
    )


def start_parameters(facts: Lowering) -> Names:
    staged = ("staged",) if facts.numbers.staged else ()
    return ("query", "query_stride", "rows", "state", "single", *staged)


def start_arguments(facts: Lowering) -> Names:
    return (
        *("query_at + first * query_stride", "query_stride", "rows - first", "state", "single"),
        *(("scratch + STAGED_KEYS",) if facts.numbers.staged else ()),
    )


def finish_parameters(facts: Lowering) -> Names:
    sink = sink_place(facts, facts.sink_code)
    return ("state", "rows", "out", "out_stride", *statistics_of(facts), *sink)


def finish_arguments(facts: Lowering) -> Names:
    here = {"q_first": "position + first"}
    return (
        "scratch + group * STATE_BYTES",
        "rows - first",
        "out_at + first * out_stride",
        "out_stride",
        *(f"{name}_at + {facts.numbers.statistic.bytes} * first" for name in statistics_of(facts)),
        *(here.get(name, name) for name in sink_place(facts, facts.sink_code)),
    )


def names_of_sink(facts: Lowering) -> frozenset[str]:
    return frozenset() if facts.sink_code is None else facts.sink_code.names


def view_of_task(facts: Lowering) -> Names:
    """The arguments of visibility for all queries of a task and one block of keys."""
    place = facts.place(facts.view_code.names) if facts.view_code else ()
    return ("position", "position + rows - 1", "block", "block + block_keys - 1", *place)


def reach_of_task(facts: Lowering) -> Names:
    """The arguments of reached_tiles."""
    return ("position", "position + rows - 1", "keys", "single", *place_of_reach(facts))


def place_of_reach(facts: Lowering) -> Names:
    return facts.place(facts.reach_code.names) if facts.reach_code else ()


def block_arguments(facts: Lowering) -> Names:
    """What a task passes to attend_block for one group of its queries."""
    numbers, positions = facts.numbers, {"q_first": "position + first", "k_first": "block"}
    key = ("key_at + block * key_stride", "key_stride")
    value = ("value_at + block * value_stride", "value_stride")
    if numbers.staged:
        key = ("scratch + STAGED_KEYS", "KEY_LINE")
    if numbers.narrow:
        value = ("scratch + STAGED_VALUES", "OUT_ROW")
    if numbers.realigns:
        value = ("values", "values_stride")
    return (
        *("scratch + group * STATE_BYTES", "weights", *key, *value),
        *("block_keys", "min(GROUP_QUERIES, rows - first)", "ahead"),
        *("out_at + first * out_stride", "out_stride", "single"),
        *(f"{name}_at + {numbers.statistic.bytes} * first" for name in statistics_of(facts)),
        *(positions[name] for name in block_positions(facts)),
        *place_of_block(facts),
    )
