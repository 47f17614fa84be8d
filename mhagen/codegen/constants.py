"""The constants at the top of a generated module: the layer's sizes, the schedule, the layout of memory."""

from __future__ import annotations

from .entry import model_dim_of
from .kernel import Lowering
from .model import ConstantGroup, ConstantLine

LOG2_E = 1.4426950408889634


def constant_groups(facts: Lowering) -> tuple[ConstantGroup, ...]:
    """All constants, those of the spec first."""
    groups = (
        ConstantGroup("The layer.", layer_lines(facts)),
        ConstantGroup("The schedule: what is computed together.", schedule_lines(facts)),
        ConstantGroup("Memory: byte offsets in the scratch of a thread.", memory_lines(facts)),
        ConstantGroup("Numbers of the streaming softmax.", number_lines(facts)),
        ConstantGroup("What a tile of queries and keys looks like to visibility().", view_lines(facts)),
    )
    return tuple(group for group in groups if group.entries)


def line(name: str, value: object, comment: str = "") -> ConstantLine:
    return ConstantLine(name, value if isinstance(value, str) else repr(value), comment)


def layer_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    work = facts.work
    lines = [
        line("QUERY_HEADS", work.query_heads),
        line("KEY_VALUE_HEADS", work.key_value_heads),
        line("GROUP_SIZE", work.op.group, "query heads that share a key/value head"),
        line("DIM", work.dim, "of queries and keys"),
        line("VALUE_DIM", work.value_dim),
    ]
    if facts.program.self_layer is not None:
        lines.append(line("MODEL_DIM", model_dim_of(facts.program.self_layer)))
    lines += [line(facts.constant_names[name], c.value) for name, c in facts.spec_constants.items()]
    return tuple(lines)


def schedule_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    schedule = facts.schedule
    lines = [
        line("LANES", facts.target.lanes, "float32 values in a vector register"),
        line("GROUP_QUERIES", facts.group_queries, "queries side by side in the lanes of a score tile"),
        line("TILE_QUERIES", schedule.tile_queries, "queries of one task"),
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
    lanes, work, schedule = facts.target.lanes, facts.work, facts.schedule
    vector, row = 4 * lanes, 4 * facts.group_queries
    out_row = vector * facts.value_vectors
    panel = -(-work.dim // lanes) * lanes * row
    maxima = panel + facts.group_queries * out_row
    state = -(-(maxima + 3 * row) // 64) * 64
    weights = state * (schedule.tile_queries // facts.group_queries)
    lines = [
        line("VECTOR", vector, "bytes"),
        line("ROW", row, "a weight for each query of a group"),
        line("OUT_ROW", out_row, "an accumulator for each value column, filled up to whole vectors"),
        line("WHOLE_DIM", work.dim // lanes * lanes, "columns in whole vectors"),
        line("WHOLE_OUT", 4 * (work.value_dim // lanes * lanes), "bytes of value columns in whole vectors"),
        line("ACCUMULATORS", panel, "behind the packed queries"),
        line("MAXIMA", maxima),
        line("SUMS", maxima + row),
        line("PEAKS", maxima + 2 * row),
        line("STATE_BYTES", state, "all of these for one group"),
        line("WEIGHTS", weights, "behind the states of all groups"),
        line("SCRATCH_BYTES", weights + schedule.block_keys * row),
    ]
    if work.value_dim % lanes:
        lines.insert(5, line("VALUE_TAIL", work.value_dim % lanes, "value columns in the last vector"))
    if facts.program.self_layer is not None:
        lines.append(
            line("LINEAR_PANEL_ROW", schedule.linear_vectors * vector, "weights of one input in a panel")
        )
    return tuple(lines)


def number_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    op = facts.work.op
    lines = [line("QUERY_SCALE", op.query_scale, query_scale_comment(facts))]
    if op.score_scale != 1.0:
        lines.append(line("SCORE_SCALE", op.score_scale, "log2(e): weights are powers of two"))
    lines += [
        line("LOWEST", "-3.4028234663852886e38", "float32's lowest: where running maxima start"),
        line(
            "HEADROOM", 8.0 / op.score_scale, "by what scores may top the running maximum before it is raised"
        ),
    ]
    lines.append(
        line("HIDDEN_WEIGHT", "-0.0", "the weight of a hidden key: adds nothing, and can be told from 0")
    )
    if facts.view_code is not None:
        lines.append(line("HIDDEN_BITS", "-(2**31)", "its bits"))
    if "lse" in op.statistics:
        lines += [line("LN_2", "0.6931471805599453")] if op.score_scale == 1.0 else []
        lines.append(line("MINUS_INFINITY", 'float("-inf")'))
    return tuple(lines)


def query_scale_comment(facts: Lowering) -> str:
    natural = facts.work.op.query_scale / LOG2_E
    return f"{natural:.6g} * log2(e)" if facts.work.op.score_scale == 1.0 else "multiplies the products"


def view_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    if facts.view_code is None:
        return ()
    return line("HIDDEN", 0), line("PARTIAL", 1), line("FULL", 2)
