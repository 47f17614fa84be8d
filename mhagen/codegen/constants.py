"""The constants at the top of a generated module: the layer's sizes, the schedule, the layout of memory."""

from __future__ import annotations

from ..base.dtypes import DType
from ..runtime.launch import (
    DIRECT_BATCH,
    DIRECT_LENGTH,
    DIRECT_MULTIPLY_ADDS,
    DIRECT_NUMBERS,
    DIRECT_SHARED,
    MULTIPLY_ADDS_OF_A_READ,
    WORKERS_AT,
)
from ..schedule.plan import TASKS_OF_A_THREAD
from ..schedule.ways import rows_of_task
from ..spec.statistic import LEADERS
from .direct import has_direct
from .facts import Lowering
from .finish import finish_lines
from .model import ConstantGroup, ConstantLine
from .products import model_dim_of
from .statistics import kept_rows

LOG2_E = 1.4426950408889634
CACHE_LINE = 64
VALUE_KEYS = 16
SECOND_KEYS = 256  # at most: widened, they stay in the second level cache
FAR_BYTES = 16 << 10
LOWEST = {DType.FLOAT32: "-3.4028234663852886e38", DType.FLOAT64: "-1.7976931348623157e308"}


def constant_groups(facts: Lowering) -> tuple[ConstantGroup, ...]:
    """All constants, those of the spec first."""
    groups = (
        ConstantGroup("The layer.", layer_lines(facts)),
        ConstantGroup("The schedule: what is computed together.", schedule_lines(facts)),
        ConstantGroup("Memory: byte offsets in the scratch of a thread.", memory_lines(facts)),
        ConstantGroup("Numbers of the streaming softmax.", number_lines(facts)),
        ConstantGroup("The short way in, for small calls.", direct_lines(facts)),
        ConstantGroup("What a tile of queries and keys looks like to visibility().", view_lines(facts)),
    )
    return tuple(group for group in groups if group.entries)


def direct_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    if not has_direct(facts):
        return ()
    return (
        line(
            "DIRECT_MULTIPLY_ADDS",
            DIRECT_MULTIPLY_ADDS,
            "about 50 us of one core, in which no other Python runs",
        ),
        line("DIRECT_NUMBERS", DIRECT_NUMBERS, "of keys and values of few queries: about as long"),
        line("DIRECT_SHARED", DIRECT_SHARED, "bytes behind the scratch, for partial results of few queries"),
        line("DIRECT_BATCH", DIRECT_BATCH, "entries whose offsets have room in the table"),
        line("DIRECT_LENGTH", DIRECT_LENGTH, "keeps the product of all lengths in 64 bits"),
    )


def line(name: str, value: object, comment: str = "") -> ConstantLine:
    return ConstantLine(name, value if isinstance(value, str) else repr(value), comment)


def constants_of_attention(facts: Lowering) -> dict[str, str]:
    """Constants of the kernel for many queries that the sizes of its schedule have a part in, and others."""
    return {each.name: each.text for each in (*schedule_lines(facts), *scratch_lines(facts))}


def constants_of_decoding(facts: Lowering) -> dict[str, str]:
    """The same of the kernel for few queries."""
    return {each.name: each.text for each in decode_lines(facts)}


def layer_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    work = facts.work
    lines = [
        line("QUERY_HEADS", work.query_heads),
        line("KEY_VALUE_HEADS", work.key_value_heads),
        line("GROUP_SIZE", work.op.group, "query heads that share a key/value head"),
        *([] if work.is_plain else lines_of_order(facts)),
        line("DIM", work.dim, "of queries and keys"),
        line("VALUE_DIM", work.value_dim),
    ]
    if facts.program.self_layer is not None:
        lines.append(line("MODEL_DIM", model_dim_of(facts.program.self_layer)))
    lines += [line(facts.constant_names[name], c.value) for name, c in facts.spec_constants.items()]
    return tuple(lines)


def lines_of_order(facts: Lowering) -> list[ConstantLine]:
    work = facts.work
    return [
        line("KEPT_HEADS", len(work.kept_heads), "query heads that are computed"),
        line("BUNDLES", len(work.bundles), "of heads that read the same keys in the same way"),
        line("MEMBERS", work.most_members, "heads of a bundle, at most"),
    ]


