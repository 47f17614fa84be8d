"""Graph and schedule to visibility, blocks of keys and tasks: who calls whom, and with what."""

from __future__ import annotations

from .cells import Code
from .facts import Lowering
from .kernel import finite_loads
from .mask_model import KeepModel, ReachModel
from .model import BlockModel, Names, TaskModel
from .scores import tile_parameters
from .sinks import runs_without_keys, sink_of_queries, sink_place
from .statistics import kept_rows, lines_of_queries, rescale_lines
from .wrapped import expression_lines


def keep_model(facts: Lowering) -> KeepModel:
    code = facts.view_code
    if code is None or facts.work.op.keep is None:
        return KeepModel(False, (), (), (), "", (), "", "", False)
    return KeepModel(
        masked=True,
        parameters=("q_low", "q_high", "k_low", "k_high", *facts.place(code.names)),
        text_lines=expression_lines("keep: ", facts.work.op.keep),
        interval_lines=code.lines,
        interval_result=code.result,
        finite_totals=tuple((f"total{j}", load) for j, load in enumerate(finite_loads(facts))),
        finite_total=" + ".join(f"total{j}" for j in range(facts.value_vectors)),
        whole_columns="OUT_ROW" if facts.numbers.narrow else "OUT_VECTORS * VECTOR",
        loads_tail=not facts.numbers.narrow and facts.work.value_dim % facts.lanes != 0,
    )


def reach_model(facts: Lowering) -> ReachModel:
    code = facts.reach_code
    if code is None:
        return ReachModel(False, (), (), "", "")
    parameters = ("q_low", "q_high", "keys", *facts.place(code.names))
    return ReachModel(True, parameters, code.lines, code.first, code.end)


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
    statistics = statistics_of(facts)
    sink, sink_arguments = sink_of_queries(facts), sink_place(facts, facts.sink_code)
    here = {"q_first": "position + first"}
    return TaskModel(
        parameters=(
            *("query", "query_batch", "query_head", "query_stride"),
            *("key", "key_batch", "key_head", "key_stride"),
            *("value", "value_batch", "value_head", "value_stride"),
            *("out", "out_batch", "out_head", "out_stride"),
            *statistics,
            *("batch", "queries", "keys", "offsets"),
            *(array.parameter for array in facts.captured.values()),
            *("counter", "scratch", "worker"),
        ),
        statistics=statistics,
        kept_rows=kept_rows(facts),
        keeps_gaps=facts.keeps_gaps,
        rescale_lines=rescale_lines(facts),
        finish_lines=lines_of_queries(facts),
        sink=sink,
        # Without keys, no block is a single one: the sums are those of no key, and the sink's.
        single="0 < keys <= BLOCK_KEYS" if runs_without_keys(facts) else "keys <= BLOCK_KEYS",
        returns_without_keys=not runs_without_keys(facts),
        or_no_keys=" or keys == 0" if runs_without_keys(facts) else "",
        reads_positions="q_first" in block_positions(facts),
        start_arguments=(
            *("query_at + first * query_stride", "query_stride", "rows - first", "state", "single"),
            *(("scratch + STAGED_KEYS",) if facts.numbers.staged else ()),
        ),
        view_of_task=view_of_task(facts),
        reach_parameters=("q_low", "q_high", "keys", "single", *place_of_reach(facts)),
        reach_of_task=("position", "position + rows - 1", "keys", "single", *place_of_reach(facts)),
        block_arguments=block_arguments(facts),
        sums_parameters=("state", "rows", *statistics, *sink_arguments),
        sums_of_block=("state", "query_count", *statistics, *sink_arguments),
        finish_parameters=("state", "rows", "out", "out_stride", *statistics, *sink_arguments),
        finish_arguments=(
            "scratch + group * STATE_BYTES",
            "rows - first",
            "out_at + first * out_stride",
            "out_stride",
            *(f"{name}_at + {facts.numbers.statistic.bytes} * first" for name in statistics),
            *(here.get(name, name) for name in sink_arguments),
        ),
    )


def names_of_sink(facts: Lowering) -> frozenset[str]:
    return frozenset() if facts.sink_code is None else facts.sink_code.names


def view_of_task(facts: Lowering) -> Names:
    """The arguments of visibility for all queries of a task and one block of keys."""
    place = facts.place(facts.view_code.names) if facts.view_code else ()
    return ("position", "position + rows - 1", "block", "block + block_keys - 1", *place)


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
    return (
        *("scratch + group * STATE_BYTES", "weights", *key, *value),
        *("block_keys", "min(GROUP_QUERIES, rows - first)", "ahead"),
        *("out_at + first * out_stride", "out_stride", "single"),
        *(f"{name}_at + {numbers.statistic.bytes} * first" for name in statistics_of(facts)),
        *(positions[name] for name in block_positions(facts)),
        *place_of_block(facts),
    )
