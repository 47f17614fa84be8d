"""Graph and schedule to the kernel part of the model: tiles, visibility, blocks, tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ..base.target import Target
from ..expr.tree import Constant, Expr, to_text, walk
from ..ir.graph import QUERY_OFFSET, Graph
from ..ir.program import Program
from ..schedule.plan import Schedule
from ..schedule.workload import Workload, workload_of
from .cells import LOADS, RUNS, Captured, Code, emit_cells
from .model import BlockModel, KeepModel, Names, ScoreVariant, TaskModel, TileModel, ValueColumn, ValueTile
from .tiles import EXTENT_LOADS, EXTENTS, TileCode, emit_visibility

# Names that the module gives to its own constants; a constant of the spec that would collide gets a suffix.
# fmt: off
RESERVED = frozenset(
    {
        "ACCUMULATORS", "ATTENTION", "BLOCK_KEYS", "DIM", "FULL", "GROUP_QUERIES", "GROUP_SIZE",
        "HEADROOM", "HIDDEN", "HIDDEN_BITS", "HIDDEN_WEIGHT", "KERNEL", "KEY_ROWS", "KEY_VALUE",
        "KEY_VALUE_HEADS", "LANES", "LINEAR", "LINEAR_BLOCK_ROWS", "LINEAR_DEPTH", "LINEAR_PANEL_ROW",
        "LINEAR_ROWS", "LINEAR_VECTORS", "LN_2", "LOG2_E", "LOWEST", "MAXIMA", "MINUS_INFINITY",
        "MODEL_DIM", "OUTPUT", "OUT_ROW", "PANEL", "PARTIAL", "PEAKS", "QUERY", "QUERY_HEADS",
        "QUERY_KEY_VALUE", "QUERY_SCALE", "ROW", "SCORE_SCALE", "SCRATCH_BYTES", "STATE_BYTES", "SUMS",
        "TILE_QUERIES", "VALUE_DIM", "VALUE_ROWS", "VALUE_TAIL", "VECTOR", "WEIGHTS", "WHOLE_DIM",
        "WHOLE_OUT",
    }
)
# fmt: on
OWN_INPUTS = ("query", "key", "value", QUERY_OFFSET)
ORDER = ("b", "h", "batch", "queries", "keys")  # how parameters of place are ordered, before captured arrays


@dataclass(frozen=True)
class Lowering:
    """The facts that every part of the model is made from."""

    program: Program
    schedule: Schedule
    target: Target

    @property
    def graph(self) -> Graph:
        return self.program.attention

    @cached_property
    def work(self) -> Workload:
        return workload_of(self.graph)

    @cached_property
    def captured(self) -> dict[str, Captured]:
        """The arrays that the kernel reads."""
        return {name: self.inputs[name] for name in self.work.op.captured}

    @cached_property
    def inputs(self) -> dict[str, Captured]:
        """The arrays that a caller gives: also those that simplification has left unread."""
        given = (value for value in self.graph.inputs if value.name not in OWN_INPUTS)
        return {value.name: Captured(value.name, value.type.dtype, value.type.shape) for value in given}

    @cached_property
    def spec_constants(self) -> dict[str, Constant]:
        expressions = [e for e in (self.work.op.modify, self.work.op.keep) if e is not None]
        found = {part.name: part for e in expressions for part in walk(e) if isinstance(part, Constant)}
        return dict(sorted(found.items()))

    @cached_property
    def constant_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for name in self.spec_constants:
            text = name.upper()
            while text in RESERVED or text in names.values():
                text += "_CONSTANT"
            names[name] = text
        return names

    @cached_property
    def group_queries(self) -> int:
        return self.schedule.query_vectors * self.target.lanes

    @cached_property
    def value_vectors(self) -> int:
        return -(-self.work.value_dim // self.target.lanes)

    @cached_property
    def full_code(self) -> Code:
        modify = self.work.op.modify
        return self.emit({} if modify is None else {"s{i}_{j}": modify})

    @cached_property
    def partial_code(self) -> Code:
        roots = {"s{i}_{j}": self.work.op.modify, "seen{i}_{j}": self.work.op.keep}
        return self.emit({target: expr for target, expr in roots.items() if expr is not None})

    def emit(self, roots: dict[str, Expr]) -> Code:
        return emit_cells(roots, self.captured, self.constant_names, self.work.query_heads)

    def power(self, difference: str) -> str:
        """The text of the softmax's power of a difference of scores.

        Scores themselves are not scaled: their differences lose less, and the lowest float32 stays finite.
        """
        scale = self.work.op.score_scale
        return f"exp2({difference})" if scale == 1.0 else f"exp2(({difference}) * SCORE_SCALE)"

    @cached_property
    def view_code(self) -> TileCode | None:
        if self.work.op.keep is None:
            return None
        return emit_visibility(self.work.op.keep, self.captured, self.constant_names)

    def place(self, names: Iterable[str]) -> Names:
        """Parameters of place among the names: indices, lengths, then captured arrays."""
        used = set(names)
        arrays = tuple(array.parameter for name, array in self.captured.items() if name in used)
        return tuple(name for name in ORDER if name in used) + arrays

    @cached_property
    def block_place(self) -> Names:
        views = self.view_code.names if self.view_code else frozenset()
        return self.place(self.full_code.names | self.partial_code.names | views)


def tile_model(facts: Lowering) -> TileModel:
    schedule, lanes = facts.schedule, facts.target.lanes
    codes = (facts.full_code, facts.partial_code)
    runs = sorted({dtype for code in codes for dtype in code.runs}, key=lambda dtype: dtype.value)
    extents = sorted(facts.view_code.extents, key=lambda d: d.value) if facts.view_code else []
    tiles, columns = value_tiles(facts)
    return TileModel(
        key_rows=tuple(range(schedule.key_rows)),
        query_vectors=tuple(range(schedule.query_vectors)),
        value_rows=tuple(range(schedule.value_rows)),
        dim_tail=facts.work.dim % lanes != 0,
        value_tail=facts.work.value_dim % lanes != 0,
        score_variants=(full_variant(facts), partial_variant(facts)),
        value_tiles=tiles,
        value_columns=columns,
        shrink=facts.power("maxima - raised"),
        run_loads=tuple(
            (RUNS[d], "load" if d.value == "float32" else "load_int32_lanes", LOADS[d][1]) for d in runs
        ),
        extents=tuple((EXTENTS[d], EXTENT_LOADS[d], d.bytes) for d in extents),
    )


def full_variant(facts: Lowering) -> ScoreVariant:
    rows = range(facts.schedule.key_rows)
    return ScoreVariant(
        name="score_tile",
        doc="Score KEY_ROWS keys, all of them seen, for one group of queries, and store their weights.",
        parameters=("state", "weights", "row", "key", "key_stride", *tile_parameters(facts, facts.full_code)),
        key_rows=tuple("key" if i == 0 else f"key + {i} * key_stride" for i in rows),
        comment=score_comment(facts, keep=False),
        lines=cell_lines(facts, facts.full_code, partial=False),
        peak_lines=peak_lines(facts, partial=False),
        weight_lines=weight_lines(facts, partial=False),
        rises=" | ".join(f"rises{j}" for j in range(facts.schedule.query_vectors)),
    )


def partial_variant(facts: Lowering) -> ScoreVariant:
    rows = range(facts.schedule.key_rows)
    code = facts.partial_code
    return ScoreVariant(
        name="score_tile_partial",
        doc="As score_tile, where some keys are hidden from some queries or lie past the end.",
        parameters=(
            "state",
            "weights",
            "row",
            "key",
            "key_stride",
            "tile_keys",
            *tile_parameters(facts, code),
        ),
        # Rows past the end repeat the last key, so that nothing behind it is read.
        key_rows=tuple("key" if i == 0 else f"key + min({i}, tile_keys - 1) * key_stride" for i in rows),
        comment=score_comment(facts, keep=True),
        lines=cell_lines(facts, code, partial=True),
        peak_lines=peak_lines(facts, partial=True),
        weight_lines=weight_lines(facts, partial=True),
        rises=" | ".join(f"rises{j}" for j in range(facts.schedule.query_vectors)),
    )


def tile_parameters(facts: Lowering, code: Code) -> Names:
    positions = tuple(name for name in ("q_first", "k_first") if name in code.names)
    return positions + facts.place(code.names)


def score_comment(facts: Lowering, *, keep: bool) -> str:
    parts = []
    if facts.work.op.modify is not None:
        parts.append(f"modify: {to_text(facts.work.op.modify)}")
    if keep and facts.work.op.keep is not None:
        parts.append(f"keep: {to_text(facts.work.op.keep)}")
    return "; ".join(parts)


def cell_lines(facts: Lowering, code: Code, *, partial: bool) -> Names:
    """The lines of a tile: values of the tile, of each row, of each column, then cell by cell."""
    rows, columns = range(facts.schedule.key_rows), range(facts.schedule.query_vectors)
    lines = list(code.tile)
    if "k" in code.names:
        row = "k_first + min({i}, tile_keys - 1)" if partial else "k_first + {i}"
        lines += [("k{i} = " + row).format(i=i) for i in rows]
    lines += [line.format(i=i) for i in rows for line in code.rows]
    if "q" in code.names:
        numbers = "wide(lane_numbers())" if code.wide else "lane_numbers()"
        lines += [f"q{j} = {numbers} + (q_first + {j} * LANES)" for j in columns]
    lines += [line.format(j=j) for j in columns for line in code.columns]
    lines += [line.format(i=i, j=j) for i in rows for j in columns for line in code.cells]
    if partial:
        lines += [f"inside{i} = tile_keys > {i}" for i in rows if i > 0]
    return tuple(lines)


def seen(facts: Lowering, i: int, j: int) -> str:
    """The text that says whether a cell of a partial tile is seen. Its first key is never past the end."""
    kept = f"seen{i}_{j}" if facts.work.op.keep is not None else ""
    inside = f"inside{i}" if i > 0 else ""
    return " & ".join(text for text in (kept, inside) if text)


def peak_lines(facts: Lowering, *, partial: bool) -> Names:
    lines = []
    for j in range(facts.schedule.query_vectors):
        for i in range(facts.schedule.key_rows):
            visible = seen(facts, i, j) if partial else ""
            if visible:
                lines += [f"seen{i}_{j} = {visible}"] if visible != f"seen{i}_{j}" else []
                lines.append(f"s{i}_{j} = where(seen{i}_{j}, s{i}_{j}, LOWEST)")
            lines.append(f"peak{j} = s0_{j}" if i == 0 else f"peak{j} = maximum(peak{j}, s{i}_{j})")
    return tuple(lines)


def weight_lines(facts: Lowering, *, partial: bool) -> Names:
    lines = []
    for i in range(facts.schedule.key_rows):
        for j in range(facts.schedule.query_vectors):
            lines.append(f"weight = {facts.power(f's{i}_{j} - maximum{j}')}")
            if partial and seen(facts, i, j):
                lines.append(f"weight = where(seen{i}_{j}, weight, HIDDEN_WEIGHT)")
            lines.append(f"sum{j} += weight")
            lines.append(f"store(weights + {i} * ROW + {j} * VECTOR, weight)")
    return tuple(lines)


def value_tiles(facts: Lowering) -> tuple[tuple[ValueTile, ...], tuple[ValueColumn, ...]]:
    """The columns of the values, cut into tiles; the last vector may be filled in part."""
    lanes, widest = facts.target.lanes, facts.schedule.value_vectors
    tiles: dict[str, ValueTile] = {}
    columns = []
    for first in range(0, facts.value_vectors, widest):
        count = min(widest, facts.value_vectors - first)
        width = min(count * lanes, facts.work.value_dim - first * lanes)
        name = f"add_values_{width}"
        loads = tuple(vector_load(j, width - j * lanes, lanes) for j in range(count))
        tiles[name] = ValueTile(name, width, tuple(range(count)), loads)
        columns.append(value_column(name, 4 * first * lanes))
    return tuple(tiles.values()), tuple(columns)


def value_column(name: str, offset: int) -> ValueColumn:
    shift = f" + {offset}" if offset else ""
    stride = ("value_stride", f"accumulators{shift}")
    return ValueColumn(
        name=name,
        arguments=("rows_at", "block_keys", f"value{shift}", *stride),
        masked_arguments=("rows_at", "high - low", f"value_at{shift}", *stride),
    )


def vector_load(j: int, columns: int, lanes: int) -> str:
    place = f"place + {j} * VECTOR" if j else "place"
    return f"load({place})" if columns >= lanes else f"load_first({place}, VALUE_TAIL)"


def keep_model(facts: Lowering) -> KeepModel:
    code, lanes = facts.view_code, facts.target.lanes
    loads = (vector_load(j, facts.work.value_dim - j * lanes, lanes) for j in range(facts.value_vectors))
    if code is None or facts.work.op.keep is None:
        return KeepModel(False, (), "", (), "", ())
    return KeepModel(
        masked=True,
        parameters=("q_low", "q_high", "k_low", "k_high", *facts.place(code.names)),
        text=to_text(facts.work.op.keep),
        interval_lines=code.lines,
        interval_result=code.result,
        value_loads=tuple(loads),
    )


def block_model(facts: Lowering) -> BlockModel:
    place = facts.place(facts.view_code.names) if facts.view_code else ()
    positions = block_positions(facts)
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
        *positions,
        *facts.block_place,
    )
    first_query, last_query = "q_first + query", "q_first + query + VALUE_ROWS - 1"
    return BlockModel(
        score_parameters=score,
        score_arguments=score,
        rows_parameters=("low", "high", "q_low", "q_high", "k_first", *place),
        rows_arguments=("first", "end", first_query, last_query, "k_first", *place),
        parameters=(
            *("state", "weights", "key", "key_stride", "value", "value_stride", "block_keys", "query_count"),
            *positions,
            *facts.block_place,
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
    )


def block_positions(facts: Lowering) -> Names:
    """The positions that attend_block takes: all of them under a mask, else those that scores read."""
    if facts.view_code is not None:
        return "q_first", "k_first"
    used = facts.full_code.names | facts.partial_code.names
    return tuple(name for name in ("q_first", "k_first") if name in used)


def tile_arguments(facts: Lowering, code: Code) -> Names:
    return tuple("k_first + row" if name == "k_first" else name for name in tile_parameters(facts, code))


def task_model(facts: Lowering) -> TaskModel:
    writes_lse = "lse" in facts.work.op.statistics
    natural = " * LN_2" if facts.work.op.score_scale == 1.0 else ""
    lse = ("lse",) if writes_lse else ()
    positions = {
        "q_first": "position + group * GROUP_QUERIES",
        "k_first": "block",
    }
    return TaskModel(
        parameters=(
            *("query", "query_batch", "query_head", "query_stride"),
            *("key", "key_batch", "key_head", "key_stride"),
            *("value", "value_batch", "value_head", "value_stride"),
            *("out", "out_batch", "out_head", "out_stride"),
            *lse,
            *("batch", "queries", "keys", "offsets"),
            *(array.parameter for array in facts.captured.values()),
            *("counter", "scratch", "worker"),
        ),
        writes_lse=writes_lse,
        lse=f"load(state + MAXIMA + lane){natural} + log(total)",
        reads_positions="q_first" in block_positions(facts),
        block_arguments=(
            "scratch + group * STATE_BYTES",
            "weights",
            "key_at + block * key_stride",
            "key_stride",
            "value_at + block * value_stride",
            "value_stride",
            "min(BLOCK_KEYS, keys - block)",
            "min(GROUP_QUERIES, rows - group * GROUP_QUERIES)",
            *(positions[name] for name in block_positions(facts)),
            *facts.block_place,
        ),
        finish_parameters=("state", "rows", "out", "out_stride", *lse),
        finish_arguments=(
            "scratch + group * STATE_BYTES",
            "rows - first",
            "out_at + first * out_stride",
            "out_stride",
            *(("lse_at + 4 * first",) if writes_lse else ()),
        ),
    )