def schedule_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    schedule = facts.schedule
    lines = [
        line("LANES", facts.lanes, f"{facts.numbers.computed.value} values in a vector register"),
        line("GROUP_QUERIES", facts.group_queries, "queries side by side in the lanes of a score tile"),
        line("TILE_QUERIES", schedule.tile_queries, "queries of one task, at most"),
        line("TASKS_OF_A_THREAD", TASKS_OF_A_THREAD, "at least, or tasks have fewer queries"),
        line("BLOCK_KEYS", schedule.block_keys, "keys between two passes over the values"),
        line("KEY_ROWS", schedule.key_rows, "keys of a score tile"),
        line("VALUE_ROWS", schedule.value_rows, "queries of a value tile"),
    ]
    if facts.program.self_layer is not None:
        lines += [
            line("LINEAR_ROWS", schedule.linear_rows, "rows of a product tile"),
            line("LINEAR_VECTORS", schedule.linear_vectors, "vectors of outputs in a product tile"),
            line("LINEAR_BLOCK_ROWS", schedule.linear_block_rows, "rows of one task of a product"),
            line("LINEAR_DEPTH", schedule.linear_depth, "inputs between two passes over the outputs"),
        ]
    return tuple(lines)


def memory_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    numbers, work = facts.numbers, facts.work
    lines = [line("VECTOR", numbers.vector_bytes, "bytes")]
    if numbers.narrow:
        note = f"bytes of as many {numbers.stored.value}"
        lines.append(line("STORED_VECTOR", numbers.stored_vector_bytes, note))
    lines += [
        line("ROW", facts.row, f"a weight{' (a pair)' if numbers.pairs else ''} for each query of a group"),
        line("OUT_ROW", facts.out_row, "an accumulator for each value column, filled up to whole vectors"),
        line("OUT_VECTORS", work.value_dim // facts.lanes, "whole vectors of value columns"),
        line("DEPTH", facts.depth, "pairs of columns" if numbers.pairs else "columns of queries and keys"),
        line("WHOLE_DEPTH", facts.depth // facts.lanes * facts.lanes, "those in whole vectors"),
    ]
    if numbers.staged:
        lines.append(line("KEY_LINE", facts.key_line, "a widened key, filled up to whole vectors"))
    if numbers.staged and work.dim % facts.lanes:
        lines.append(line("DIM_TAIL", work.dim % facts.lanes, "columns in the last vector"))
    if work.value_dim % facts.lanes:
        lines.append(line("VALUE_TAIL", work.value_dim % facts.lanes, "value columns in the last vector"))
    lines += [
        line("KEY_BYTES", work.dim * numbers.stored.bytes, "of a row of queries or keys"),
        line("VALUE_BYTES", work.value_dim * numbers.stored.bytes, "of a row of values"),
        line("CACHE_LINE", CACHE_LINE),
        line("WORKERS_AT", WORKERS_AT, "behind the counter of tasks: how many threads claim from it"),
        line("NEAR_BYTES", facts.target.l2_bytes, "of keys and values that stay near"),
    ]
    lines += scratch_lines(facts)
    lines += decode_lines(facts)
    lines += second_lines(facts) if facts.receives or facts.leading else []
    if facts.program.self_layer is not None:
        size = facts.schedule.linear_vectors * numbers.vector_bytes
        lines.append(line("LINEAR_PANEL_ROW", size, "weights of one input in a panel"))
    lines += finish_lines(facts)
    return tuple(lines)


def scratch_lines(facts: Lowering) -> list[ConstantLine]:
    """Where what lies in the scratch of a thread: states of groups, weights, staged keys and values."""
    numbers, schedule = facts.numbers, facts.schedule
    accumulators = -(-facts.depth // facts.lanes) * facts.lanes * facts.row
    maxima = accumulators + facts.group_queries * facts.out_row
    kept = kept_rows(facts)
    state = whole_lines(maxima + (3 + len(kept)) * facts.row)
    weights = state * (schedule.tile_queries // facts.group_queries)
    ahead = weights + schedule.block_keys // numbers.together * facts.row
    keys = ahead + 2 * CACHE_LINE
    # Queries are widened where keys are later.
    rows_of_keys = max(schedule.block_keys, facts.group_queries) if numbers.staged else 0
    # With values right behind the weights a call takes up to 1.06 times as long; 384 bytes between suffice.
    between = 8 * CACHE_LINE if numbers.realigns else 0
    values = keys + rows_of_keys * facts.key_line + between
    rows_of_values = -(-schedule.block_keys // numbers.together) if numbers.copied else 0
    lines = [
        line("ACCUMULATORS", accumulators, "behind the packed queries"),
        line("MAXIMA", maxima),
        line("SUMS", maxima + facts.row),
        line("PEAKS", maxima + 2 * facts.row),
        *(line(row, maxima + (3 + i) * facts.row) for i, (row, _) in enumerate(kept)),
        line("STATE_BYTES", state, "all of these for one group"),
        line("WEIGHTS", weights, "behind the states of all groups"),
        line("AHEAD", ahead, "what is fetched ahead"),
    ]
    if numbers.staged:
        lines.append(line("STAGED_KEYS", keys, "a block of keys, widened"))
    if numbers.copied:
        lines.append(line("STAGED_VALUES", values, "a block of values, as it is multiplied"))
    return [*lines, line("SCRATCH_BYTES", values + rows_of_values * facts.out_row)]


def decode_lines(facts: Lowering) -> list[ConstantLine]:
    """The schedule and the scratch of the kernel for few queries."""
    numbers, schedule = facts.numbers, facts.schedule
    vector, lanes = numbers.vector_bytes, facts.lanes
    rows = rows_of_task(facts.work, schedule)
    query_line = -(-facts.depth // lanes) * vector
    chunk = -(-schedule.chunk_keys // lanes) * lanes
    sums = rows * query_line
    # Two lines more: 4 KB behind the sums, products would be taken for them when they are stored.
    turn = schedule.decode_rows * lanes * vector + 2 * CACHE_LINE
    peaks = sums + turn + schedule.decode_rows * vector
    scores = peaks + rows * vector
    return [
        line(
            "DECODE_QUERIES", schedule.decode_queries, "up to so many queries, keys are split between threads"
        ),
        line("CHUNK_KEYS", schedule.chunk_keys, "of one task of decoding"),
        line("ROWS_OF_TASK", rows, "queries times heads that share its keys"),
        line("MULTIPLY_ADDS_OF_A_READ", MULTIPLY_ADDS_OF_A_READ, "in the time of reading one number of keys"),
        line("FAR_BYTES", FAR_BYTES, "how far ahead keys and values are fetched where rows share them"),
        line("VALUE_KEYS", VALUE_KEYS, "keys whose values stay near while all rows add them"),
        line("QUERY_LINE", query_line, "a row of queries, filled up to whole vectors"),
        line("SCORES_LINE", chunk * numbers.bytes, "the scores of a row, later its weights"),
        line("TURN", turn, "LANES vectors of each row, to be added up over lanes; products lie behind"),
        *partial_lines(facts),
        line("ROW_SUMS", sums, "behind the rows of queries"),
        line("ROW_PEAKS", peaks),
        line("SCORES", scores),
        line("DECODE_SCRATCH_BYTES", scores + rows * chunk * numbers.bytes),
    ]


def second_lines(facts: Lowering) -> list[ConstantLine]:
    """The scratch of the second pass."""
    schedule = facts.schedule
    keys = max(SECOND_KEYS // schedule.key_rows, 1) * schedule.key_rows
    most, leader = max((LEADERS[name] for name in facts.leading), default=0), 2 * facts.row
    origins = -(-facts.depth // facts.lanes) * facts.lanes * facts.row
    sums = origins + 2 * facts.row
    received = 2 * facts.row + (keys + schedule.key_rows) * facts.numbers.vector_bytes
    staged = origins + max(received * facts.receives, most * leader)
    queries = staged + (keys * facts.key_line if facts.numbers.staged else 0)
    end = queries + (facts.group_queries * facts.key_line if facts.numbers.staged else 0)
    lines = [line("SECOND_KEYS", keys, "of one block of the second pass")]
    if facts.receives:
        lines += [
            line("SECOND_ORIGINS", origins, "what is taken off scores, behind the packed queries"),
            line("SECOND_PORTIONS", origins + facts.row, "what weights are multiplied by"),
            line("SECOND_SUMS", sums, "what each key has received so far, in LANES parts"),
        ]
    if facts.leading:
        lines += [
            line("LEADERS", most, "keys with the greatest scores of a query"),
            line("LEADER", leader, "one of each query of a group: scores, then numbers of keys"),
            line("LAST_LEADER", (most - 1) * leader),
            line("SECOND_LEADERS", origins, "where they lie, behind the packed queries"),
        ]
    if facts.numbers.staged:
        lines.append(line("SECOND_STAGED", staged, "the keys of the task, widened"))
        lines.append(line("SECOND_QUERIES", queries, "a group of queries, widened"))
    return [*lines, line("SECOND_SCRATCH_BYTES", whole_lines(end))]


def partial_lines(facts: Lowering) -> list[ConstantLine]:
    """The layout of a partial result of decoding."""
    vector, note = facts.numbers.vector_bytes, "maximum and sum, then an accumulator for each column"
    if not facts.keeps_gaps:
        return [line("PARTIAL_ROW", facts.out_row + vector, note)]
    return [
        line("PARTIAL_ROW", facts.out_row + 2 * vector, f"{note}, then what the entropy needs"),
        line("PARTIAL_GAPS", facts.out_row + vector, "where that lies"),
    ]


def whole_lines(size: int) -> int:
    """The bytes of whole cache lines."""
    return -(-size // CACHE_LINE) * CACHE_LINE


def number_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    numbers, parts = facts.numbers, facts.parts
    computed = numbers.computed
    scales = {each.name: each for part in parts for each in lines_of_scales(part)}
    headrooms = {each.name: each for part in parts for each in lines_of_headroom(part)}
    lowest = line("LOWEST", LOWEST[computed], f"{computed.value}'s lowest: where running maxima start")
    lines = [*scales.values(), lowest, *headrooms.values()]
    lines.append(
        line("HIDDEN_WEIGHT", "-0.0", "the weight of a hidden key: adds nothing, and can be told from 0")
    )
    if any(part.view_code is not None for part in parts):
        bits = 8 * (numbers.stored.bytes if numbers.pairs else computed.bytes)
        lines.append(line("HIDDEN_BITS", f"-(2**{bits - 1})", "its bits"))
    if not {"lse", "max", "entropy"}.isdisjoint(facts.first_statistics):
        lines += [line("LN_2", "0.6931471805599453")] if any(part.is_base_two for part in parts) else []
    if any(part.work.op.sink is not None and part.is_base_two for part in parts):
        lines.append(line("LOG2_E", LOG2_E, "of the sink's logit, which is a natural one"))
    lines.append(line("MINUS_INFINITY", 'float("-inf")', "the score of a hidden key in decoding"))
    return tuple(lines)


def lines_of_scales(facts: Lowering) -> list[ConstantLine]:
    op = facts.work.op
    lines = [line(facts.own("QUERY_SCALE"), op.query_scale, query_scale_comment(facts))]
    if op.score_scale != 1.0:
        name = facts.own("SCORE_SCALE")
        lines.append(line(name, op.score_scale, "log2(e): weights are powers of two"))
    return lines


def lines_of_headroom(facts: Lowering) -> list[ConstantLine]:
    scale = facts.work.op.score_scale
    by = "by what scores may top the running maximum before it is raised"
    return [
        line(facts.own("HEADROOM"), 8.0 / scale, by),
        line(facts.own("LIFT"), 40.0 / scale, "how far above them it is raised: weights may be tiny"),
    ]


def query_scale_comment(facts: Lowering) -> str:
    natural = facts.work.op.query_scale / LOG2_E
    return f"{natural:.6g} * log2(e)" if facts.work.op.score_scale == 1.0 else "multiplies the products"


def view_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    if all(part.view_code is None for part in facts.parts):
        return ()
    return line("HIDDEN", 0), line("PARTIAL", 1), line("FULL", 2)
